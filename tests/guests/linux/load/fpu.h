/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A whole FPU state that is a function of a number: put it in place, and see later whether it is still there. */
#ifndef LOAD_FPU_H
#define LOAD_FPU_H

#include <stdint.h>

struct fpu_state {
    uint64_t x87[6]; /* doubles, pushed in this order */
    uint64_t xmm[16][2];
    uint64_t upper[16][2]; /* upper halves of YMM0-15, where there are any */
    uint32_t mxcsr;
    uint16_t control;
};

/* The state that belongs to NUMBER. */
void fpu_make(struct fpu_state *state, uint32_t number);
/*
 * Puts STATE into the registers, calls BETWEEN (which may wait, but must not use them: pass one that makes system calls
 * by hand), takes them out again into STATE.
 */
void fpu_carry(struct fpu_state *state, void (*between)(void *), void *context);
/* The first part of STATE that is not NUMBER's; a null pointer where all is well. */
const char *fpu_difference(const struct fpu_state *state, uint32_t number);

#endif /* LOAD_FPU_H */
