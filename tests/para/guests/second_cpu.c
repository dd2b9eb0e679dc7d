/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A second virtual CPU goes up, finds the start state, goes down and up again; times add up. For the para wing alone. */
#include <pv/hypercall.h>
#include <pv/printf.h>
#include <pv/start.h>

extern void second_entry(void);

struct second_start {
    uint64_t gpr[16], rflags, cr0_ts, mxcsr, control_word, tag_word, xmm7[2];
    uint16_t ds, es, fs, gs, cs, ss;
} second_start;

static unsigned char second_stack[4096] __attribute__((aligned(16)));
static volatile uint64_t n_rounds, wanted_mode;

/* Every register as it was found; then whatever is asked. */
__asm__(".text\n"
        ".globl second_entry\n"
        "second_entry:\n"
        "    mov %rax, second_start(%rip)\n"
        "    lea second_start(%rip), %rax\n"
        "    mov %rcx, 8(%rax); mov %rdx, 16(%rax); mov %rbx, 24(%rax); mov %rsp, 32(%rax)\n"
        "    mov %rbp, 40(%rax); mov %rsi, 48(%rax); mov %rdi, 56(%rax); mov %r8, 64(%rax)\n"
        "    mov %r9, 72(%rax); mov %r10, 80(%rax); mov %r11, 88(%rax); mov %r12, 96(%rax)\n"
        "    mov %r13, 104(%rax); mov %r14, 112(%rax); mov %r15, 120(%rax)\n"
        "    pushf; pop %rcx; mov %rcx, 128(%rax)\n"
        "    stmxcsr 144(%rax); fnstcw 152(%rax)\n"
        "    sub $32, %rsp; fnstenv (%rsp); movzwl 8(%rsp), %ecx; mov %rcx, 160(%rax); add $32, %rsp\n"
        "    movups %xmm7, 168(%rax)\n"
        "    mov %ds, 184(%rax); mov %es, 186(%rax); mov %fs, 188(%rax); mov %gs, 190(%rax)\n"
        "    mov %cs, 192(%rax); mov %ss, 194(%rax)\n"
        "    call second_main\n"
        "    ud2\n");

/* Leaves the FPU and every register in disorder, so that the next start would show it. */
static void make_a_mess(void)
{
    static const uint32_t mxcsr = 0x1fa0;
    static const uint16_t control = 0x27f;
    __asm__ volatile("ldmxcsr %0; fldcw %1; fld1; fld1; pcmpeqd %%xmm7, %%xmm7; std" : : "m"(mxcsr), "m"(control)
                     : "xmm7");
    __asm__ volatile("cld");
}

void second_main(void);
void second_main(void)
{
    make_a_mess();
    while (wanted_mode == 0) /* runs on and on */
        n_rounds++;
    if (wanted_mode == 1)    /* sleeps, and is stopped there */
        for (;;)
            pv_block();
    pv_fpu_ts(1);            /* stops itself, with TS set */
    pv_vcpu_down(1);
    for (;;)
        n_rounds = 0xbad;
}

static struct pv_vcpu_status status_of(uint32_t vcpu_id)
{
    struct pv_vcpu_status status;
    pv_vcpu_query(vcpu_id, &status);
    return status;
}

static uint64_t now(void)
{
    struct pv_time time;
    pv_time_get(&time);
    return time.system_ns;
}

static long start(uint64_t argument)
{
    struct pv_vcpu_context context = {(uintptr_t)second_entry, (uintptr_t)(second_stack + sizeof second_stack), argument,
                                      0};
    return pv_vcpu_up(1, &context);
}

static void wait_until_down(void)
{
    while (status_of(1).state != PV_VCPU_STATE_DOWN)
        pv_yield();
}

static void show_start(void)
{
    uint64_t others = 0;
    for (int i = 0; i < 16; i++)
        if (i != 4 && i != 7)
            others |= second_start.gpr[i];
    pv_printf("start: argument %lx, stack %d, others %lx, flags %lx\n", second_start.gpr[7],
              second_start.gpr[4] == (uintptr_t)(second_stack + sizeof second_stack), others, second_start.rflags & 0xed5);
    pv_printf("  mxcsr %lx, control %lx, tags %lx, xmm7 %lx %lx\n", second_start.mxcsr & 0xffff,
              second_start.control_word & 0xffff, second_start.tag_word, second_start.xmm7[0], second_start.xmm7[1]);
    pv_printf("  cs %x, ss %x, others %x\n", second_start.cs, second_start.ss,
              second_start.ds | second_start.es | second_start.fs | second_start.gs);
}

int main(void)
{
    uint64_t begun = now();
    pv_printf("up %ld\n", start(0x1234));
    pv_printf("again: busy %d\n", start(1) == -PV_EBUSY);
    while (n_rounds < 1000)
        pv_yield();
    show_start();
    struct pv_vcpu_status first = status_of(0), second = status_of(1);
    uint64_t passed = now() - begun;
    pv_printf("states %u %u; both have run: %d; no more than there was: %d\n", first.state, second.state,
              first.run_ns > 0 && second.run_ns > 1000, second.run_ns + second.steal_ns <= passed + 1000);
    pv_printf("down %ld\n", pv_vcpu_down(1));
    pv_printf("state %u\n", status_of(1).state);
    uint64_t rounds = n_rounds;
    for (int i = 0; i < 3; i++)
        pv_yield();
    pv_printf("it has stopped: %d\n", n_rounds == rounds);

    pv_printf("up again %ld\n", start(0x99));
    while (n_rounds == rounds)
        pv_yield();
    show_start();

    wanted_mode = 1;
    while (status_of(1).state != PV_VCPU_STATE_BLOCKED)
        pv_yield();
    pv_printf("asleep; down %ld\n", pv_vcpu_down(1));
    pv_printf("up out of sleep %ld\n", (wanted_mode = 2, start(0x77)));
    wait_until_down();
    show_start();
    pv_printf("it stopped itself: %d\n", n_rounds != 0xbad);
    pv_printf("up after that %ld\n", start(0x66));
    wait_until_down();
    show_start();
    pv_printf("the last one stays: %d\n", pv_vcpu_down(0) == -PV_EBUSY);
    struct pv_vcpu_status end = status_of(0);
    struct pv_time time;
    pv_time_get(&time);
    pv_printf("run and stolen are all the time: %d\n", time.system_ns - end.run_ns - end.steal_ns < 200);
    return 0;
}
