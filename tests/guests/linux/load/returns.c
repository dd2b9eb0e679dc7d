/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a process may put into the frame of a signal before it returns by it: any address, flags and selectors. */
#define _GNU_SOURCE
#include "groups.h"
#include "ldt.h"
#include "trap.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SI_OF_KERNEL 0x80

/* What the handler of SIGUSR1 is to change. */
static struct {
    bool rip_too, selectors_too, flags_too, rsp_too;
    uint64_t rip, flags, rsp;
    uint16_t cs, ss;
} wish;

static void change(int signal, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    (void)signal, (void)info;
    if (wish.rip_too)
        registers[REG_RIP] = (greg_t)wish.rip;
    if (wish.rsp_too)
        registers[REG_RSP] = (greg_t)wish.rsp;
    if (wish.flags_too)
        registers[REG_EFL] = (greg_t)wish.flags;
    if (wish.selectors_too) {
        uint64_t others = (uint64_t)registers[REG_CSGSFS] & 0x0000ffffffff0000;
        registers[REG_CSGSFS] = (greg_t)(others | wish.cs | (uint64_t)wish.ss << 48);
    }
}

static void send(void *context)
{
    (void)context;
    handle_signal(SIGUSR1, change, SA_ONSTACK);
    raise(SIGUSR1);
}

static struct trap back_to(uint64_t rip)
{
    memset(&wish, 0, sizeof wish);
    wish.rip_too = true;
    wish.rip = rip;
    return trap_in(send, NULL);
}

static struct trap back_with(uint16_t cs, uint16_t ss, uint64_t rip)
{
    memset(&wish, 0, sizeof wish);
    wish.selectors_too = true;
    wish.cs = cs;
    wish.ss = ss;
    wish.rip_too = rip != 0;
    wish.rip = rip;
    return trap_in(send, NULL);
}

static void addresses(void)
{
    struct trap trap = back_to(0x1000);
    check_exception("returns.unmapped", &trap, SIGSEGV, SEGV_MAPERR, 0x1000, 14, 0x14);
    trap = back_to(0xffffffff81000000);
    check_exception("returns.kernel", &trap, SIGSEGV, SEGV_MAPERR, 0xffffffff81000000, 14, 0x15);
    trap = back_to(0x0000800000000000);
    check(trap.signal == SIGSEGV && trap.registers[REG_TRAPNO] == 13, "returns.non_canonical", "signal %d, vector %lld",
          trap.signal, (long long)trap.registers[REG_TRAPNO]);
    trap = back_to(0xdead000000000000);
    check(trap.signal == SIGSEGV && trap.registers[REG_TRAPNO] == 13, "returns.far_off", "signal %d, vector %lld",
          trap.signal, (long long)trap.registers[REG_TRAPNO]);
}

static void selectors(void)
{
    static const uint16_t bad[] = {0xdeaf, 0x10, 0x13, 0x2b, 0x7b, 0};
    unsigned n_wrong = 0, first = 0;
    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct trap trap = back_with(bad[i], 0x2b, 0);
        bool right = (trap.signal == SIGSEGV || trap.signal == SIGBUS) && trap.registers[REG_TRAPNO] >= 11 &&
                     trap.registers[REG_TRAPNO] <= 13;
        if (!right && n_wrong++ == 0)
            first = bad[i];
    }
    check(n_wrong == 0, "returns.bad_cs", "%u passed, %#x first", n_wrong, first);
    struct trap trap = back_with(0xfff7, 0x2b, 0);
    check_exception("returns.bad_cs_error", &trap, SIGSEGV, SI_OF_KERNEL, 0, 13, 0xfff4);
    struct user_desc gone = ldt_data(9, 0, 0xfffff);
    gone.seg_not_present = 1;
    if (ldt_write(&gone) == 0) {
        trap = back_with(0x33, LDT_SELECTOR(9), 0);
        check(trap.signal == SIGBUS || trap.signal == SIGSEGV || trap.signal == 0, "returns.absent_ss", "signal %d",
              trap.signal);
        ldt_clear(9);
    }
    trap = back_with(0x33, 0x2b, 0);
    check_equal("returns.plain", (uint64_t)trap.signal, 0);
}

/* Back into 32-bit code: it traps there by UD2. */
static void into_32(void)
{
    char *low = map_low_pages(2, PROT_READ | PROT_WRITE | PROT_EXEC);
    static const unsigned char code[] = {0x40, 0x40, 0x0f, 0x0b}; /* inc %eax; inc %eax; ud2 */
    memcpy(low, code, sizeof code);
    memset(&wish, 0, sizeof wish);
    wish.selectors_too = wish.rip_too = wish.rsp_too = true;
    wish.cs = 0x23;
    wish.ss = 0x2b;
    wish.rip = (uintptr_t)low;
    wish.rsp = (uintptr_t)low + 2 * PAGE_BYTES - 64;
    struct trap trap = trap_in(send, NULL);
    check_exception("returns.into_32", &trap, SIGILL, ILL_ILLOPN, (uintptr_t)low + 2, 6, 0);
    check_equal("returns.into_32_cs", (uint64_t)trap.registers[REG_CSGSFS] & 0xffff, 0x23);
    struct user_desc data = ldt_data(10, 0, 0xfffff);
    data.limit_in_pages = 1;
    if (ldt_write(&data))
        return;
    wish.ss = LDT_SELECTOR(10);
    trap = trap_in(send, NULL);
    check_exception("returns.ldt_stack", &trap, SIGILL, ILL_ILLOPN, (uintptr_t)low + 2, 6, 0);
    check_equal("returns.ldt_stack_ss", (uint64_t)trap.registers[REG_CSGSFS] >> 48, LDT_SELECTOR(10));
    struct user_desc code_segment = ldt_code(11, (uint32_t)(uintptr_t)low);
    ldt_write(&code_segment);
    wish.cs = LDT_SELECTOR(11);
    wish.rip = 0;
    trap = trap_in(send, NULL);
    check_exception("returns.ldt_code", &trap, SIGILL, ILL_ILLOPN, 2, 6, 0);
    ldt_clear(10), ldt_clear(11);
}

/* Flags that a process may not have are not set; those that it may have are. */
static void flags(void)
{
    uint64_t seen;
    memset(&wish, 0, sizeof wish);
    wish.flags_too = true;
    wish.flags = 0x3000 | 0x20000 | 0x180000 | 0x400 | 1; /* IOPL, VM, VIF, VIP, and no IF */
    handle_signal(SIGUSR1, change, SA_ONSTACK);
    pid_t self = getpid();
    __asm__ volatile("syscall; pushf; pop %0; cld"
                     : "=r"(seen) : "a"(SYS_kill), "D"(self), "S"(SIGUSR1) : "rcx", "r11", "memory", "cc");
    check_equal("returns.flags", seen & 0x1a3600, 0x600);
    check_equal("returns.flags_carry", seen & 1, 1);
}

/* The last bytes of user space: SYSCALL there, where the next address is none that a CPU has. */
static void last_page(void)
{
    char *page = mmap((void *)0x7fffffffe000, PAGE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (page == MAP_FAILED) {
        skip("returns.last_page", "the stack is there");
        return;
    }
    page[PAGE_BYTES - 2] = 0x0f;
    page[PAGE_BYTES - 1] = 0x05;
    wish = (typeof(wish)){.rip_too = true, .rip = 0x7fffffffeffe};
    struct trap trap = trap_in(send, NULL);
    check(trap.signal == SIGSEGV && trap.registers[REG_RIP] == 0x7ffffffff000, "returns.last_page", "signal %d, rip %#llx",
          trap.signal, (unsigned long long)trap.registers[REG_RIP]);
    munmap(page, PAGE_BYTES);
}

void check_returns(void)
{
    use_alternate_stack();
    addresses();
    selectors();
    into_32();
    flags();
    last_page();
}
