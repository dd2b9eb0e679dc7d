/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Segments of 32-bit code: thread areas, the LDT, code with a base, limits, far transfers to 64-bit code and back. */
#include "base.h"

struct descriptor {
    uint32_t entry, base, limit, flags; /* flags as in struct user_desc */
};

#define FLAG_32BIT 1u
#define FLAG_STACK 2u
#define FLAG_CODE 4u
#define FLAG_READ_ONLY 8u
#define FLAG_PAGES 16u
#define FLAG_ABSENT 32u
#define FLAG_USEABLE 64u

static uint32_t *page;

static uint32_t at_gs(uint32_t offset)
{
    uint32_t value;
    __asm__ volatile("movl %%gs:(%1), %0" : "=r"(value) : "r"(offset));
    return value;
}

static void set_gs(uint32_t selector)
{
    __asm__ volatile("mov %0, %%gs" : : "r"(selector) : "memory");
}

static uint32_t get_gs(void)
{
    uint32_t selector;
    __asm__ volatile("mov %%gs, %0" : "=r"(selector));
    return selector & 0xffff;
}

static int look_at_area(void)
{
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < 50; i++) {
        n_wrong += at_gs(0) != 4711;
        CALL(SYS_SCHED_YIELD, 0, 0, 0);
    }
    return n_wrong != 0;
}

static void thread_areas(void)
{
    struct descriptor area = {-1u, (uint32_t)page, 0xfffff, FLAG_32BIT | FLAG_PAGES | FLAG_USEABLE};
    long result = CALL(SYS_SET_THREAD_AREA, &area, 0, 0);
    check(result == 0, "set_thread_area", (uint32_t)result, 0);
    page[0] = 4711;
    set_gs(area.entry << 3 | 3);
    check(at_gs(0) == 4711, "thread_area", at_gs(0), 4711);
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < 10; i++)
        n_wrong += run_process(look_at_area) != 0;
    check(n_wrong == 0 && at_gs(0) == 4711 && get_gs() == (area.entry << 3 | 3), "thread_area_over_switches", n_wrong, 0);
    area.base = (uint32_t)page + 64;
    page[16] = 1234;
    CALL(SYS_SET_THREAD_AREA, &area, 0, 0);
    set_gs(area.entry << 3 | 3);
    check(at_gs(0) == 1234, "thread_area_moved", at_gs(0), 1234);
}

static volatile uint32_t beyond;

static void load_beyond(void)
{
    (void)at_gs(beyond);
}

static long write_ldt(uint32_t entry, void *base, uint32_t limit, uint32_t flags)
{
    struct descriptor segment = {entry, (uint32_t)base, limit, flags};
    return CALL(SYS_MODIFY_LDT, 0x11, &segment, sizeof segment);
}

static void limits(void)
{
    write_ldt(1, page, 0xff, FLAG_32BIT | FLAG_USEABLE);
    set_gs(0xf);
    page[0x3f] = 99;
    check(at_gs(0xfc) == 99, "within_limit", at_gs(0xfc), 99);
    beyond = 0x100;
    struct trap trap = trap_in(load_beyond);
    check_unless_known(trap.signal == SIGSEGV && trap.frame.vector == 13, "beyond_limit",
                       "no #GP: this engine, as QEMU's TCG, checks no limits at accesses");
    write_ldt(1, page, 0xff, FLAG_32BIT | FLAG_STACK | FLAG_USEABLE);
    set_gs(0xf);
    page[0x40] = 55;
    check(at_gs(0x100) == 55, "expand_down", at_gs(0x100), 55);
    beyond = 0x10;
    trap = trap_in(load_beyond);
    check_unless_known(trap.signal == SIGSEGV && trap.frame.vector == 13, "expand_down_limit",
                       "no #GP: this engine, as QEMU's TCG, checks no limits at accesses");
    set_gs(0);
    beyond = 0;
    trap = trap_in(load_beyond);
    check_unless_known(trap.signal == SIGSEGV && trap.frame.vector == 13, "null_segment",
                       "not #GP: this engine, as QEMU's TCG, takes a null segment for one of base 0");
}

/* A far call to code in the LDT, whose base is not 0. */
static void code_segment(void)
{
    /* call 1f; 1: pop %eax; lret */
    static const unsigned char code[] = {0xe8, 0, 0, 0, 0, 0x58, 0xcb};
    unsigned n_wrong = 0;
    char *text = map_pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
    for (unsigned i = 0; i < sizeof code; i++)
        text[0x40 + i] = (char)code[i];
    for (uint32_t i = 0; i < 40; i++) {
        struct {
            uint32_t offset;
            uint16_t selector;
        } __attribute__((packed)) to = {0x40 - i, 0x17};
        uint32_t offset;
        write_ldt(2, text + i, 0xfffff, FLAG_32BIT | FLAG_CODE | FLAG_PAGES | FLAG_USEABLE);
        __asm__ volatile("lcall *%1" : "=a"(offset) : "m"(to) : "memory", "cc");
        n_wrong += offset != 0x45 - i;
    }
    check(n_wrong == 0, "code_segment", n_wrong, 0);
}

/* A stack segment with a base: PUSH, POP and CALL go through it, and an interrupt that comes then. */
static void stack_segment(void)
{
    uint32_t seen, back;
    char *stack = map_pages(2, PROT_READ | PROT_WRITE);
    write_ldt(3, stack, 0xfffff, FLAG_32BIT | FLAG_PAGES | FLAG_USEABLE);
    __asm__ volatile("mov %%esp, %%esi; mov %%ss, %%edi; mov %2, %%eax; mov %%eax, %%ss; mov $0x1000, %%esp\n"
                     "push $0x1234; mov $100000, %%ecx; 1: dec %%ecx; jnz 1b; mov %%esp, %1\n"
                     "mov %%edi, %%ss; mov %%esi, %%esp; mov 0xffc(%3), %0"
                     : "=&a"(seen), "=&d"(back) : "i"(0x1f), "b"(stack) : "ecx", "esi", "edi", "memory", "cc");
    check(seen == 0x1234 && back == 0xffc, "stack_segment", seen, 0x1234);
}

static int64_t by_64_bits(int64_t number)
{
    uint32_t low = (uint32_t)number, high = (uint32_t)(number >> 32);
    /* ljmp $0x33; there: shl $32, %rdx; or %rdx, %rax; imul %rax, %rax; mov %rax, %rdx; shr $32, %rdx; lret to 0x23 */
    __asm__ volatile("push %%cs; push $2f; ljmp $0x33, $1f\n"
                     "1: .byte 0x48, 0xc1, 0xe2, 0x20, 0x89, 0xc0, 0x48, 0x09, 0xd0, 0x48, 0x0f, 0xaf, 0xc0\n"
                     ".byte 0x48, 0x89, 0xc2, 0x48, 0xc1, 0xea, 0x20, 0xcb\n2:"
                     : "+a"(low), "+d"(high) : : "memory", "cc");
    return (int64_t)((uint64_t)high << 32 | low);
}

static void long_mode(void)
{
    unsigned n_wrong = 0;
    for (int64_t i = 0; i < 1000; i++) {
        int64_t number = (i << 20) + i;
        n_wrong += by_64_bits(number) != (int64_t)((uint64_t)number * (uint64_t)number);
    }
    check(n_wrong == 0, "through_64_bits", n_wrong, 0);
}

static void use_absent(void)
{
    set_gs(0x27);
}

static void use_kernel(void)
{
    __asm__ volatile("mov %0, %%es" : : "r"(0x18));
}

static void wrong_loads(void)
{
    write_ldt(4, page, 0xfff, FLAG_32BIT | FLAG_ABSENT | FLAG_USEABLE);
    struct trap trap = trap_in(use_absent);
    check(trap.signal == SIGBUS && trap.frame.vector == 11 && trap.frame.error == 0x24, "absent", trap.frame.error, 0x24);
    trap = trap_in(use_kernel);
    check(trap.signal == SIGSEGV && trap.frame.error == 0x18, "of_kernel", trap.frame.error, 0x18);
}

void check_segments(void)
{
    page = map_pages(1, PROT_READ | PROT_WRITE);
    thread_areas();
    if (write_ldt(0, page, 0, FLAG_32BIT) == -38) {
        skip("ldt", "this kernel has no modify_ldt");
    } else {
        limits();
        code_segment();
        stack_segment();
        wrong_loads();
    }
    long_mode();
    set_gs(0);
}
