/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Code that is changed where it runs, in every way that a program has. */
#define _GNU_SOURCE
#include "groups.h"
#include "emit.h"
#include "trap.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define N_ROUNDS 4000u
#define ALL_RIGHTS (PROT_READ | PROT_WRITE | PROT_EXEC)

static void in_place(void)
{
    unsigned n_right = 0;
    char *code = map_pages(1, ALL_RIGHTS);
    emit_number(code, 0);
    for (uint32_t i = 0; i < N_ROUNDS; i++) {
        memcpy(code + 1, &i, 4);
        n_right += call_code(code) == i;
    }
    check_equal("code.in_place", n_right, N_ROUNDS);
}

static void by_rights(void)
{
    unsigned n_right = 0;
    char *code = map_pages(1, PROT_READ | PROT_WRITE);
    for (uint32_t i = 0; i < 1500; i++) {
        mprotect(code, PAGE_BYTES, PROT_READ | PROT_WRITE);
        emit_number(code + i % 64, i);
        mprotect(code, PAGE_BYTES, PROT_READ | PROT_EXEC);
        n_right += call_code(code + i % 64) == i;
    }
    check_equal("code.by_rights", n_right, 1500);
    mprotect(code, PAGE_BYTES, PROT_READ | PROT_WRITE);
    struct trap trap = trap_in((void (*)(void *))(uintptr_t)code, NULL);
    check_exception("code.no_longer", &trap, SIGSEGV, SEGV_ACCERR, (uintptr_t)code, 14, 0x15);
}

/* incq counter(%rip); mov counter(%rip), %rax; ret - and the counter in the same page. */
static void with_data(void)
{
    static const unsigned char program[] = {0x48, 0xff, 0x05, 0xf9, 0, 0, 0, 0x48, 0x8b, 0x05, 0xf2, 0, 0, 0, 0xc3};
    char *page = map_pages(1, ALL_RIGHTS);
    uint64_t last = 0;
    memcpy(page, program, sizeof program);
    for (unsigned i = 0; i < 10000; i++)
        last = call_long_code(page);
    uint64_t counter;
    memcpy(&counter, page + 0x100, sizeof counter);
    check(last == 10000 && counter == 10000, "code.with_data", "%llu, %llu", (unsigned long long)last,
          (unsigned long long)counter);
}

/* An instruction whose bytes lie in two pages; the one half and the other are changed. */
static void across_pages(void)
{
    unsigned n_right = 0;
    char *pages = map_pages(2, ALL_RIGHTS), *code = pages + PAGE_BYTES - 3;
    emit_number(code, 0);
    for (uint32_t i = 0; i < 2000; i++) {
        uint32_t number = i << 7;
        if (i % 2)
            memcpy(code + 3, (char *)&number + 2, 2), memcpy(code + 1, &number, 2);
        else
            memcpy(code + 1, &number, 4);
        n_right += call_code(code) == number;
    }
    check_equal("code.across_pages", n_right, 2000);
}

/* The second page of such an instruction is another one each time, and the first stays. */
static void across_mappings(void)
{
    unsigned n_right = 0;
    char *pages = map_pages(2, ALL_RIGHTS), *code = pages + PAGE_BYTES - 2;
    int file = memfd_create("load", 0);
    if (ftruncate(file, 16 * PAGE_BYTES))
        _exit(1);
    for (uint32_t i = 0; i < 16; i++) {
        char tail[] = {(char)i, (char)(i * 3), (char)(i * 5), (char)0xc3};
        if (pwrite(file, tail, 4, i * PAGE_BYTES) != 4)
            _exit(1);
    }
    code[0] = (char)0xb8;
    code[1] = 0x11;
    for (uint32_t i = 0; i < 320; i++) {
        uint32_t k = i * 7 % 16;
        mmap(pages + PAGE_BYTES, PAGE_BYTES, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, file, k * PAGE_BYTES);
        n_right += call_code(code) == (0x11 | k << 8 | k * 3 << 16 | k * 5 << 24);
    }
    check_equal("code.across_mappings", n_right, 320);
}

/* movb %dil, 1f+1(%rip); 1: mov $0, %al; movzbl %al, %eax; ret: it changes the instruction right behind. */
static void right_behind(void)
{
    static const unsigned char program[] = {0x40, 0x88, 0x3d, 1, 0, 0, 0, 0xb0, 0, 0x0f, 0xb6, 0xc0, 0xc3};
    char *code = map_pages(1, ALL_RIGHTS);
    unsigned n_right = 0;
    memcpy(code, program, sizeof program);
    for (uint32_t i = 0; i < 2000; i++)
        n_right += call_code_with(code, i & 255) == (i & 255);
    check_equal("code.right_behind", n_right, 2000);
}

/* rep stosb over the code that comes right behind: mov $8, %ecx; mov $0x90, %al; lea (%rip), %rdi; rep stosb; ud2 x4 */
static void by_string(void)
{
    static const unsigned char program[] = {0xb9, 8, 0, 0, 0, 0xb0, 0x90, 0x48, 0x8d, 0x3d, 2, 0, 0, 0, 0xf3, 0xaa,
                                            0x0f, 0x0b, 0x0f, 0x0b, 0x0f, 0x0b, 0x0f, 0x0b, 0xb8, 42, 0, 0, 0, 0xc3};
    char *code = map_pages(1, ALL_RIGHTS);
    unsigned n_right = 0;
    for (unsigned i = 0; i < 200; i++) {
        memcpy(code, program, sizeof program);
        n_right += call_code(code) == 42;
    }
    check_equal("code.by_string", n_right, 200);
}

/* The kernel writes code: by read(), and by process_vm_writev(). */
static void by_kernel(void)
{
    unsigned n_right = 0;
    int ends[2], memory = open("/proc/self/mem", O_RDWR);
    char *code = map_pages(1, ALL_RIGHTS), bytes[8];
    if (pipe(ends))
        _exit(1);
    for (uint32_t i = 0; i < 600; i++) {
        emit_number(bytes, i);
        if (i % 3 == 0) {
            write_all(ends[1], bytes, 6);
            read_all(ends[0], code, 6);
        } else if (i % 3 == 1) {
            struct iovec from = {bytes, 6}, to = {code, 6};
            process_vm_writev(getpid(), &from, 1, &to, 1, 0);
        } else if (pwrite(memory, bytes, 6, (off_t)(uintptr_t)code) != 6) {
            break;
        }
        n_right += call_code(code) == i;
    }
    check_equal("code.by_kernel", n_right, 600);
}

/* Other frames under one address: mapped over, moved, dropped, copied by fork. */
static void other_frames(void)
{
    unsigned n_right = 0;
    char *code = map_pages(1, ALL_RIGHTS), *spare = map_pages(1, ALL_RIGHTS);
    for (uint32_t i = 0; i < 500; i++) {
        char *page = mmap(NULL, PAGE_BYTES, ALL_RIGHTS, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        emit_number(page, i);
        n_right += call_code(page) == i;
        mremap(page, PAGE_BYTES, PAGE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, i % 2 ? code : spare);
        n_right += call_code(i % 2 ? code : spare) == i;
    }
    check_equal("code.other_frames", n_right, 1000);
    madvise(code, PAGE_BYTES, MADV_DONTNEED);
    struct trap trap = trap_in((void (*)(void *))(uintptr_t)code, NULL); /* zeros: add %al, (%rax) */
    emit_number(code, 3);
    check(call_code(code) == 3, "code.dropped", "signal %d", trap.signal);
}

static int change_in_child(void *context)
{
    char *code = context;
    unsigned n_wrong = call_code(code) != 7;
    for (uint32_t i = 0; i < 50; i++) {
        emit_number(code, i);
        n_wrong += call_code(code) != i;
    }
    return n_wrong != 0;
}

static void over_fork(void)
{
    char *code = map_pages(1, ALL_RIGHTS);
    unsigned n_wrong = 0;
    emit_number(code, 7);
    n_wrong += call_code(code) != 7;
    for (unsigned i = 0; i < 20; i++)
        n_wrong += run_process(change_in_child, code) != 0 || call_code(code) != 7;
    check_equal("code.over_fork", n_wrong, 0);
}

/* Code that reads itself finds what was written there, also where a hypervisor would have to replace it. */
static void read_back(void)
{
    static const unsigned char program[] = {0x9c, 0x58, 0x50, 0x9d, 0xc3}; /* pushf; pop %rax; push %rax; popf; ret */
    char *code = map_pages(1, ALL_RIGHTS);
    memcpy(code, program, sizeof program);
    unsigned n_right = 0;
    for (unsigned i = 0; i < 100; i++)
        n_right += (call_long_code(code) & 0x202) == 0x202;
    check_equal("code.flags", n_right, 100);
    check_unless_known(!memcmp(code, program, sizeof program), "code.read_back",
                       "code that has run shows HLT for an instruction that was replaced");
}

void check_code(void)
{
    in_place();
    by_rights();
    with_data();
    across_pages();
    across_mappings();
    right_behind();
    by_string();
    by_kernel();
    other_frames();
    over_fork();
    read_back();
}
