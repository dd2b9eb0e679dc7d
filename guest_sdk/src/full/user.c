/* SPDX-License-Identifier: MIT */
/*
 * User programs in ring 3. They come back by SYSCALL, which MSRs lead to user_entry.S, or by an exception or interrupt,
 * for which the TSS names the stack.
 */
#include "segments.h"
#include "user.h"
#include "user_ring.h"

#define MSR_EFER  0xc0000080u
#define MSR_STAR  0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_FMASK 0xc0000084u
#define EFER_SCE  0x001u /* SYSCALL works */

/* What SYSCALL clears in RFLAGS: AC, NT, IOPL, DF, IF, TF, the kernel shall not inherit them. */
#define FMASK 0x47700u

static void write_msr(uint32_t index, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static uint64_t read_msr(uint32_t index)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
    return (uint64_t)high << 32 | low;
}

void pv_user_ring_start(void)
{
    pv_segments_start();
    write_msr(MSR_STAR, (uint64_t)USER_BASE << 48 | (uint64_t)KERNEL_CODE << 32);
    write_msr(MSR_LSTAR, (uintptr_t)pv_user_syscall);
    write_msr(MSR_FMASK, FMASK);
    write_msr(MSR_EFER, read_msr(MSR_EFER) | EFER_SCE);
}

void pv_user_entering(uint64_t kernel_stack)
{
    pv_segments_set_stack(kernel_stack);
}
