/* SPDX-License-Identifier: MIT */
/* Segments for user programs, and the stack on which the kernel is entered out of them. */
#ifndef PV_SRC_SEGMENTS_H
#define PV_SRC_SEGMENTS_H

#include <stdint.h>

/* The selectors of the kernel's code, and what SYSRET counts from: user data follows it by 8, user code by 16. */
#define KERNEL_CODE 0x08
#define USER_BASE   0x18

/* Load a GDT that has user segments and a TSS. */
void pv_segments_start(void);

/* An exception or interrupt in ring 3 enters the kernel with this stack. */
void pv_segments_set_stack(uint64_t stack_top);

#endif /* PV_SRC_SEGMENTS_H */
