/* SPDX-License-Identifier: MIT */
/*
 * What a guest finds when it starts. The start code calls `int main(void)` and hands its result to pv_exit(). By then
 * memory is mapped one to one and every page is either writable or executable, never both: the code can be read and
 * run, constants can be read, data and free memory can be read and written. Page 0 and the page just below the stack
 * are not mapped, so a null pointer and an overflowing stack fault at once.
 *
 * PV_MODE_FULL, PV_MODE_PARA or PV_MODE_HYBRID is defined as 1 while a guest is compiled for that mode. A program that
 * uses only this SDK needs none of them. What other headers say of full holds for hybrid, too, but for the console, the
 * disk and the network, where it is as para. A hybrid guest is run by `pvisor run --mode hybrid`.
 */
#ifndef PV_START_H
#define PV_START_H

#include <stddef.h>

/* The command line the guest was given; "" when there is none. It stays there, and may be read anywhere. */
const char *pv_cmdline(void);

/* How much RAM the guest has, in bytes. A PC keeps some of its memory for itself and does not count that. */
size_t pv_memory_bytes(void);

#endif /* PV_START_H */
