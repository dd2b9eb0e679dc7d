/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the checks of the 32-bit companion stand on. */
#include "base.h"

long (*kernel_entry)(void);
unsigned n_failed;

void *memset(void *to, int value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((volatile char *)to)[i] = (char)value;
    return to;
}

void *memcpy(void *to, const void *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((volatile char *)to)[i] = ((const char *)from)[i];
    return to;
}

long syscall6(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    long arguments[] = {a, b, f}, *at = arguments;
    __asm__ volatile("push %%ebp; push %%ebx; mov (%%ecx), %%ebx; mov 8(%%ecx), %%ebp; mov 4(%%ecx), %%ecx\n"
                     "int $0x80; pop %%ebx; pop %%ebp"
                     : "=a"(result), "+S"(d), "+D"(e), "+d"(c), "+c"(at)
                     : "0"(number)
                     : "memory");
    return result;
}

static void put(const char *text)
{
    unsigned n = 0;
    while (text[n])
        n++;
    CALL(SYS_WRITE, 1, text, n);
}

struct line {
    char text[200];
    unsigned length;
};

static void add(struct line *line, const char *text)
{
    while (*text && line->length < sizeof line->text - 2)
        line->text[line->length++] = *text++;
}

static void add_hex(struct line *line, uint32_t number)
{
    char digits[11] = "0x00000000";
    for (int i = 0; i < 8; i++)
        digits[2 + i] = "0123456789abcdef"[number >> (28 - 4 * i) & 15];
    add(line, digits);
}

static void end(struct line *line)
{
    line->text[line->length++] = '\n';
    line->text[line->length] = 0;
    put(line->text);
}

void check(bool right, const char *name, uint32_t got, uint32_t wanted)
{
    struct line line = {.length = 0};
    add(&line, right ? "ok i386." : "not ok i386.");
    add(&line, name);
    if (!right) {
        add(&line, ": "), add_hex(&line, got), add(&line, " instead of "), add_hex(&line, wanted);
        n_failed++;
    }
    end(&line);
}

void check_unless_known(bool right, const char *name, const char *what)
{
    struct line line = {.length = 0};
    add(&line, right ? "ok i386." : "known i386.");
    add(&line, name);
    if (!right)
        add(&line, ": "), add(&line, what);
    end(&line);
}

void skip(const char *name, const char *why)
{
    struct line line = {.length = 0};
    add(&line, "skip i386."), add(&line, name), add(&line, ": "), add(&line, why);
    end(&line);
}

void *map_pages(unsigned n_pages, int protection)
{
    long at = syscall6(SYS_MMAP2, 0, (long)n_pages * 4096, protection, 0x22, -1, 0);
    if ((unsigned long)at > -4096ul)
        CALL(SYS_EXIT, 3, 0, 0);
    return (void *)at;
}

int run_process(int (*function)(void))
{
    int status = 0;
    long child = CALL(SYS_FORK, 0, 0, 0);
    if (child == 0)
        CALL(SYS_EXIT, function(), 0, 0);
    CALL(SYS_WAITPID, child, &status, 0);
    return status & 0x7f ? 256 + (status & 0x7f) : status >> 8 & 255;
}

struct action {
    void *handler;
    uint32_t flags;
    void *restorer;
    uint32_t mask[2];
};

extern void signal_return(void);

void handle_signal(int signal, void (*handler)(int, void *, void *))
{
    struct action action = {(void *)handler, 0x4 | 0x04000000 | 0x40000000, (void *)signal_return, {0, 0}};
    syscall6(SYS_RT_SIGACTION, signal, (long)&action, 0, 8, 0, 0);
}

struct frame *frame_of(void *context)
{
    return (struct frame *)((char *)context + 20); /* behind flags, link and the alternate stack */
}

static void *way_back[5];
static struct trap last;

static void keep(int signal, void *info, void *context)
{
    const uint32_t *words = info;
    last.signal = (uint32_t)signal;
    last.code = words[2];
    last.address = words[3];
    last.frame = *frame_of(context);
    /* A handler starts with the kernel's choice of segments; those of the program are put back by whoever changed them. */
    __builtin_longjmp(way_back, 1);
}

struct trap trap_in(void (*function)(void))
{
    static const int signals[] = {SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV};
    for (unsigned i = 0; i < 5; i++)
        handle_signal(signals[i], keep);
    last.signal = 0;
    if (__builtin_setjmp(way_back) == 0)
        function();
    struct action plain = {0};
    for (unsigned i = 0; i < 5; i++)
        syscall6(SYS_RT_SIGACTION, signals[i], (long)&plain, 0, 8, 0, 0);
    return last;
}

/* The stack at entry: argc, argv, 0, environment, 0, auxiliary vector. */
__attribute__((noreturn, used)) void begin(uint32_t *stack)
{
    uint32_t *at = stack + 1 + stack[0] + 1;
    while (*at)
        at++;
    for (at++; at[0]; at += 2)
        if (at[0] == 32)
            kernel_entry = (long (*)(void))at[1];
    check_calls();
    check_traps();
    check_segments();
    check_instructions();
    CALL(SYS_EXIT, n_failed != 0, 0, 0);
    __builtin_unreachable();
}
