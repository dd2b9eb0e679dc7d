/* SPDX-License-Identifier: MIT */
/*
 * Random bytes, which para and hybrid guests are given by a ring: a PC would ask its CPU for them. They are the same in
 * each run with the same seed (pvisor run --seed), so that runs repeat: good for tests, and for no secret.
 */
#ifndef PV_ENTROPY_H
#define PV_ENTROPY_H

#include <stddef.h>

/*
 * Fill BUFFER with SIZE_BYTES random bytes. Blocks until they are there. One call at a time: not from an interrupt
 * handler. Returns 0; -PV_ENODEV: there is no such device; -PV_EIO: it failed, and what BUFFER holds is undefined.
 */
int pv_entropy(void *buffer, size_t size_bytes);

#endif /* PV_ENTROPY_H */
