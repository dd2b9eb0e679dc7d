/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page faults of every kind: their address, their error code, and the signal that Linux makes of them. */
#define _GNU_SOURCE
#include "groups.h"
#include "trap.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define PRESENT 1u
#define WRITE 2u
#define USER 4u
#define FETCH 16u
#define PF 14u
#define GP 13u
#define SI_OF_KERNEL 0x80

static void load(void *address)
{
    (void)*(volatile uint8_t *)address;
}

static void store(void *address)
{
    *(volatile uint8_t *)address = 1;
}

static void add(void *address)
{
    __asm__ volatile("lock addl $1, (%0)" : : "r"(address) : "memory");
}

static void run(void *address)
{
    ((void (*)(void))(uintptr_t)address)();
}

static void jump(void *address)
{
    __asm__ volatile("jmp *%0" : : "r"(address) : "memory");
}

static void push(void *address)
{
    __asm__ volatile("mov %%rsp, %%rbx; mov %0, %%rsp; push $1; mov %%rbx, %%rsp" : : "r"(address) : "rbx", "memory");
}

static void load_two(void *address)
{
    uint64_t value;
    __asm__ volatile("mov (%1), %0" : "=r"(value) : "r"(address));
}

struct kind {
    const char *name;
    void (*access)(void *);
    int64_t at; /* within the page, or a whole address where that is not 0 */
    int code;
    unsigned vector, error;
};

static void try(const struct kind *kinds, size_t n_kinds, char *page)
{
    for (size_t i = 0; i < n_kinds; i++) {
        const struct kind *kind = &kinds[i];
        char *at = page + kind->at;
        struct trap trap = trap_in(kind->access, at);
        if (kind->access == add && trap.signal == SIGSEGV && trap.registers[REG_ERR] == USER) {
            check_unless_known(false, kind->name, "a locked read-modify-write reads first, as in QEMU's TCG");
            continue;
        }
        uintptr_t told = kind->vector == PF ? (uintptr_t)at : 0;
        check_exception(kind->name, &trap, SIGSEGV, kind->code, told, kind->vector, kind->error);
    }
}

static void unmapped(void)
{
    static const struct kind kinds[] = {
        {"faults.load", load, 0, SEGV_MAPERR, PF, USER},
        {"faults.load_at", load, 0x123, SEGV_MAPERR, PF, USER},
        {"faults.store", store, 8, SEGV_MAPERR, PF, USER | WRITE},
        {"faults.locked", add, 16, SEGV_MAPERR, PF, USER | WRITE},
        {"faults.fetch", run, 32, SEGV_MAPERR, PF, USER | FETCH},
        {"faults.fetch_jump", jump, 64, SEGV_MAPERR, PF, USER | FETCH},
    };
    char *page = map_pages(1, PROT_READ);
    munmap(page, PAGE_BYTES);
    try(kinds, ARRAY_LENGTH(kinds), page);
    static const struct kind at_null[] = {
        {"faults.null_load", load, 0, SEGV_MAPERR, PF, USER},
        {"faults.null_store", store, 0, SEGV_MAPERR, PF, USER | WRITE},
        {"faults.null_call", run, 0, SEGV_MAPERR, PF, USER | FETCH},
    };
    try(at_null, ARRAY_LENGTH(at_null), NULL);
}

static void forbidden(void)
{
    static const struct kind read_only[] = {
        {"faults.read_only_store", store, 0, SEGV_ACCERR, PF, PRESENT | USER | WRITE},
        {"faults.read_only_locked", add, 4, SEGV_ACCERR, PF, PRESENT | USER | WRITE},
        {"faults.no_execute", run, 0, SEGV_ACCERR, PF, PRESENT | USER | FETCH},
        {"faults.no_execute_jump", jump, 0x777, SEGV_ACCERR, PF, PRESENT | USER | FETCH},
    };
    static const struct kind none[] = {
        {"faults.none_load", load, 0, SEGV_ACCERR, PF, USER},
        {"faults.none_store", store, 1, SEGV_ACCERR, PF, USER | WRITE},
        {"faults.none_fetch", run, 2, SEGV_ACCERR, PF, USER | FETCH},
    };
    char *page = map_pages(1, PROT_READ | PROT_WRITE);
    *page = (char)0xc3;
    mprotect(page, PAGE_BYTES, PROT_READ);
    try(read_only, ARRAY_LENGTH(read_only), page);
    mprotect(page, PAGE_BYTES, PROT_NONE);
    try(none, ARRAY_LENGTH(none), page);
    mprotect(page, PAGE_BYTES, PROT_READ | PROT_EXEC);
    struct trap trap = trap_in(run, page);
    check_equal("faults.execute", (uint64_t)trap.signal, 0);
    trap = trap_in(store, page);
    check_exception("faults.code_store", &trap, SIGSEGV, SEGV_ACCERR, (uintptr_t)page, PF, PRESENT | USER | WRITE);
}

static void kernel_side(void)
{
    static const struct kind kinds[] = {
        {"faults.kernel_load", load, (int64_t)0xffff888000001000, SEGV_MAPERR, PF, PRESENT | USER},
        {"faults.kernel_store", store, (int64_t)0xffffffff81000000, SEGV_MAPERR, PF, PRESENT | USER | WRITE},
        {"faults.kernel_fetch", run, (int64_t)0xffffffff81000000, SEGV_MAPERR, PF, PRESENT | USER | FETCH},
        {"faults.kernel_end", load, -1, SEGV_MAPERR, PF, PRESENT | USER},
        {"faults.non_canonical_load", load, (int64_t)0x8000000000000000, SI_OF_KERNEL, GP, 0},
        {"faults.non_canonical_store", store, 0x0000800000000000, SI_OF_KERNEL, GP, 0},
        {"faults.non_canonical_jump", jump, 0x1234567800000000, SI_OF_KERNEL, GP, 0},
    };
    try(kinds, ARRAY_LENGTH(kinds), NULL);
    /* By RSP it is #SS, and that is SIGBUS; QEMU's engine makes #GP of it, which the manual of ours says. */
    struct trap trap = trap_in(push, (void *)0x1234567800000000);
    check_unless_known(trap.signal == SIGBUS && trap.registers[REG_TRAPNO] == 12, "faults.non_canonical_push",
                       "#GP instead of #SS, as QEMU's TCG");
}

static void across_pages(void)
{
    char *pages = map_pages(2, PROT_READ | PROT_WRITE);
    munmap(pages + PAGE_BYTES, PAGE_BYTES);
    struct trap trap = trap_in(load_two, pages + PAGE_BYTES - 3);
    check_exception("faults.across_pages", &trap, SIGSEGV, SEGV_MAPERR, (uintptr_t)pages + PAGE_BYTES, PF, USER);
    /* mov $imm32, %eax of which the last two bytes are missing */
    char *code = map_pages(2, PROT_READ | PROT_WRITE | PROT_EXEC);
    code[PAGE_BYTES - 3] = (char)0xb8;
    munmap(code + PAGE_BYTES, PAGE_BYTES);
    trap = trap_in(run, code + PAGE_BYTES - 3);
    check_exception("faults.code_across", &trap, SIGSEGV, SEGV_MAPERR, (uintptr_t)code + PAGE_BYTES, PF, USER | FETCH);
    check_equal("faults.code_across_rip", (uint64_t)trap.registers[REG_RIP], (uintptr_t)code + PAGE_BYTES - 3);
}

static void files(void)
{
    int file = memfd_create("load", 0);
    if (ftruncate(file, 100))
        _exit(1);
    char *pages = mmap(NULL, 2 * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    struct trap trap = trap_in(store, pages + 200);
    check_equal("faults.within_file", (uint64_t)trap.signal, 0);
    trap = trap_in(load, pages + PAGE_BYTES);
    check_trap("faults.beyond_file", &trap, SIGBUS, BUS_ADRERR, (uintptr_t)pages + PAGE_BYTES);
    if (ftruncate(file, 0))
        _exit(1);
    trap = trap_in(load, pages);
    check_trap("faults.truncated_file", &trap, SIGBUS, BUS_ADRERR, (uintptr_t)pages);
}

static int use_stack(void *context)
{
    volatile char big[3 << 20];
    for (long i = (long)sizeof big - 1; i >= 0; i -= 2048)
        big[i] = (char)i;
    unsigned n_wrong = 0;
    for (long i = (long)sizeof big - 1; i >= 0; i -= 2048)
        n_wrong += big[i] != (char)i;
    (void)context;
    return n_wrong != 0;
}

static int recurse(void *context)
{
    volatile char room[4096];
    if (!context)
        return 0;
    room[0] = *(volatile char *)context;
    return recurse((void *)room) + room[0];
}

static void stack_growth(void)
{
    check_equal("faults.stack_grows", (uint64_t)run_process(use_stack, NULL), 0);
    char byte = 0;
    check_equal("faults.stack_overflow", (uint64_t)run_process(recurse, &byte), 256 + SIGSEGV);
}

void check_faults(void)
{
    unmapped();
    forbidden();
    kernel_side();
    across_pages();
    files();
    stack_growth();
}
