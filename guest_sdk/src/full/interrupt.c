/* SPDX-License-Identifier: MIT */
/*
 * Exceptions and interrupts as a PC has them: the CPU finds the way through a table of gates, and the 8259 pair (pic.c)
 * says which device it was. A guest that calls nothing of this has no such table, and its first exception ends it.
 */
#include <stddef.h>

#include <pv/error.h>

#include "apic.h"
#include "interrupt.h"
#include "pic.h"

#define CODE64 0x08

#define N_TRAPS      32
#define IRQ_VECTOR   32
#define SELF_VECTOR  48
#define MESSAGE_VECTOR 49
#define NOISE_VECTOR 63 /* what the local APIC gives when a request has gone; its end is not told */
#define N_VECTORS    64
#define STUB_BYTES   16

#define GATE_INTERRUPT 0x8e00u /* present, DPL 0, clears IF */
#define GATE_USER      0x6000u /* DPL 3: user programs may raise it by instruction */

#define IF 0x200u

#define TRAPS 0x000b78fbu /* those of enum pv_trap, one bit each */

struct gate {
    uint16_t offset_0_15;
    uint16_t selector;
    uint16_t flags;
    uint16_t offset_16_31;
    uint32_t offset_32_63;
    uint32_t reserved;
};

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

/* A source, and its line to the 8259 pair. */
struct source {
    int irq; /* NO_IRQ: it comes through the local APIC */
    pv_interrupt_handler *handler;
    void *context;
    void (*set_mask)(enum pv_source source, bool is_masked); /* NULL: the 8259 pair's */
};

#define NO_IRQ (-1)

extern const char pv_interrupt_stubs[];
void pv_interrupted(struct pv_trap_frame *frame);

void (*pv_user_faulted)(const struct pv_trap_frame *frame);

static struct gate idt[N_VECTORS] __attribute__((aligned(16)));
static pv_trap_handler *traps[N_TRAPS];
static struct source sources[] = {
    [PV_SOURCE_SELF] = {.irq = NO_IRQ},
    [PV_SOURCE_TIMER] = {.irq = 0},
    [PV_SOURCE_NET] = {.irq = 9},
    [PV_SOURCE_CONSOLE] = {.irq = 4},
};
static void (*message_handler)(struct pv_trap_frame *frame);
static bool is_started, is_self_masked = true, is_self_raised;

#define N_SOURCES (sizeof sources / sizeof sources[0])

static void load_idt(const void *base, size_t size_bytes)
{
    struct table_pointer pointer = {(uint16_t)(size_bytes - 1), (uintptr_t)base};
    __asm__ volatile("lidt %0" : : "m"(pointer));
}

void pv_interrupt_start(void)
{
    if (is_started)
        return;
    is_started = true;
    for (size_t i = 0; i < N_VECTORS; i++) {
        uint64_t stub = (uintptr_t)pv_interrupt_stubs + i * STUB_BYTES;
        bool is_users = i == PV_TRAP_BREAKPOINT || i == PV_TRAP_OVERFLOW;
        idt[i] = (struct gate){
            .offset_0_15 = (uint16_t)stub,
            .selector = CODE64,
            .flags = (uint16_t)(GATE_INTERRUPT | (is_users ? GATE_USER : 0)),
            .offset_16_31 = (uint16_t)(stub >> 16),
            .offset_32_63 = (uint32_t)(stub >> 32),
        };
    }
    load_idt(idt, sizeof idt);
    pv_pic_start(IRQ_VECTOR);
}

bool pv_trap_is_user(const struct pv_trap_frame *frame)
{
    return frame->place & 3; /* the code segment: its two lowest bits are the ring */
}

int pv_trap_set(enum pv_trap trap, pv_trap_handler *handler)
{
    if ((unsigned)trap >= N_TRAPS || !(TRAPS >> trap & 1))
        return -PV_EINVAL;
    pv_interrupt_start();
    traps[trap] = handler;
    return 0;
}

/*
 * An exception that nobody handles. Without an IDT the instruction cannot raise it a second time: that is a triple
 * fault, with all registers as they were at the first. What has come after its instruction does not come again.
 */
static void unhandled(struct pv_trap_frame *frame)
{
    if (pv_trap_is_user(frame) && pv_user_faulted != NULL)
        pv_user_faulted(frame); /* does not return */
    static const struct gate nothing;
    load_idt(&nothing, 1);
    if (frame->trap == PV_TRAP_BREAKPOINT || frame->trap == PV_TRAP_OVERFLOW || frame->trap == PV_TRAP_DEBUG)
        __builtin_trap();
}

static void interrupt(const struct source *source, struct pv_trap_frame *frame)
{
    if (source->handler != NULL)
        source->handler(source->context, frame);
}

void pv_interrupted(struct pv_trap_frame *frame)
{
    if (frame->trap < N_TRAPS) {
        if (traps[frame->trap] != NULL)
            traps[frame->trap](frame);
        else
            unhandled(frame);
    } else if (frame->trap == SELF_VECTOR) {
        pv_apic_end();
        interrupt(&sources[PV_SOURCE_SELF], frame);
    } else if (frame->trap == MESSAGE_VECTOR && message_handler != NULL) {
        pv_apic_end();
        message_handler(frame);
    } else if (frame->trap < SELF_VECTOR) {
        int irq = (int)frame->trap - IRQ_VECTOR;
        if (!pv_pic_end(irq))
            return;
        for (size_t i = 0; i < N_SOURCES; i++)
            if (sources[i].irq == irq)
                interrupt(&sources[i], frame);
    }
}

uint8_t pv_interrupt_vector(void (*handler)(struct pv_trap_frame *frame))
{
    pv_interrupt_start();
    if (!pv_apic_start(NOISE_VECTOR))
        return 0;
    message_handler = handler;
    return MESSAGE_VECTOR;
}

void pv_interrupt_by_message(enum pv_source source, void (*set_mask)(enum pv_source source, bool is_masked))
{
    sources[source].irq = NO_IRQ;
    sources[source].set_mask = set_mask;
}

void pv_interrupt_message(enum pv_source source, struct pv_trap_frame *frame)
{
    interrupt(&sources[source], frame);
}

int pv_interrupt_set(enum pv_source source, pv_interrupt_handler *handler, void *context)
{
    if ((unsigned)source >= N_SOURCES)
        return -PV_EINVAL;
    pv_interrupt_start();
    if (source == PV_SOURCE_SELF && !pv_apic_start(NOISE_VECTOR))
        return -PV_ENODEV;
    bool were_enabled = pv_interrupts_disable();
    sources[source].handler = handler;
    sources[source].context = context;
    if (handler != NULL)
        pv_interrupt_unmask(source);
    else
        pv_interrupt_mask(source);
    pv_interrupts_restore(were_enabled);
    return 0;
}

void pv_interrupt_mask(enum pv_source source)
{
    if ((unsigned)source >= N_SOURCES || !is_started)
        return;
    if (source == PV_SOURCE_SELF)
        is_self_masked = true;
    else if (sources[source].set_mask != NULL)
        sources[source].set_mask(source, true);
    else
        pv_pic_mask(sources[source].irq, true);
}

void pv_interrupt_unmask(enum pv_source source)
{
    if ((unsigned)source >= N_SOURCES || !is_started)
        return;
    if (sources[source].set_mask != NULL) {
        sources[source].set_mask(source, false);
        return;
    }
    if (source != PV_SOURCE_SELF) {
        pv_pic_mask(sources[source].irq, false);
        return;
    }
    is_self_masked = false;
    if (is_self_raised)
        pv_interrupt_raise();
}

void pv_interrupt_raise(void)
{
    is_self_raised = is_self_masked;
    if (!is_self_masked)
        pv_apic_raise(SELF_VECTOR);
}

void pv_interrupts_enable(void)
{
    __asm__ volatile("sti" : : : "memory");
}

bool pv_interrupts_enabled(void)
{
    uint64_t flags;
    __asm__ volatile("pushfq; popq %0" : "=r"(flags) : : "memory");
    return flags & IF;
}

bool pv_interrupts_disable(void)
{
    bool were_enabled = pv_interrupts_enabled();
    __asm__ volatile("cli" : : : "memory");
    return were_enabled;
}

void pv_interrupts_restore(bool were_enabled)
{
    if (were_enabled)
        __asm__ volatile("sti" : : : "memory");
    else
        __asm__ volatile("cli" : : : "memory");
}

void pv_interrupts_wait(void)
{
    __asm__ volatile("sti; hlt; cli" : : : "memory"); /* nothing comes between STI and HLT */
}
