/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between 64-bit and 32-bit code within one process: far jumps, calls and returns, signals and faults on the way. */
#define _GNU_SOURCE
#include "groups.h"
#include "ldt.h"
#include "trap.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The 32-bit pieces, copied to a page below 2 GiB: each ends with a far return to whoever called it. */
__asm__(".pushsection .rodata\n"
        ".code32\n"
        "add_32: lea 7(%eax), %eax; inc %eax; lret\n" /* 40 is INC here, and a prefix in 64-bit code */
        "add_32_end:\n"
        "call_32: push %ebx; push %ecx; mov $20, %eax; int $0x80; pop %ecx; pop %ebx; lret\n" /* getpid */
        "call_32_end:\n"
        "stack_32: mov %esp, %edx; push $0x11223344; pop %eax; sub %esp, %edx; lret\n"
        "stack_32_end:\n"
        "fault_32: mov $0x1234, %eax; mov (%eax), %eax; lret\n"
        "fault_32_end:\n"
        "wrong_32: ud2; lret\n"
        "wrong_32_end:\n"
        "base_32: call 1f; 1: pop %eax; lret\n" /* the offset within the segment */
        "base_32_end:\n"
        "into_32: mov $0x7fffffff, %eax; add $1, %eax; into; lret\n"
        "into_32_end:\n"
        "bound_32: push $5; push $3; mov $9, %eax; bound %eax, (%esp); add $8, %esp; lret\n"
        "bound_32_end:\n"
        "old_32: mov $0x19, %eax; aam; aad; stc; .byte 0xd6; push %cs; pop %edx; pusha; popa; lret\n" /* SALC */
        "old_32_end:\n"
        ".code64\n"
        ".popsection\n");

#define PIECE(name) extern const char name##_32[], name##_32_end[]
PIECE(add);
PIECE(call);
PIECE(stack);
PIECE(fault);
PIECE(wrong);
PIECE(base);
PIECE(into);
PIECE(bound);
PIECE(old);

static char *low; /* two pages of code and two of stack, below 2 GiB */
static uint32_t next_piece;

static uint32_t put(const char *from, const char *end)
{
    uint32_t at = (uint32_t)(uintptr_t)low + next_piece;
    memcpy(low + next_piece, from, (size_t)(end - from));
    next_piece += (uint32_t)(end - from + 15) & ~15u;
    return at;
}

struct far_pointer {
    uint32_t offset;
    uint16_t selector;
} __attribute__((packed));

/* A far call to SELECTOR:OFFSET on a stack below 2 GiB; EAX before, EAX and EDX behind it. */
static uint64_t far_call(uint16_t selector, uint32_t offset, uint32_t eax)
{
    struct far_pointer to = {offset, selector};
    char *stack = low + 4 * PAGE_BYTES - 64;
    uint32_t edx;
    __asm__ volatile("mov %%rsp, %%r12; mov %%ds, %%r13d; mov %4, %%r14d; mov %%r14d, %%ds; mov %%r14d, %%es\n"
                     "mov %3, %%rsp; lcall *(%2); mov %%r12, %%rsp; mov %%r13d, %%ds; mov %%r13d, %%es"
                     : "+a"(eax), "=&d"(edx)
                     : "r"(&to), "r"(stack), "i"(0x2b)
                     : "r8", "r9", "r10", "r11", "r12", "r13", "r14", "rcx", "rbx", "rsi", "rdi", "memory", "cc");
    return (uint64_t)edx << 32 | eax;
}

static void calls(void)
{
    uint32_t add_at = put(add_32, add_32_end), call_at = put(call_32, call_32_end), stack_at = put(stack_32, stack_32_end);
    unsigned n_wrong = 0;
    for (uint32_t i = 0; i < 2000; i++)
        n_wrong += (uint32_t)far_call(0x23, add_at, i) != i + 8;
    check_equal("modes.far_call", n_wrong, 0);
    check_equal("modes.int_80", (uint32_t)far_call(0x23, call_at, 0), (uint64_t)getpid());
    check_equal("modes.stack", far_call(0x23, stack_at, 0), 0x11223344);
    uint64_t old = far_call(0x23, put(old_32, old_32_end), 0);
    /* The upper half of what PUSH of a segment register stores is the CPU's affair. */
    check_equal("modes.old_instructions", old & 0xffffffffffff, 0x23000000ff);
}

static void by_ldt(void)
{
    uint32_t at = put(base_32, base_32_end);
    struct user_desc code = ldt_code(8, (uint32_t)(uintptr_t)low);
    if (ldt_write(&code)) {
        skip("modes.ldt", "this kernel has no modify_ldt");
        return;
    }
    uint32_t offset = at - (uint32_t)(uintptr_t)low;
    check_equal("modes.ldt_base", (uint32_t)far_call(LDT_SELECTOR(8), offset, 0), offset + 5);
    unsigned n_wrong = 0;
    for (uint32_t i = 0; i < 16; i++) {
        code.base_addr = (uint32_t)(uintptr_t)low + i;
        ldt_write(&code);
        n_wrong += (uint32_t)far_call(LDT_SELECTOR(8), offset - i, 0) != offset - i + 5;
    }
    check_equal("modes.ldt_moving_base", n_wrong, 0);
}

struct target {
    uint16_t selector;
    uint32_t offset;
};

static void go(void *context)
{
    const struct target *target = context;
    far_call(target->selector, target->offset, 0);
}

/* What a handler of a 64-bit process is told of 32-bit code. */
static void faults(void)
{
    struct target target = {0x23, put(fault_32, fault_32_end)};
    struct trap trap = trap_in(go, &target);
    check_exception("modes.fault", &trap, SIGSEGV, SEGV_MAPERR, 0x1234, 14, 4);
    check_equal("modes.fault_cs", (uint64_t)trap.registers[REG_CSGSFS] & 0xffff, 0x23);
    check_equal("modes.fault_rip", (uint64_t)trap.registers[REG_RIP], target.offset + 5);
    target.offset = put(wrong_32, wrong_32_end);
    trap = trap_in(go, &target);
    check_exception("modes.illegal", &trap, SIGILL, ILL_ILLOPN, target.offset, 6, 0);
    target.offset = put(into_32, into_32_end);
    trap = trap_in(go, &target);
    check(trap.signal == SIGSEGV && trap.registers[REG_TRAPNO] == 4, "modes.into", "signal %d, vector %lld", trap.signal,
          (long long)trap.registers[REG_TRAPNO]);
    target.offset = put(bound_32, bound_32_end);
    trap = trap_in(go, &target);
    check(trap.signal == SIGSEGV && trap.registers[REG_TRAPNO] == 5, "modes.bound", "signal %d, vector %lld", trap.signal,
          (long long)trap.registers[REG_TRAPNO]);
    target.selector = 0x2b;
    trap = trap_in(go, &target);
    check_exception("modes.call_of_data", &trap, SIGSEGV, 0x80, 0, 13, 0x28);
    target.selector = 0x13;
    trap = trap_in(go, &target);
    check_exception("modes.call_of_kernel", &trap, SIGSEGV, 0x80, 0, 13, 0x10);
    target.selector = 0;
    trap = trap_in(go, &target);
    check_exception("modes.call_of_null", &trap, SIGSEGV, 0x80, 0, 13, 0);
}

static volatile unsigned n_mended;

static void step_over(int signal, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    (void)signal, (void)info;
    n_mended++;
    registers[REG_RAX] = 4321;
    registers[REG_RIP] += 2;
}

/* A handler runs as 64-bit code and goes back to 32-bit code. */
static void handler_between(void)
{
    uint32_t at = put(wrong_32, wrong_32_end);
    use_alternate_stack();
    handle_signal(SIGILL, step_over, SA_ONSTACK);
    unsigned n_right = 0;
    for (unsigned i = 0; i < 50; i++)
        n_right += (uint32_t)far_call(0x23, at, 0) == 4321;
    signal(SIGILL, SIG_DFL);
    check(n_right == 50 && n_mended == 50, "modes.handler_between", "%u right, %u signals", n_right, n_mended);
}

/* IRETQ and RETFQ of user code, to itself. */
static void returns(void)
{
    uint64_t flags, selector;
    __asm__ volatile("mov %%rsp, %%rbx; mov %%ss, %%eax; push %%rax; push %%rbx; pushf; orq $0x400, (%%rsp)\n"
                     "mov %%cs, %%eax; push %%rax; lea 1f(%%rip), %%rax; push %%rax; iretq\n"
                     "1: pushf; pop %0; cld; mov %%cs, %%eax; mov %%rax, %1"
                     : "=&r"(flags), "=&r"(selector) : : "rax", "rbx", "memory", "cc");
    check((flags & 0x400) && selector == 0x33, "modes.iret", "flags %#llx, cs %#llx", (unsigned long long)flags,
          (unsigned long long)selector);
    __asm__ volatile("mov %%cs, %%eax; push %%rax; lea 1f(%%rip), %%rax; push %%rax; lretq\n1: mov %%cs, %%eax; mov %%rax, %0"
                     : "=r"(selector) : : "rax", "memory");
    check_equal("modes.lret", selector, 0x33);
}

void check_modes(void)
{
    low = map_low_pages(4, PROT_READ | PROT_WRITE | PROT_EXEC);
    calls();
    by_ldt();
    faults();
    handler_between();
    returns();
}
