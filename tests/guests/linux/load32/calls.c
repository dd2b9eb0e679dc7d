/* SPDX-License-Identifier: GPL-2.0-or-later */
/* System calls of a 32-bit program: by INT 0x80, and by the entry that the kernel gives it (SYSENTER). */
#include "base.h"

static int give_17(void)
{
    return 17;
}

static unsigned entry_differs(void)
{
    unsigned n_wrong = 0;
    long self = CALL(SYS_GETPID, 0, 0, 0);
    for (unsigned i = 0; i < 3000; i++)
        n_wrong += sysinfo_call((void *)kernel_entry, SYS_GETPID, 0, 0) != self;
    return n_wrong;
}

/* EBX, ESI, EDI and EBP are what they were behind a call; ESP is what matters for the entry by SYSENTER. */
static uint32_t registers_kept(bool by_entry)
{
    uint32_t ok;
    void *entry = (void *)kernel_entry;
    if (by_entry)
        __asm__ volatile("push %%ebp; push %%ebx; mov %1, %%edx; mov $0x11, %%ebx; mov $0x22, %%esi; mov $0x33, %%edi\n"
                         "mov $0x44, %%ebp; mov $20, %%eax; push %%ebp; call *%%edx; pop %%ecx; xor %%eax, %%eax\n"
                         "cmp $0x44, %%ecx; jne 1f; cmp $0x11, %%ebx; jne 1f; cmp $0x22, %%esi; jne 1f\n"
                         "cmp $0x33, %%edi; jne 1f; cmp $0x44, %%ebp; jne 1f; inc %%eax\n1: pop %%ebx; pop %%ebp"
                         : "=a"(ok) : "r"(entry) : "ecx", "edx", "esi", "edi", "memory", "cc");
    else
        __asm__ volatile("push %%ebp; push %%ebx; mov $0x11, %%ebx; mov $0x22, %%esi; mov $0x33, %%edi\n"
                         "mov $0x44, %%ebp; mov $20, %%eax; int $0x80; xor %%eax, %%eax\n"
                         "cmp $0x11, %%ebx; jne 1f; cmp $0x22, %%esi; jne 1f\n"
                         "cmp $0x33, %%edi; jne 1f; cmp $0x44, %%ebp; jne 1f; inc %%eax\n1: pop %%ebx; pop %%ebp"
                         : "=a"(ok) : : "ecx", "edx", "esi", "edi", "memory", "cc");
    return ok;
}

static void times(void)
{
    int32_t before[2], now[2];
    unsigned n_back = 0;
    CALL(SYS_CLOCK_GETTIME, 1, before, 0);
    for (unsigned i = 0; i < 500; i++) {
        CALL(SYS_CLOCK_GETTIME, 1, now, 0);
        n_back += now[0] < before[0] || (now[0] == before[0] && now[1] < before[1]);
        before[0] = now[0], before[1] = now[1];
    }
    check(n_back == 0, "time_forward", n_back, 0);
}

static void pipes(void)
{
    int ends[2];
    uint32_t number = 0, n_wrong = 0;
    CALL(SYS_PIPE, ends, 0, 0);
    for (uint32_t i = 0; i < 500; i++) {
        number = i * 77;
        CALL(SYS_WRITE, ends[1], &number, 4);
        number = 0;
        CALL(SYS_READ, ends[0], &number, 4);
        n_wrong += number != i * 77;
    }
    check(n_wrong == 0, "pipes", n_wrong, 0);
    long result = CALL(SYS_WRITE, ends[1], 16, 4);
    check(result == -14, "bad_pointer", (uint32_t)result, (uint32_t)-14);
}

void check_calls(void)
{
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < 60; i++)
        n_wrong += run_process(give_17) != 17;
    check(n_wrong == 0, "fork", n_wrong, 0);
    check(registers_kept(false), "int_80_registers", 0, 1);
    if (kernel_entry) {
        check(entry_differs() == 0, "kernel_entry", entry_differs(), 0);
        check(registers_kept(true), "kernel_entry_registers", 0, 1);
    } else {
        skip("kernel_entry", "the kernel gives none");
    }
    times();
    pipes();
}
