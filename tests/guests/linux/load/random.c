/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes that mean nothing, run as code: whatever they do, it ends with their process. */
#define _GNU_SOURCE
#include "groups.h"
#include "emit.h"
#include "trap.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>

static char *code;

static void run(void *context)
{
    (void)context;
    call_with_room(code);
}

static int run_random(void *context)
{
    uint32_t state = (uint32_t)(uintptr_t)context * 2654435761u + 1;
    struct itimerval patience = {{0, 0}, {0, 100000}};
    setitimer(ITIMER_REAL, &patience, NULL); /* what does not end, ends so */
    for (unsigned i = 0; i < 50; i++) {
        for (unsigned j = 0; j < 16; j++) {
            state = state * 1664525 + 1013904223;
            code[j] = (char)(state >> 24);
        }
        /* Neither SYSCALL, SYSENTER nor INT: what the kernel would do then is not the CPU's affair. Nor jumps. */
        for (unsigned j = 0; j < 16; j++) {
            unsigned char byte = (unsigned char)code[j];
            if (byte == 0x05 || byte == 0x34 || byte == 0xcd || (byte & 0xf0) == 0x70 || (byte & 0xfc) == 0xe0 ||
                byte == 0xe8 || byte == 0xe9 || byte == 0xeb || (byte & 0xf0) == 0x80 || byte == 0xf2 || byte == 0xf3 ||
                byte == 0xff || byte == 0xc2 || byte == 0xc3 || byte == 0xc8 || byte == 0xca || byte == 0xcb || byte == 0xcf)
                code[j] = (char)0x90;
        }
        code[16] = 0x0f;
        code[17] = 0x0b;
        trap_in(run, NULL);
    }
    return 0;
}

/* Bytes of no meaning: they end in a signal, and the machine lives on. */
void check_random(void)
{
    code = map_pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
    unsigned n_done = 0;
    for (uintptr_t i = 0; i < 60; i++) {
        run_process(run_random, (void *)i);
        n_done++;
    }
    check_equal("random.survived", n_done, 60);
}
