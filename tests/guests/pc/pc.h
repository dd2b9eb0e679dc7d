/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a bare PC guest of these tests has: a serial port to print on, tables it may bend, and TRY, which runs
 * an instruction and keeps what it raised. The same source is built for 32-bit and for 64-bit kernels, and
 * runs under any PC emulator: nothing here knows pvisor.
 */
#ifndef TEST_PC_H
#define TEST_PC_H
#include <stdbool.h>
#include <stdint.h>

typedef unsigned long word; /* as wide as a register */

#ifdef __x86_64__
#define S "q" /* of an instruction */
#define SP "rsp"
#else
#define S "l"
#define SP "esp"
#endif

enum { CODE = 0x08, DATA = 0x10, OTHER_CODE = 0x18, FREE = 0x20 };
enum { LEAVE = 0x80 }; /* the vector by which ring 3 gives up: see user.h */

/* What the entry code of pc.S pushes, upwards. */
struct frame {
    word registers[sizeof(word) == 8 ? 15 : 9]; /* AX CX DX BX BP SI DI, then R8 to R15, in 32-bit code ES DS */
    word vector, error, ip, cs, flags, sp, ss; /* SP and SS: in 32-bit code only if the ring changed */
};

/* The last exception, and how often one came since `forget`. */
struct trap {
    word count, vector, error, cr2, ip, cs, flags, sp, ss;
};
extern volatile struct trap trap;
extern volatile word try_begin, try_resume, try_sp;
extern volatile word n_interrupts, interrupt_ip; /* of vectors from 0x20 on, which no exception uses */
extern volatile word interrupt_flags;          /* RFLAGS inside the last one */
extern void (*volatile on_interrupt)(struct frame *); /* takes the vectors from 0x20 on, instead of counting */
extern uint64_t gdt[64];
struct table_register {
    uint16_t limit;
    word base;
} __attribute__((packed));
extern struct table_register gdt_register, idt_register;

/* Runs INSNS; an exception in there goes on behind them. AX, DX and the stack are at their disposal. */
#define TRY(name, insns, ...)                                                                         \
    do {                                                                                              \
        trap.count = 0;                                                                               \
        __asm__ volatile("mov" S " $8f, try_begin\n mov" S " $9f, try_resume\n mov %%" SP ", try_sp\n"  \
                         "8: " insns "\n 9: mov try_sp, %%" SP                                          \
                         : : __VA_ARGS__ : "memory", "cc", "ax", "dx");                                     \
        report(name);                                                                                 \
    } while (0)

static inline void outb(uint16_t ioport, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(ioport));
}

static inline uint8_t inb(uint16_t ioport)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(ioport));
    return value;
}

#define CONTROL(n)                                                                                    \
    static inline word read_cr##n(void)                                                               \
    {                                                                                                 \
        word value;                                                                                   \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(value) : : "memory");                            \
        return value;                                                                                 \
    }                                                                                                 \
    static inline void write_cr##n(word value)                                                        \
    {                                                                                                 \
        __asm__ volatile("mov %0, %%cr" #n : : "r"(value) : "memory");                                \
    }
CONTROL(0)
CONTROL(2)
CONTROL(3)
CONTROL(4)

static inline uint64_t rdmsr(uint32_t index)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
    return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t index, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline void invlpg(const volatile void *address)
{
    __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

extern const uint32_t boot_eax, boot_ebx; /* as the kernel was entered */

void print(const char *text);
void print_hex(uint64_t value);
void show(const char *name, uint64_t value); /* `name: 0x12` */
void report(const char *name);               /* `name: nothing` or `name: vector 13, error 0x18, at +0` */
_Noreturn void quit(uint8_t status);         /* by isa-debug-exit */

void set_gate(unsigned vector, word target, uint16_t selector, uint8_t type_and_dpl, uint8_t ist);
void set_segment(uint16_t selector, uint32_t base, uint32_t limit, uint8_t access, uint8_t flags);
void back_to_kernel(struct frame *frame); /* behind TRY or USER, whatever ran in there */
void use_all_gates(void); /* the vectors from 48 on too */
extern const uint8_t entries[256][16]; /* of pc.S, by vector */
#define ENTRY(vector) ((word)entries[vector])

int main(void);
#endif
