/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which ring for the guest kernel? Measures, on Unicorn 2.1.4, what the choice costs:
 *
 *   cli          a privileged instruction of the kernel, trapped and stepped over
 *   round trip   user code at CPL 3 calls its kernel by SYSCALL, the kernel goes back by a trapping instruction
 *
 * once with the kernel at CPL 1 (its pages are supervisor pages: one set of tables serves kernel and user) and
 * once at CPL 3 (kernel and user need a view each: CR3 is written at every change). Not part of the test suite:
 *
 *   U=$(python -c 'import unicorn, os; print(os.path.dirname(unicorn.__file__))')
 *   gcc -O2 -I$U/include tests/bench/rings.c $U/lib/libunicorn.so.2 -Wl,-rpath,$U/lib -o /tmp/rings && /tmp/rings
 *
 * The offsets below are those of 2.1.4; the package itself finds and verifies its own (cpu/shim/selftest.c).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unicorn/unicorn.h>

enum { CPU = 0x1b8, STATE = 0x8a50, RIP = 128, HFLAGS = 176, SEGS = 184, OLD_EXCEPTION = 5496 };
enum { KERNEL_PAGE = 1, USER_PAGE = 2, N = 300000 };

static uint8_t *state, *ram;
static uc_engine *uc;
static int ring;
static uint64_t roots[2]; /* kernel's view, user's view; the same root where one view serves both */

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void load_segment(int index, uint32_t selector, uint32_t flags)
{
    uint8_t *cache = state + SEGS + 24 * index;
    *(uint32_t *)cache = selector;
    *(uint64_t *)(cache + 8) = 0;
    *(uint32_t *)(cache + 16) = 0xffffffff;
    *(uint32_t *)(cache + 20) = flags;
}

static void set_cpl(uint32_t cpl)
{
    load_segment(1, 8 | cpl, 0xa09b00 | cpl << 13);
    load_segment(2, 16 | cpl, 0xc09300 | cpl << 13);
    uint32_t *hflags = (uint32_t *)(state + HFLAGS);
    *hflags = (*hflags & ~3u) | cpl;
}

static void switch_to(int user)
{
    if (roots[0] != roots[1])
        uc_reg_write(uc, UC_X86_REG_CR3, &roots[user]);
    set_cpl(user ? 3 : (uint32_t)ring);
}

/* The kernel: CLI is stepped over; HLT ends the run; CLTS (0f 06) returns to the user instruction in RCX. */
static void on_interrupt(uc_engine *engine, uint32_t vector, void *data)
{
    (void)data;
    uint64_t *rip = (uint64_t *)(state + RIP);
    *(int32_t *)(state + OLD_EXCEPTION) = -1;
    const uint8_t *code = ram + *rip;
    if (vector != 13 || *code == 0xf4) {
        uc_emu_stop(engine);
    } else if (*code == 0xfa) {
        *rip += 1;
    } else {
        *rip = *(uint64_t *)(state + 8);
        switch_to(1);
    }
}

static void on_syscall(uc_engine *engine, void *data)
{
    (void)engine, (void)data;
    uint64_t *rip = (uint64_t *)(state + RIP);
    *(uint64_t *)(state + 8) = *rip + 2;
    switch_to(0);
    *rip = KERNEL_PAGE * 4096 + 0x100 - 2;
}

static void build_tables(uint8_t *hv, int which, uint64_t base)
{
    uint64_t *tables = (uint64_t *)(hv + which * 0x4000);
    uint64_t at = base + (uint64_t)which * 0x4000;
    int user_only = ring == 3 && which == 1;
    roots[which] = at;
    for (int level = 0; level < 3; level++)
        tables[level * 512] = (at + (uint64_t)(level + 1) * 0x1000) | 7;
    if (!user_only)
        tables[3 * 512 + KERNEL_PAGE] = KERNEL_PAGE * 4096 | 1 | (ring == 3 ? 4 : 0);
    tables[3 * 512 + USER_PAGE] = USER_PAGE * 4096 | 5;
}

static double run(uint64_t entry, uint32_t cpl, int view)
{
    double best = 1e9;
    for (int round = 0; round < 7; round++) {
        uc_reg_write(uc, UC_X86_REG_CR3, &roots[view]);
        set_cpl(cpl);
        uint64_t begin = now_ns();
        uc_emu_start(uc, entry, 0, 0, 0);
        double ns = (double)(now_ns() - begin) / N;
        best = ns < best ? ns : best;
    }
    return best;
}

static void measure(int kernel_ring)
{
    const uint64_t base = 1ull << 38;
    ring = kernel_ring;
    uc_open(UC_ARCH_X86, UC_MODE_64, &uc);
    ram = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *hv = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uc_mem_map_ptr(uc, 0, 1 << 20, UC_PROT_ALL, ram);
    uc_mem_map_ptr(uc, base, 1 << 20, UC_PROT_ALL, hv);
    uc_ctl_exits_enable(uc);
    state = *(uint8_t **)((uint8_t *)uc + CPU) + STATE;
    build_tables(hv, 0, base);
    build_tables(hv, 1, base);
    if (ring == 1)
        roots[1] = roots[0];

    const uint8_t kernel[] = {0xb9, 0, 0, 0, 0, 0xfa, 0xff, 0xc9, 0x75, 0xfb, 0xf4}; /* mov ecx,N; cli; dec; jnz */
    const uint8_t user[] = {0x41, 0xbf, 0, 0, 0, 0, 0x0f, 0x05, 0x41, 0xff, 0xcf, 0x75, 0xf9, 0xf4};
    const uint8_t back[] = {0x0f, 0x06};
    memcpy(ram + KERNEL_PAGE * 4096, kernel, sizeof kernel);
    memcpy(ram + KERNEL_PAGE * 4096 + 0x100, back, sizeof back);
    memcpy(ram + USER_PAGE * 4096, user, sizeof user);
    *(uint32_t *)(ram + KERNEL_PAGE * 4096 + 1) = *(uint32_t *)(ram + USER_PAGE * 4096 + 2) = N;

    uint64_t cr4 = 0x620, cr0 = 0x80010033;
    uc_x86_msr efer = {0xc0000080, 0xd01};
    uc_reg_write(uc, UC_X86_REG_CR4, &cr4);
    uc_reg_write(uc, UC_X86_REG_MSR, &efer);
    uc_reg_write(uc, UC_X86_REG_CR0, &cr0);
    uc_hook hook;
    uc_hook_add(uc, &hook, UC_HOOK_INTR, (void *)on_interrupt, NULL, 1, 0);
    uc_hook_add(uc, &hook, UC_HOOK_INSN, (void *)on_syscall, NULL, 1, 0, UC_X86_INS_SYSCALL);

    double cli = run(KERNEL_PAGE * 4096, (uint32_t)ring, 0), trip = run(USER_PAGE * 4096, 3, 1);
    printf("kernel at CPL %d: cli %6.1f ns, user-kernel-user %7.1f ns\n", ring, cli, trip);
    uc_close(uc);
}

int main(void)
{
    measure(1);
    measure(3);
    return 0;
}
