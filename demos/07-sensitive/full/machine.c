/* SPDX-License-Identifier: MIT */
/* Tables of a 64-bit kernel (Intel SDM 3A, 3.5, 6.14 and 7.7), the 8259 interrupt controllers and the 8254 timer. */
#include "machine.h"

enum { TIMER_VECTOR = 0x20, PIC = 0x20, PIC2 = 0xa0, PIT = 0x40, END_OF_INTERRUPT = 0x20 };

#define PIT_HZ 1193182

uint64_t my_gdt[7] = {
    0,
    0x00af9b000000ffff, /* CODE, as the SDK has it */
    0x00cf93000000ffff, /* DATA */
};
uint64_t my_idt[2 * 33];
volatile uint32_t ticks;

static uint64_t local_table[1];
static uint8_t task_state[104];

static void out8(uint16_t ioport, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(ioport));
}

/* A system descriptor of 16 bytes: access byte 0x89 is an available TSS, 0x82 an LDT. */
static void set_system(unsigned selector, uint64_t base, uint32_t limit, uint64_t access)
{
    uint64_t *entry = &my_gdt[selector / 8];
    entry[0] = limit | (base & 0xffffff) << 16 | access << 40 | (base >> 24 & 0xff) << 56;
    entry[1] = base >> 32;
}

/* The handler: counts. A function in C could not end by IRET. */
__asm__(".pushsection .text\n"
        ".type on_timer, @function\n"
        "on_timer:\n"
        "    push %rax\n"
        "    incl ticks(%rip)\n"
        "    movb $0x20, %al\n"
        "    outb %al, $0x20\n"
        "    pop %rax\n"
        "    iretq\n"
        ".size on_timer, . - on_timer\n"
        ".popsection\n");
extern const char on_timer[];

static void set_gate(unsigned vector, uint64_t target)
{
    my_idt[2 * vector] = (target & 0xffff) | (uint64_t)CODE << 16 | 0x8e00ull << 32 | (target >> 16 & 0xffff) << 48;
    my_idt[2 * vector + 1] = target >> 32;
}

void use_own_tables(void)
{
    struct table_register gdtr = {sizeof my_gdt - 1, (uint64_t)my_gdt};
    struct table_register idtr = {sizeof my_idt - 1, (uint64_t)my_idt};

    out8(PIC + 1, 0xff); /* no device may interrupt yet */
    out8(PIC2 + 1, 0xff);
    set_gate(TIMER_VECTOR, (uint64_t)on_timer);
    set_system(TASK, (uint64_t)task_state, sizeof task_state - 1, 0x89);
    set_system(LOCAL, (uint64_t)local_table, sizeof local_table - 1, 0x82);
    __asm__ volatile("cli; lgdt %0; lidt %1; ltr %w2; lldt %w3"
                     : : "m"(gdtr), "m"(idtr), "r"(TASK), "r"(LOCAL) : "memory");
}

void start_clock(void)
{
    out8(PIC, 0x11); /* ICW1: edges, a pair, ICW4 follows */
    out8(PIC + 1, TIMER_VECTOR);
    out8(PIC + 1, 4); /* the other one is at line 2 */
    out8(PIC + 1, 1); /* an 8086 */
    out8(PIC + 1, 0xfe); /* line 0 alone, the timer's */
    out8(PIT + 3, 0x34); /* channel 0, both bytes, mode 2 */
    out8(PIT, PIT_HZ / 1000 & 0xff);
    out8(PIT, PIT_HZ / 1000 >> 8);
}
