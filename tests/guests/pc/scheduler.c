/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small preemptive kernel: two tasks in ring 3 take turns by the timer and by a system call. What a task prints
 * goes through the system call; the order is set by the tasks themselves, however fast they run.
 */
#include "irq.h"
#include "user.h"

enum { PUT, YIELD, EXIT, N_SWITCHES }; /* system calls: number in DI, argument in SI, result in AX */
enum { N_TASKS = 2, SYSENTER_CS = 0x174, SYSENTER_SP, SYSENTER_IP };

struct task {
    struct frame frame;
    uint8_t stack[4096] __attribute__((aligned(16)));
    bool gone;
};
static struct task tasks[N_TASKS];
static unsigned current;
static volatile word n_ticks, n_yields, n_calls, n_gone;
volatile word turn, progress[N_TASKS], refused[N_TASKS];

static void switch_to(struct frame *frame, unsigned next)
{
    tasks[current].frame = *frame;
    current = next;
    *frame = tasks[next].frame;
}

static unsigned other_task(void)
{
    return tasks[!current].gone ? current : !current;
}

static word system_call(struct frame *frame, word number, word argument)
{
    n_calls++;
    switch (number) {
    case PUT:
        print((char[]){(char)argument, 0});
        return 0;
    case YIELD:
        n_yields++;
        frame->registers[0] = 0;
        switch_to(frame, other_task());
        return frame->registers[0];
    case EXIT:
        tasks[current].gone = true;
        if (++n_gone == N_TASKS)
            back_to_kernel(frame);
        else
            switch_to(frame, !current);
        return frame->registers[0];
    case N_SWITCHES:
        return n_ticks + n_yields;
    default:
        return (word)-38;
    }
}

static void handler(struct frame *frame)
{
    if (frame->vector == IRQ_BASE + IRQ_PIT) {
        n_ticks++;
        irq_end(IRQ_PIT);
        if (frame->cs & 3)
            switch_to(frame, other_task());
    } else if (frame->vector == LEAVE) {
        frame->registers[0] = system_call(frame, frame->registers[6], frame->registers[5]);
    }
}

/* The calls that switch nothing come by SYSCALL or SYSENTER, and return as fast. */
word fast_call(word number, word argument);
word fast_call(word number, word argument)
{
    n_calls++;
    if (number == PUT)
        print((char[]){(char)argument, 0});
    return number == N_SWITCHES ? n_ticks + n_yields : 0;
}
extern const char fast_entry[];
#ifdef __x86_64__
#define CALL_FAST "syscall"
#define CLOBBER "rcx", "r11", "memory"
volatile word fast_sp;
__asm__(".text\nfast_entry: mov %rsp, fast_sp; mov task_state + 4, %rsp; push fast_sp; push %rcx; push %r11\n"
        "push %rdi; push %rsi; push %rdx; push %r8; push %r9; push %r10; push %rbx\n"
        "call fast_call\n"
        "pop %rbx; pop %r10; pop %r9; pop %r8; pop %rdx; pop %rsi; pop %rdi\n"
        "pop %r11; pop %rcx; pop %rsp; sysretq\n");
#else
#define CALL_FAST "mov %%esp, %%ecx; mov $1f, %%edx; sysenter; 1:"
#define CLOBBER "ecx", "edx", "memory"
__asm__(".text\nfast_entry: push %ecx; push %edx; push %esi; push %edi\n"
        "call fast_entry_2\n"
        "pop %edi; pop %esi; pop %edx; pop %ecx; sti; sysexit\n"
        "fast_entry_2: push %esi; push %edi; call fast_call; pop %edi; pop %esi; ret\n");
#endif

static inline word slow(word number, word argument)
{
    word value;
    __asm__ volatile("int $0x80" : "=a"(value) : "D"(number), "S"(argument) : "memory");
    return value;
}

static inline word fast(word number, word argument)
{
    word value;
    __asm__ volatile(CALL_FAST : "=a"(value) : "D"(number), "S"(argument) : CLOBBER);
    return value;
}

/* Waits for its turn by spinning: only a tick can end that. */
static void ping_pong(unsigned me)
{
    for (unsigned i = 0; i < 6; i++) {
        while (turn != me)
            ;
        fast(PUT, (word)('a' + 16 * me + i));
        turn = !me;
    }
}

/* Takes turns by YIELD alone. */
static void polite(unsigned me)
{
    for (unsigned i = 0; i < 6; i++) {
        while (turn != me)
            slow(YIELD, 0);
        slow(PUT, (word)('A' + 16 * me + i));
        turn = !me;
    }
}

/* Sums while the other does; the registers of each have to survive. */
static word work(unsigned me)
{
    word sum = me;
    for (unsigned i = 0; i < 40000; i++)
        sum = (sum * 31 + i) & 0xffffff;
    progress[me] = sum;
    return sum;
}

static void task(void)
{
    word sp;
    __asm__ volatile("mov %%" SP ", %0" : "=r"(sp));
    unsigned me = sp - (word)tasks[1].stack < sizeof tasks[1].stack;
    ping_pong(me);
    polite(me);
    work(me);
    while (fast(N_SWITCHES, 0) < 20)
        ;
    while (turn != me)
        slow(YIELD, 0);
    slow(PUT, me ? '\n' : '.');
    turn = !me;
    refused[me] = slow(99, 0) == (word)-38;
    slow(EXIT, 0);
    for (;;)
        ;
}

static void prepare(struct task *t)
{
    t->frame.ip = (word)task;
    t->frame.cs = USER_CODE;
    t->frame.ss = USER_DATA;
    t->frame.flags = 0x202;
    t->frame.sp = (word)t->stack + sizeof t->stack - sizeof(word);
#ifndef __x86_64__
    t->frame.registers[7] = t->frame.registers[8] = USER_DATA;
#endif
}

int main(void)
{
    user_set_up();
    pic_set_up();
#ifdef __x86_64__
    wrmsr(0xc0000081, (uint64_t)0x90 << 48 | (uint64_t)0x80 << 32);
    wrmsr(0xc0000082, (word)fast_entry);
    wrmsr(0xc0000084, 0x40700);
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 1);
#else
    wrmsr(SYSENTER_CS, SYSTEM_CODE);
    wrmsr(SYSENTER_SP, (word)ring0_stack + sizeof ring0_stack);
    wrmsr(SYSENTER_IP, (word)fast_entry);
#endif
    on_interrupt = handler;
    prepare(&tasks[0]);
    prepare(&tasks[1]);
    pit_start(0, 2, 119); /* 10 kHz */
    irq_mask(IRQ_PIT, false);
    user_cs = USER_CODE;
    user_flags = 0x202;
    user_sp = tasks[0].frame.sp;
    RUN_USER("jmp *%0", "a"((word)task));
    irq_mask(IRQ_PIT, true);
    show("both are gone", n_gone);
    show("the first's sum", progress[0]);
    show("the second's sum", progress[1]);
    show("there were ticks", n_ticks >= 11);
    show("there were yields", n_yields > 0);
    show("a call of no such number is refused", refused[0] + refused[1]);
    return 0;
}
