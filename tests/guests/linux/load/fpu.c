/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The registers of x87, SSE and, where CPUID and XCR0 have it, AVX: filled and looked at by hand. */
#include "fpu.h"
#include "load.h"

#include <cpuid.h>
#include <string.h>

static bool has_avx(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX))
        return false;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (a & 6) == 6;
}

static uint64_t mixed(uint64_t number)
{
    number *= 0x9e3779b97f4a7c15ull;
    return number ^ number >> 29;
}

void fpu_make(struct fpu_state *state, uint32_t number)
{
    bool avx = has_avx();
    memset(state, 0, sizeof *state);
    for (unsigned i = 0; i < 6; i++)
        state->x87[i] = 0x3ff0000000000000 | mixed(number * 8ull + i) >> 12; /* from 1 to 2 */
    for (unsigned i = 0; i < 16; i++)
        for (unsigned j = 0; j < 2; j++) {
            state->xmm[i][j] = mixed(number * 64ull + i * 2 + j + 1);
            state->upper[i][j] = avx ? mixed(number * 64ull + 32 + i * 2 + j + 1) : 0;
        }
    /* All exceptions masked, rounding and precision by number; MXCSR also with flags that are set. */
    state->mxcsr = 0x1f80 | (number & 3) << 13 | (number >> 2 & 0x3f);
    state->control = (uint16_t)(0x7f | 2 << 8 | (number & 3) << 10);
}

#define EACH_XMM(op) \
    op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)

static void load_upper(const struct fpu_state *state)
{
#define LOAD(i) __asm__ volatile("vinsertf128 $1, %0, %%ymm" #i ", %%ymm" #i : : "m"(state->upper[i]));
    EACH_XMM(LOAD)
#undef LOAD
}

static void save_upper(struct fpu_state *state)
{
#define SAVE(i) __asm__ volatile("vextractf128 $1, %%ymm" #i ", %0" : "=m"(state->upper[i]));
    EACH_XMM(SAVE)
#undef SAVE
}

/* Between loading and saving, C code without floating point only: this file is compiled with -mgeneral-regs-only. */
void fpu_carry(struct fpu_state *state, void (*between)(void *), void *context)
{
    bool avx = has_avx();
    uint32_t plain_mxcsr = 0x1f80;
    __asm__ volatile("fninit; fldcw %0" : : "m"(state->control));
    for (unsigned i = 0; i < 6; i++)
        __asm__ volatile("fldl %0" : : "m"(state->x87[i]));
#define LOAD(i) __asm__ volatile("movdqu %0, %%xmm" #i : : "m"(state->xmm[i]));
    EACH_XMM(LOAD)
    if (avx)
        load_upper(state);
    __asm__ volatile("ldmxcsr %0" : : "m"(state->mxcsr));
    between(context);
    __asm__ volatile("stmxcsr %0" : "=m"(state->mxcsr));
#define SAVE(i) __asm__ volatile("movdqu %%xmm" #i ", %0" : "=m"(state->xmm[i]));
    EACH_XMM(SAVE)
    if (avx) {
        save_upper(state);
        __asm__ volatile("vzeroupper");
    }
    for (unsigned i = 6; i-- > 0;)
        __asm__ volatile("fstpl %0" : "=m"(state->x87[i]));
    __asm__ volatile("fnstcw %0; fninit; ldmxcsr %1" : "=m"(state->control) : "m"(plain_mxcsr));
}

const char *fpu_difference(const struct fpu_state *state, uint32_t number)
{
    struct fpu_state wanted;
    fpu_make(&wanted, number);
    if (memcmp(state->x87, wanted.x87, sizeof wanted.x87))
        return "x87 registers";
    if (memcmp(state->xmm, wanted.xmm, sizeof wanted.xmm))
        return "XMM registers";
    if (memcmp(state->upper, wanted.upper, sizeof wanted.upper))
        return "upper halves of YMM registers";
    if (state->mxcsr != wanted.mxcsr)
        return "MXCSR";
    return state->control != wanted.control ? "x87 control word" : NULL;
}
