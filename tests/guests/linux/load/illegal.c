/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instructions that user code may not run, or that there are not: each must be its signal, and none more. */
#define _GNU_SOURCE
#include "groups.h"
#include "emit.h"
#include "trap.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>

static char *code;

static void run(void *context)
{
    (void)context;
    call_with_room(code);
}

struct bytes {
    const char *name;
    unsigned length;
    unsigned char code[16];
};

static struct trap try(const struct bytes *bytes)
{
    memcpy(code, bytes->code, bytes->length);
    code[bytes->length] = (char)0xc3;
    return trap_in(run, NULL);
}

/* #GP(0) at ring 3 (SDM, volume 2, of each), at the instruction's own address. */
static void privileged(void)
{
    static const struct bytes all[] = {
        {"cli", 1, {0xfa}},
        {"sti", 1, {0xfb}},
        {"hlt", 1, {0xf4}},
        {"hlt_prefixed", 2, {0x66, 0xf4}},
        {"clts", 2, {0x0f, 0x06}},
        {"invd", 2, {0x0f, 0x08}},
        {"wbinvd", 2, {0x0f, 0x09}},
        {"mov_cr0", 3, {0x0f, 0x22, 0xc0}},
        {"mov_from_cr3", 3, {0x0f, 0x20, 0xd8}},
        {"mov_cr8", 4, {0x44, 0x0f, 0x22, 0xc0}},
        {"mov_dr7", 3, {0x0f, 0x23, 0xf8}},
        {"mov_from_dr6", 3, {0x0f, 0x21, 0xf0}},
        {"rdmsr", 2, {0x0f, 0x32}},
        {"wrmsr", 2, {0x0f, 0x30}},
        {"lgdt", 3, {0x0f, 0x01, 0x10}},
        {"lidt", 3, {0x0f, 0x01, 0x18}},
        {"lldt", 3, {0x0f, 0x00, 0xd1}},
        {"ltr", 3, {0x0f, 0x00, 0xd9}},
        {"lmsw", 3, {0x0f, 0x01, 0xf1}},
        {"invlpg", 3, {0x0f, 0x01, 0x38}},
        {"swapgs", 3, {0x0f, 0x01, 0xf8}},
        {"sysret", 3, {0x48, 0x0f, 0x07}},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(all); i++) {
        char name[40] = "illegal.";
        struct trap trap = try(&all[i]);
        check_exception(strcat(name, all[i].name), &trap, SIGSEGV, 0x80, 0, 13, 0);
        if (trap.signal && trap.registers[REG_RIP] != (greg_t)(uintptr_t)code)
            check(false, strcat(name, "_rip"), "%+ld", (long)(trap.registers[REG_RIP] - (greg_t)(uintptr_t)code));
    }
}

/* SYSEXIT is #GP on Intel's CPUs, and not there in 64-bit mode on AMD's. */
static void system_exit(void)
{
    static const struct bytes bytes = {"sysexit", 2, {0x0f, 0x35}};
    struct trap trap = try(&bytes);
    check(trap.registers[REG_TRAPNO] == 13 || trap.registers[REG_TRAPNO] == 6, "illegal.sysexit", "signal %d", trap.signal);
}

/* #UD: what no CPU has, or none in 64-bit mode. */
static void undefined(void)
{
    static const struct bytes all[] = {
        {"ud2", 2, {0x0f, 0x0b}},
        {"ud1", 3, {0x0f, 0xb9, 0xc0}},
        {"ud0", 3, {0x0f, 0xff, 0xc0}},
        {"push_es", 1, {0x06}},
        {"daa", 1, {0x27}},
        {"pusha", 1, {0x60}},
        {"les", 2, {0xc4, 0x00}},
        {"aam", 2, {0xd4, 0x0a}},
        {"salc", 1, {0xd6}},
        {"into", 1, {0xce}},
        {"far_call", 7, {0x9a, 0, 0, 0, 0, 0, 0}},
        {"lock_nop", 2, {0xf0, 0x90}},
        {"lock_mov", 3, {0xf0, 0x89, 0x00}},
        {"lock_add_register", 3, {0xf0, 0x01, 0xc0}},
        {"lock_pushf", 2, {0xf0, 0x9c}},
        {"mov_cs", 2, {0x8e, 0xc8}},
        {"mov_cr1", 3, {0x0f, 0x22, 0xc8}},
        {"vmcall", 3, {0x0f, 0x01, 0xc1}},
        {"vmlaunch", 3, {0x0f, 0x01, 0xc2}},
        {"rsm", 2, {0x0f, 0xaa}},
        {"bound", 3, {0x62, 0x00, 0x00}},
        {"lea_register", 2, {0x8d, 0xc0}},
        {"group_8", 4, {0x0f, 0xba, 0xc0, 0x00}},
        {"group_9", 3, {0x0f, 0xc7, 0xc0}},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(all); i++) {
        char name[40] = "illegal.";
        struct trap trap = try(&all[i]);
        strcat(name, all[i].name);
        if (trap.signal == 0 || trap.registers[REG_TRAPNO] != 6)
            check_unless_known(false, name, "the engine's decoder lets it pass, or calls it #GP");
        else
            check(trap.signal == SIGILL, name, "signal %d", trap.signal);
    }
}

/* What has more than 15 bytes is #GP. */
static void too_long(void)
{
    struct bytes longest = {"", 15, {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90}};
    check_equal("illegal.fifteen_bytes", (uint64_t)try(&longest).signal, 0);
    memset(code, 0x66, 20);
    code[20] = (char)0x90;
    code[21] = (char)0xc3;
    struct trap trap = trap_in(run, NULL);
    check_unless_known(trap.signal == SIGSEGV && trap.registers[REG_TRAPNO] == 13, "illegal.sixteen_bytes",
                       "the engine's decoder lets it pass, or calls it #UD");
}

/* SGDT and its like: where UMIP is on, the kernel answers with numbers of its own; else the CPU does. No signal. */
static void stores_of_tables(void)
{
    static const struct bytes all[] = {
        {"sgdt", 3, {0x0f, 0x01, 0x00}}, {"sidt", 3, {0x0f, 0x01, 0x08}},  {"sldt", 3, {0x0f, 0x00, 0xc2}},
        {"str", 3, {0x0f, 0x00, 0xca}},  {"smsw", 3, {0x0f, 0x01, 0xe2}},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(all); i++) {
        char name[40] = "illegal.";
        struct trap trap = try(&all[i]);
        check(trap.signal == 0 || (trap.signal == SIGSEGV && trap.registers[REG_TRAPNO] == 13),
              strcat(name, all[i].name), "signal %d", trap.signal);
    }
    uint64_t table = 0, words[2] = {0, 0}, status = 0;
    if (try(&all[0]).signal)
        return;
    __asm__ volatile("sgdt %0; str %1; smsw %2" : "=m"(words), "=r"(table), "=r"(status));
    check((status & 1) && (status & 0xe) != 0x4, "illegal.status_word", "%#llx", (unsigned long long)status);
}

void check_illegal(void)
{
    code = map_pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
    privileged();
    system_exit();
    undefined();
    too_long();
    stores_of_tables();
}
