/* SPDX-License-Identifier: MIT */
/* Between memory.c and the wings: where there is RAM to give away. */
#ifndef PV_SRC_RANGES_H
#define PV_SRC_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Range INDEX of those that pv_page_alloc gives away: from START to END, both on page boundaries; it may be empty.
 * False, and nothing stored: there are no more.
 */
bool pv_ram_range(size_t index, uint64_t *start, uint64_t *end);

#endif /* PV_SRC_RANGES_H */
