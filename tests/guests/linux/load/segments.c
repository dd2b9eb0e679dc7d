/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Segments: descriptors of the LDT and of the GDT, loaded, looked at, wrong, gone, and inherited. */
#define _GNU_SOURCE
#include "groups.h"
#include "ldt.h"
#include "trap.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SI_OF_KERNEL 0x80
#define DATA_32 0x2b
#define CODE_64 0x33
#define CODE_32 0x23

static uint32_t *low; /* a page below 2 GiB */

static void load_gs(uint16_t selector)
{
    __asm__ volatile("mov %0, %%gs" : : "r"((uint32_t)selector) : "memory");
}

static uint32_t at_gs(uint32_t offset)
{
    uint32_t value;
    __asm__ volatile("movl %%gs:(%q1), %0" : "=r"(value) : "r"((uint64_t)offset));
    return value;
}

static void set_gs(void *context)
{
    load_gs((uint16_t)(uintptr_t)context);
}

static void set_ds(void *context)
{
    __asm__ volatile("mov %0, %%ds; xor %%eax, %%eax; mov %%eax, %%ds" : : "r"((uint32_t)(uintptr_t)context) : "rax");
}

static void set_ss(void *context)
{
    __asm__ volatile("mov %%ss, %%ebx; mov %0, %%ss; mov %%ebx, %%ss" : : "r"((uint32_t)(uintptr_t)context) : "rbx");
}

static void data_segments(void)
{
    struct user_desc segment = ldt_data(1, (uint32_t)(uintptr_t)low, 0xfff);
    low[3] = 0x12345678;
    check_equal("segments.ldt_write", (uint64_t)ldt_write(&segment), 0);
    load_gs(LDT_SELECTOR(1));
    check_equal("segments.base", at_gs(12), 0x12345678);
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < 200; i++) {
        segment.base_addr = (uint32_t)(uintptr_t)low + i * 8;
        low[i * 2] = i * 77;
        ldt_write(&segment);
        load_gs(LDT_SELECTOR(1));
        if (i % 10 == 0)
            syscall(SYS_sched_yield);
        n_wrong += at_gs(0) != i * 77;
    }
    check_equal("segments.base_changes", n_wrong, 0);
    load_gs(0);
    uint64_t bytes[4] = {0};
    long n = ldt_read(bytes, sizeof bytes);
    check(n >= 16 && (bytes[1] >> 40 & 0xff) >= 0xf2, "segments.ldt_read", "%ld bytes, %#llx", n,
          (unsigned long long)bytes[1]);
}

static bool lar(uint32_t selector, uint32_t *rights)
{
    bool valid;
    __asm__ volatile("lar %2, %1; setz %0" : "=q"(valid), "=r"(*rights) : "r"(selector), "1"(0) : "cc");
    return valid;
}

static bool lsl(uint32_t selector, uint32_t *limit)
{
    bool valid;
    __asm__ volatile("lsl %2, %1; setz %0" : "=q"(valid), "=r"(*limit) : "r"(selector), "1"(0) : "cc");
    return valid;
}

static bool verify(uint32_t selector, bool write)
{
    bool valid;
    if (write)
        __asm__ volatile("verw %w1; setz %0" : "=q"(valid) : "r"(selector) : "cc");
    else
        __asm__ volatile("verr %w1; setz %0" : "=q"(valid) : "r"(selector) : "cc");
    return valid;
}

static void looks(void)
{
    uint32_t value = 0;
    struct user_desc segment = ldt_data(2, 0, 0x1234);
    segment.read_exec_only = 1;
    ldt_write(&segment);
    check(lsl(LDT_SELECTOR(2), &value) && value == 0x1234, "segments.limit", "%#x", value);
    check(lar(LDT_SELECTOR(2), &value) && (value & 0xfe00) == 0xf000, "segments.rights", "%#x", value);
    check(verify(LDT_SELECTOR(2), false) && !verify(LDT_SELECTOR(2), true), "segments.verify", "otherwise");
    segment = ldt_data(2, 0, 0xfffff);
    segment.limit_in_pages = 1;
    ldt_write(&segment);
    check(lsl(LDT_SELECTOR(2), &value) && value == ~0u, "segments.limit_in_pages", "%#x", value);
    check(verify(LDT_SELECTOR(2), true), "segments.writable", "VERW says no");
    check(lar(CODE_64, &value) && (value & 0x60f800) == 0x20f800, "segments.code_64", "%#x", value);
    check(lar(CODE_32, &value) && (value & 0x60f800) == 0x40f800, "segments.code_32", "%#x", value);
    check(lar(DATA_32, &value) && (value & 0xf600) == 0xf200, "segments.data_32", "%#x", value);
    check(!lar(0x10, &value) && !lsl(0x10, &value) && !verify(0x10, false), "segments.of_kernel", "seen from ring 3");
    check(!lar(0, &value) && !lsl(0, &value) && !verify(0, false), "segments.null", "seen");
    check(!lar(LDT_SELECTOR(500), &value) && !lar(0xfff8, &value), "segments.beyond", "seen");
    uint32_t cpu = 0;
    check(lsl(0x7b, &cpu) && (cpu & 0xfff) == 0, "segments.cpu_number", "LSL of 0x7b gives %#x", cpu);
}

/* 32-bit data with the E bit: what is valid lies above the limit. */
static void expand_down(void)
{
    uint32_t value = 0;
    struct user_desc segment = ldt_data(3, (uint32_t)(uintptr_t)low, 0xff);
    segment.contents = MODIFY_LDT_CONTENTS_STACK;
    check_equal("segments.expand_down", (uint64_t)ldt_write(&segment), 0);
    check(lar(LDT_SELECTOR(3), &value) && (value & 0xfe00) == 0xf600, "segments.expand_down_rights", "%#x", value);
    check(lsl(LDT_SELECTOR(3), &value) && value == 0xff, "segments.expand_down_limit", "%#x", value);
    low[0x40] = 0xabcdef;
    load_gs(LDT_SELECTOR(3));
    check_equal("segments.expand_down_data", at_gs(0x100), 0xabcdef);
    load_gs(0);
}

static void wrong_loads(void)
{
    struct user_desc gone = ldt_data(4, 0, 0xfff);
    gone.seg_not_present = 1;
    ldt_write(&gone);
    struct user_desc code = ldt_code(5, 0);
    code.read_exec_only = 1;
    ldt_write(&code);
    struct trap trap = trap_in(set_gs, (void *)(uintptr_t)LDT_SELECTOR(4));
    check_exception("segments.not_present", &trap, SIGBUS, SI_OF_KERNEL, 0, 11, LDT_SELECTOR(4) & ~3u);
    trap = trap_in(set_ss, (void *)(uintptr_t)LDT_SELECTOR(4));
    check_exception("segments.stack_not_present", &trap, SIGBUS, SI_OF_KERNEL, 0, 12, LDT_SELECTOR(4) & ~3u);
    trap = trap_in(set_ds, (void *)(uintptr_t)LDT_SELECTOR(5));
    check_exception("segments.execute_only", &trap, SIGSEGV, SI_OF_KERNEL, 0, 13, LDT_SELECTOR(5) & ~3u);
    trap = trap_in(set_gs, (void *)(uintptr_t)LDT_SELECTOR(900));
    check_exception("segments.beyond_ldt", &trap, SIGSEGV, SI_OF_KERNEL, 0, 13, LDT_SELECTOR(900) & ~3u);
    trap = trap_in(set_gs, (void *)0x10);
    check_exception("segments.kernel_data", &trap, SIGSEGV, SI_OF_KERNEL, 0, 13, 0x10);
    trap = trap_in(set_ds, (void *)0xfffb);
    check_exception("segments.beyond_gdt", &trap, SIGSEGV, SI_OF_KERNEL, 0, 13, 0xfff8);
    trap = trap_in(set_ss, (void *)0);
    check_exception("segments.null_stack", &trap, SIGSEGV, SI_OF_KERNEL, 0, 13, 0);
    trap = trap_in(set_ss, (void *)CODE_32);
    check_exception("segments.code_as_stack", &trap, SIGSEGV, SI_OF_KERNEL, 0, 13, CODE_32 & ~3u);
    trap = trap_in(set_ds, (void *)DATA_32);
    check_equal("segments.data", (uint64_t)trap.signal, 0);
    trap = trap_in(set_ss, (void *)DATA_32);
    check_equal("segments.stack", (uint64_t)trap.signal, 0);
    ldt_clear(4), ldt_clear(5);
}

static int look_and_change(void *context)
{
    uint32_t before, after;
    (void)context;
    load_gs(LDT_SELECTOR(6));
    before = at_gs(0);
    struct user_desc segment = ldt_data(6, (uint32_t)(uintptr_t)low + 4, 0xfff);
    ldt_write(&segment);
    load_gs(LDT_SELECTOR(6));
    after = at_gs(0);
    return before == 1111 && after == 2222 ? 0 : 1;
}

/* A child has the LDT of its parent, and then its own. */
static void inherited(void)
{
    struct user_desc segment = ldt_data(6, (uint32_t)(uintptr_t)low, 0xfff);
    low[0] = 1111, low[1] = 2222;
    ldt_write(&segment);
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < 20; i++) {
        n_wrong += run_process(look_and_change, NULL) != 0;
        load_gs(LDT_SELECTOR(6));
        n_wrong += at_gs(0) != 1111;
    }
    load_gs(0);
    check_equal("segments.inherited", n_wrong, 0);
}

static void refusals(void)
{
    struct user_desc segment = ldt_data(8192, 0, 0);
    check_equal("segments.entry_too_high", (uint64_t)ldt_write(&segment), (uint64_t)-EINVAL);
    segment = ldt_data(8191, (uint32_t)(uintptr_t)low, 0xfff);
    check_equal("segments.last_entry", (uint64_t)ldt_write(&segment), 0);
    low[0] = 8191;
    load_gs(LDT_SELECTOR(8191));
    check_equal("segments.last_entry_data", at_gs(0), 8191);
    load_gs(0);
    ldt_clear(8191);
    segment = ldt_data(7, (uint32_t)(uintptr_t)low, 0xfff);
    segment.seg_32bit = 0;
    int result = ldt_write(&segment);
    if (result == -EINVAL) {
        skip("segments.16_bit", "this kernel has no 16-bit segments");
        return;
    }
    load_gs(LDT_SELECTOR(7));
    check_equal("segments.16_bit", at_gs(0), 8191);
    load_gs(0);
}

/* A segment that is taken away while it is loaded: gone after the next switch at the latest. */
static void taken_away(void)
{
    struct user_desc segment = ldt_data(6, (uint32_t)(uintptr_t)low, 0xfff);
    ldt_write(&segment);
    load_gs(LDT_SELECTOR(6));
    ldt_clear(6);
    usleep(1000);
    struct trap trap = trap_in(set_gs, (void *)(uintptr_t)LDT_SELECTOR(6));
    check(trap.signal == SIGSEGV || trap.signal == SIGBUS, "segments.taken_away", "signal %d", trap.signal);
    load_gs(0);
}

void check_segments(void)
{
    struct user_desc probe = ldt_data(0, 0, 0);
    if (ldt_write(&probe) == -ENOSYS) {
        skip("segments", "this kernel has no modify_ldt");
        return;
    }
    low = map_low_pages(1, PROT_READ | PROT_WRITE);
    data_segments();
    looks();
    expand_down();
    wrong_loads();
    inherited();
    refusals();
    taken_away();
}
