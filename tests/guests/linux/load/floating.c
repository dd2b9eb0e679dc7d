/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exceptions of x87 and of integer division; what a signal handler sees of the FPU, and changes in it. */
#define _GNU_SOURCE
#include "groups.h"
#include "trap.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

extern const char divide_at[], x87_waits_at[];

static void divide(void *context)
{
    __asm__ volatile("xor %%edx, %%edx; mov $5, %%eax; xor %%ecx, %%ecx\n"
                     ".globl divide_at\ndivide_at: div %%ecx"
                     : : "r"(context) : "rax", "rcx", "rdx", "cc");
}

static void overflow(void *context)
{
    __asm__ volatile("mov $0x80000000, %%eax; cltd; mov $-1, %%ecx; idiv %%ecx"
                     : : "r"(context) : "rax", "rcx", "rdx", "cc");
}

/* The instruction that is wrong says nothing; the next one that waits for the FPU gets #MF. */
static void x87_divide(void *context)
{
    uint16_t control = (uint16_t)(uintptr_t)context;
    __asm__ volatile("fninit; fldcw %0; fld1; fldz; fdivrp %%st, %%st(1)\n nop\n"
                     ".globl x87_waits_at\nx87_waits_at: fwait; fninit"
                     : : "m"(control));
}

static void x87_stack(void *context)
{
    uint16_t control = 0x37e;
    __asm__ volatile("fninit; fldcw %0; fstp %%st(0); fwait; fninit" : : "m"(control), "r"(context));
}

static void x87_precision(void *context)
{
    uint16_t control = 0x35f;
    __asm__ volatile("fninit; fldcw %0; fld1; fldpi; fdivrp %%st, %%st(1); fwait; fninit"
                     : : "m"(control), "r"(context));
}

static void sse_divide(void *context)
{
    uint32_t open = 0x1f80 & ~0x200u, closed = 0x1f80;
    float one = 1, zero = 0;
    __asm__ volatile("ldmxcsr %0; movss %2, %%xmm0; divss %3, %%xmm0; ldmxcsr %1"
                     : : "m"(open), "m"(closed), "m"(one), "m"(zero), "r"(context) : "xmm0");
}

static void exceptions(void)
{
    struct trap trap = trap_in(divide, NULL);
    check_exception("floating.divide", &trap, SIGFPE, FPE_INTDIV, (uintptr_t)divide_at, 0, 0);
    check_equal("floating.divide_rip", (uint64_t)trap.registers[REG_RIP], (uintptr_t)divide_at);
    trap = trap_in(overflow, NULL);
    check(trap.signal == SIGFPE && trap.registers[REG_TRAPNO] == 0, "floating.overflow", "signal %d", trap.signal);
    trap = trap_in(x87_divide, (void *)0x37b);
    check_exception("floating.x87_divide", &trap, SIGFPE, FPE_FLTDIV, (uintptr_t)x87_waits_at, 16, 0);
    trap = trap_in(x87_divide, (void *)0x37f);
    check_equal("floating.x87_masked", (uint64_t)trap.signal, 0);
    trap = trap_in(x87_stack, NULL);
    check_unless_known(trap.signal == SIGFPE && trap.code == FPE_FLTINV, "floating.x87_stack",
                       "an empty x87 register is read: this engine, as QEMU's TCG, raises nothing for it");
    trap = trap_in(x87_precision, NULL);
    check_unless_known(trap.signal == SIGFPE && trap.code == FPE_FLTRES, "floating.x87_precision",
                       "this engine's x87 raises nothing but divisions by zero");
    trap = trap_in(sse_divide, NULL);
    check_unless_known(trap.signal == SIGFPE && trap.code == FPE_FLTDIV, "floating.sse_divide",
                       "no #XM: this engine raises none, as QEMU's TCG");
    uint32_t plain = 0x1f80;
    __asm__ volatile("ldmxcsr %0; fninit" : : "m"(plain));
}

static volatile double seen_xmm;

static void change_xmm(int signal, siginfo_t *info, void *context)
{
    ucontext_t *saved = context;
    double *xmm0 = (double *)saved->uc_mcontext.fpregs->_xmm[0].element;
    seen_xmm = *xmm0;
    *xmm0 = 2.5;
    saved->uc_mcontext.fpregs->mxcsr = 0x1f80 | 0x6000;
    saved->uc_mcontext.gregs[REG_RIP] += 2;
    (void)signal, (void)info;
}

/* The frame of a signal has the FPU's state; what the handler writes there is what the program goes on with. */
static void state_in_frame(void)
{
    double first = 1.5, result;
    uint32_t mxcsr, plain = 0x1f80;
    handle_signal(SIGILL, change_xmm, 0);
    __asm__ volatile("movsd %2, %%xmm0; ud2; movsd %%xmm0, %0; stmxcsr %1; ldmxcsr %3"
                     : "=m"(result), "=m"(mxcsr) : "m"(first), "m"(plain) : "xmm0", "memory");
    signal(SIGILL, SIG_DFL);
    check(seen_xmm == 1.5, "floating.frame_xmm", "saw %d thousandths", (int)(seen_xmm * 1000));
    check(result == 2.5, "floating.frame_changed", "went on with %d thousandths", (int)(result * 1000));
    check_equal("floating.frame_mxcsr", mxcsr, 0x7f80);
}

static volatile uint32_t handler_mxcsr;
static volatile uint16_t handler_control;

static void look(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    uint32_t mxcsr;
    uint16_t control;
    __asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(mxcsr), "=m"(control));
    handler_mxcsr = mxcsr;
    handler_control = control;
    __asm__ volatile("fninit; pxor %%xmm3, %%xmm3" : : : "xmm3");
}

/* A handler starts with the FPU as after exec, and leaves the program's as it was. */
static void fresh_in_handler(void)
{
    uint32_t odd = 0x1f80 | 0x4000, after, plain = 0x1f80;
    uint16_t control = 0x0c7f, control_after;
    handle_signal(SIGUSR1, look, 0);
    __asm__ volatile("fninit; fldcw %0; fldpi; ldmxcsr %1" : : "m"(control), "m"(odd));
    raise(SIGUSR1);
    long double pi;
    __asm__ volatile("stmxcsr %0; fnstcw %1; fstpt %2; fninit; ldmxcsr %3"
                     : "=m"(after), "=m"(control_after), "=m"(pi) : "m"(plain));
    check_equal("floating.handler_mxcsr", handler_mxcsr, 0x1f80);
    check_equal("floating.handler_control", handler_control, 0x37f);
    check(after == odd && control_after == control && pi > 3.14L && pi < 3.15L, "floating.restored",
          "MXCSR %#x, control %#x", after, control_after);
}

/* 80 bits, denormals and the rounding modes: what only the x87 has. */
static void x87_values(void)
{
    long double tiny = 0x1p-16440L, third;
    uint16_t up = 0x0b7f;
    volatile long double one = 1, three = 3;
    check(tiny > 0 && tiny * 0x1p100L == 0x1p-16340L, "floating.x87_denormal", "lost");
    long double near = one / three;
    __asm__ volatile("fninit; fldcw %1; fldt %2; fldt %3; fdivrp; fstpt %0; fninit"
                     : "=m"(third) : "m"(up), "m"(one), "m"(three));
    (void)near;
    uint64_t mantissa;
    memcpy(&mantissa, &third, sizeof mantissa);
    check((mantissa >> 1) == 0xaaaaaaaaaaaaaaabull >> 1 || mantissa == 0xc000000000000000ull, "floating.x87_rounding",
          "%#llx", (unsigned long long)mantissa);
}

void check_floating(void)
{
    exceptions();
    state_in_frame();
    fresh_in_handler();
    x87_values();
}
