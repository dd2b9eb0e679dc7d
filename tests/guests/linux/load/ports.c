/* SPDX-License-Identifier: GPL-2.0-or-later */
/* I/O instructions of user code: by iopl, by ioperm, and #GP without them. */
#define _GNU_SOURCE
#include "groups.h"
#include "trap.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <unistd.h>

#define POST_PORT 0x80    /* a store is harmless */
#define MASK_PORT 0x21    /* the mask of the first interrupt controller: reading it does nothing */
#define EMPTY_PORT 0x1a8  /* nothing answers */

static void read_port(void *context)
{
    (void)inb((uint16_t)(uintptr_t)context);
}

static void read_wide(void *context)
{
    (void)inl((uint16_t)(uintptr_t)context);
}

static void write_port(void *context)
{
    outb(0, (uint16_t)(uintptr_t)context);
}

static void write_immediate(void *context)
{
    (void)context;
    __asm__ volatile("outb %%al, $0x80" : : "a"(0));
}

static void read_string(void *context)
{
    static char bytes[4];
    insb((uint16_t)(uintptr_t)context, bytes, 4);
}

static void write_string(void *context)
{
    outsb((uint16_t)(uintptr_t)context, "1234", 4);
}

static void interrupts_off(void *context)
{
    (void)context;
    __asm__ volatile("cli");
}

static void halt(void *context)
{
    (void)context;
    __asm__ volatile("hlt");
}

static bool refused(void (*function)(void *), unsigned port)
{
    struct trap trap = trap_in(function, (void *)(uintptr_t)port);
    return trap.signal == SIGSEGV && trap.code == 0x80 && trap.registers[REG_TRAPNO] == 13 && trap.registers[REG_ERR] == 0;
}

static bool allowed(void (*function)(void *), unsigned port)
{
    return trap_in(function, (void *)(uintptr_t)port).signal == 0;
}

static void without_rights(void)
{
    check(refused(read_port, MASK_PORT), "ports.in_refused", "passed");
    check(refused(read_wide, EMPTY_PORT), "ports.in_wide_refused", "passed");
    check(refused(write_port, POST_PORT), "ports.out_refused", "passed");
    check(refused(write_immediate, 0), "ports.out_immediate_refused", "passed");
    check(refused(read_string, MASK_PORT), "ports.ins_refused", "passed");
    check(refused(write_string, POST_PORT), "ports.outs_refused", "passed");
    check(refused(interrupts_off, 0), "ports.cli_refused", "passed");
    check(refused(halt, 0), "ports.hlt_refused", "passed");
}

static int look_in_child(void *context)
{
    (void)context;
    unsigned n_wrong = !allowed(read_port, MASK_PORT) + !refused(read_port, MASK_PORT + 1);
    ioperm(MASK_PORT, 1, 0);
    return (int)(n_wrong + !refused(read_port, MASK_PORT));
}

static int look_in_program(void *context)
{
    (void)context;
    execl(program_path, "load", "child", "port", "0x21", (char *)NULL);
    return 126;
}

static void by_ioperm(void)
{
    check_equal("ports.ioperm", (uint64_t)ioperm(MASK_PORT, 1, 1), 0);
    check(allowed(read_port, MASK_PORT), "ports.in_allowed", "refused");
    check(refused(read_port, MASK_PORT + 1) && refused(read_port, MASK_PORT - 1), "ports.beside", "passed");
    check(refused(read_wide, MASK_PORT), "ports.wide_beside", "4 bytes passed with a right for one");
    ioperm(EMPTY_PORT, 4, 1);
    check(inb(EMPTY_PORT) == 0xff && inw(EMPTY_PORT) == 0xffff && inl(EMPTY_PORT) == ~0u, "ports.empty", "other values");
    check_equal("ports.inherited", (uint64_t)run_process(look_in_child, NULL), 0);
    check(allowed(read_port, MASK_PORT), "ports.kept", "a child's change came here");
    check_equal("ports.over_exec", (uint64_t)run_process(look_in_program, NULL), 0);
    ioperm(0x1000, 1, 1);
    check(refused(read_port, 0x1001) && refused(read_port, 0xffff), "ports.high", "passed");
    ioperm(0x1000, 1, 0), ioperm(EMPTY_PORT, 4, 0), ioperm(MASK_PORT, 1, 0);
    check(refused(read_port, MASK_PORT), "ports.taken_back", "passed");
}

/* One process with the right and one without, in turn: the map goes with the process. */
static int without_between(void *context)
{
    (void)context;
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < 50; i++) {
        n_wrong += !refused(read_port, MASK_PORT);
        sched_yield();
    }
    return n_wrong != 0;
}

static void over_switches(void)
{
    pid_t other = start_process(without_between, NULL);
    unsigned n_wrong = 0;
    ioperm(MASK_PORT, 1, 1);
    for (unsigned i = 0; i < 50; i++) {
        n_wrong += !allowed(read_port, MASK_PORT);
        sched_yield();
    }
    ioperm(MASK_PORT, 1, 0);
    check(wait_for(other) == 0 && n_wrong == 0, "ports.over_switches", "%u wrong here", n_wrong);
}

/* libc's insb does not tell the compiler that it stores. */
static void read_into(char *to, uint64_t n)
{
    __asm__ volatile("rep insb" : "+D"(to), "+c"(n) : "d"(MASK_PORT) : "memory");
}

static void into_read_only(void *context)
{
    read_into((char *)context + PAGE_BYTES - 4, 8);
}

static void strings(void)
{
    char *pages = map_pages(2, PROT_READ | PROT_WRITE);
    unsigned char mask = inb(MASK_PORT);
    memset(pages, 0x5a, 2 * PAGE_BYTES);
    read_into(pages + PAGE_BYTES - 4, 8);
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < 8; i++)
        n_wrong += (unsigned char)pages[PAGE_BYTES - 4 + i] != mask;
    n_wrong += pages[PAGE_BYTES + 4] != 0x5a;
    check_equal("ports.ins", n_wrong, 0);
    outsb(POST_PORT, pages, 16);
    /* INS that runs into a page that may not be written: what came before is there, and RCX says how many are left. */
    mprotect(pages + PAGE_BYTES, PAGE_BYTES, PROT_READ);
    memset(pages + PAGE_BYTES - 4, 0x33, 4);
    struct trap trap = trap_in(into_read_only, pages);
    check_exception("ports.ins_faults", &trap, SIGSEGV, SEGV_ACCERR, (uintptr_t)pages + PAGE_BYTES, 14, 7);
    check(trap.registers[REG_RCX] == 4 && trap.registers[REG_RDI] == (greg_t)(uintptr_t)pages + PAGE_BYTES &&
              (unsigned char)pages[PAGE_BYTES - 1] == mask,
          "ports.ins_progress", "rcx %lld, byte %#x", (long long)trap.registers[REG_RCX],
          (unsigned char)pages[PAGE_BYTES - 1]);
}

static void by_iopl(void)
{
    check_equal("ports.iopl", (uint64_t)iopl(3), 0);
    check(allowed(read_port, MASK_PORT) && allowed(read_wide, EMPTY_PORT) && allowed(write_port, POST_PORT) &&
              allowed(write_immediate, 0) && allowed(write_string, POST_PORT),
          "ports.iopl_allows", "refused");
    check(refused(halt, 0), "ports.iopl_hlt", "passed");
    strings();
    iopl(0);
    check(refused(read_port, MASK_PORT), "ports.iopl_back", "passed");
}

void check_ports(void)
{
    without_rights();
    if (ioperm(POST_PORT, 1, 1)) {
        skip("ports.with_rights", "%s", strerror(errno));
        return;
    }
    ioperm(POST_PORT, 1, 0);
    by_ioperm();
    over_switches();
    by_iopl();
}
