/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Segments of the local descriptor table. */
#ifndef LOAD_LDT_H
#define LOAD_LDT_H

#include <asm/ldt.h>
#include <stdint.h>

#define LDT_SELECTOR(entry) ((uint16_t)((entry) << 3 | 7))

/* A 32-bit data segment of LIMIT + 1 bytes at BASE. */
struct user_desc ldt_data(unsigned entry, uint32_t base, uint32_t limit);
/* The same as 32-bit code that can be read, of 4 GiB. */
struct user_desc ldt_code(unsigned entry, uint32_t base);
/* modify_ldt(0x11): 0, or -errno. */
int ldt_write(const struct user_desc *segment);
/* modify_ldt(0x11) of an empty entry. */
int ldt_clear(unsigned entry);
/* modify_ldt(0): bytes read. */
long ldt_read(void *bytes, unsigned long size_bytes);

#endif /* LOAD_LDT_H */
