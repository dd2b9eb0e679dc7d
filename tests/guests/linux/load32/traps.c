/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Faults and signals of 32-bit code, with the frames that a 32-bit program gets. */
#include "base.h"

static char *volatile target;

static void load(void)
{
    (void)*(volatile char *)target;
}

static void store(void)
{
    *(volatile char *)target = 1;
}

static void run(void)
{
    ((void (*)(void))target)();
}

static void undefined(void)
{
    __asm__ volatile("ud2");
}

static void divide(void)
{
    __asm__ volatile("xor %%eax, %%eax; xor %%edx, %%edx; xor %%ecx, %%ecx; div %%ecx" : : : "eax", "ecx", "edx", "cc");
}

static void breakpoint(void)
{
    __asm__ volatile("int3");
}

static void interrupts_off(void)
{
    __asm__ volatile("cli");
}

static void other_interrupt(void)
{
    __asm__ volatile("int $0x81");
}

static void expect(const char *name, void (*function)(void), uint32_t signal, uint32_t vector, uint32_t error)
{
    struct trap trap = trap_in(function);
    uint32_t got = trap.signal << 24 | trap.frame.vector << 16 | (trap.frame.error & 0xffff);
    check(got == (signal << 24 | vector << 16 | error), name, got, signal << 24 | vector << 16 | error);
}

static void expect_page_fault(const char *name, void (*function)(void), uint32_t error)
{
    struct trap trap = trap_in(function);
    bool right = trap.signal == SIGSEGV && trap.frame.vector == 14 && trap.frame.error == error &&
                 trap.address == (uint32_t)target && trap.frame.cr2 == (uint32_t)target;
    check(right, name, trap.frame.error, error);
}

static void page_faults(void)
{
    target = map_pages(1, PROT_READ);
    (void)*(volatile char *)target;
    expect_page_fault("store_read_only", store, 7);
    expect_page_fault("no_execute", run, 0x15);
    CALL(SYS_MUNMAP, target, 4096, 0);
    expect_page_fault("load", load, 4);
    expect_page_fault("store", store, 6);
    expect_page_fault("fetch", run, 0x14);
    target = (char *)0xfffff000;
    expect_page_fault("load_at_end", load, 4);
}

static volatile uint32_t n_came;

static void skip_two(int signal, void *info, void *context)
{
    (void)signal, (void)info;
    struct frame *frame = frame_of(context);
    n_came++;
    frame->eip += 2;
    frame->eax = frame->ebx + 1;
}

/* A handler changes registers and goes back. */
static void changed(void)
{
    uint32_t result = 0, n_wrong = 0;
    handle_signal(SIGILL, skip_two);
    for (uint32_t i = 0; i < 100; i++) {
        __asm__ volatile("ud2" : "=a"(result) : "b"(i) : "memory");
        n_wrong += result != i + 1;
    }
    check(n_wrong == 0 && n_came == 100, "handler_changes", n_wrong, 0);
}

static void count(int signal, void *info, void *context)
{
    (void)signal, (void)info, (void)context;
    n_came++;
    __asm__ volatile("pxor %%xmm2, %%xmm2; fninit" : : : "xmm2");
}

static void fpu(void)
{
    static const uint32_t value[4] __attribute__((aligned(16))) = {1, 2, 3, 4};
    uint32_t after[4] __attribute__((aligned(16)));
    long self = CALL(SYS_GETPID, 0, 0, 0);
    uint16_t control = 0x0f7f, control_after;
    handle_signal(10, count);
    __asm__ volatile("fninit; fldcw %2; movdqa %3, %%xmm2; int $0x80; movdqa %%xmm2, %0; fnstcw %1; fninit"
                     : "=m"(after), "=m"(control_after) : "m"(control), "m"(value), "a"(SYS_KILL), "b"(self), "c"(10)
                     : "xmm2", "memory");
    check(after[0] == 1 && after[3] == 4, "signal_keeps_xmm", after[0], 1);
    check(control_after == control, "signal_keeps_x87", control_after, control);
}

static volatile uint32_t seen_flags;

static void steps(int signal, void *info, void *context)
{
    (void)signal, (void)info;
    n_came++;
    seen_flags = frame_of(context)->eflags;
}

static void single_steps(void)
{
    handle_signal(SIGTRAP, steps);
    n_came = 0;
    __asm__ volatile("pushf; orl $0x100, (%%esp); popf; nop; nop; nop; nop; pushf; andl $~0x100, (%%esp); popf; nop"
                     : : : "memory", "cc");
    check(n_came == 7, "single_steps", n_came, 7);
}

void check_traps(void)
{
    page_faults();
    expect("undefined", undefined, SIGILL, 6, 0);
    expect("divide", divide, SIGFPE, 0, 0);
    expect("breakpoint", breakpoint, SIGTRAP, 3, 0);
    expect("cli", interrupts_off, SIGSEGV, 13, 0);
    struct trap trap = trap_in(other_interrupt);
    check(trap.signal == SIGSEGV && trap.frame.vector == 13, "int_81", trap.frame.vector, 13);
    trap = trap_in(undefined);
    check((trap.frame.cs & 0xffff) == 0x23 && (trap.frame.ss & 0xffff) == 0x2b, "frame_selectors", trap.frame.cs, 0x23);
    changed();
    fpu();
    single_steps();
}
