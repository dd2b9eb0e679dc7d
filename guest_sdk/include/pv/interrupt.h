/* SPDX-License-Identifier: MIT */
/*
 * Exceptions and interrupts. An exception (here: a trap) comes from the code that runs; an interrupt comes from
 * elsewhere, when it will, and can be kept away. Full: the IDT, the 8259 pair and the local APIC. Para: the trap table
 * and event channels. Hybrid: as full, and events of its paravirtual devices as messages to the local APIC.
 *
 * The guest starts with interrupts disabled, every source masked and no handler. Handlers run on the stack of what they
 * interrupt (out of a user program: on the kernel's), with interrupts disabled. They may call anything that does not
 * wait for an interrupt. The end of an interrupt is told to the controller by the SDK before the handler runs, so a
 * handler that enables interrupts can be interrupted by its own source.
 *
 * Only pv_interrupts_wait waits. Unless it says otherwise, each function may be called anywhere, from handlers too. All
 * of it is about virtual CPU 0, on which the guest starts: one that VCPU_UP adds sets its own trap table, and reads its
 * own part of the shared page.
 */
#ifndef PV_INTERRUPT_H
#define PV_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What was interrupted. A handler may change the registers; the change holds when it returns, so a scheduler switches
 * tasks by storing one whole frame and writing another in its place. Floating-point and vector registers are kept over
 * a handler but are not in the frame.
 */
struct pv_trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
    uint64_t rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t address; /* PV_TRAP_PAGE: the address whose access failed; else 0 */
    uint64_t trap;    /* enum pv_trap; for an interrupt, a number of no meaning */
    uint64_t error;   /* the exception's error code; 0 where it has none */
    uint64_t rip;     /* the failed instruction; for PV_TRAP_BREAKPOINT, _OVERFLOW and a single step the next one */
    uint64_t place;   /* the SDK's own: do not change it, but copy it with the rest */
    uint64_t rflags;
    uint64_t rsp;
    uint64_t stack; /* the SDK's own, too */
};

/* The exceptions of an x86 CPU, which are the same for every kind of guest. */
enum pv_trap {
    PV_TRAP_DIVIDE = 0,
    PV_TRAP_DEBUG = 1,
    PV_TRAP_BREAKPOINT = 3,
    PV_TRAP_OVERFLOW = 4,
    PV_TRAP_BOUND = 5,
    PV_TRAP_INVALID = 6, /* an instruction that does not exist */
    PV_TRAP_NO_FPU = 7,
    PV_TRAP_SEGMENT = 11,
    PV_TRAP_STACK = 12,
    PV_TRAP_PROTECTION = 13,
    PV_TRAP_PAGE = 14,
    PV_TRAP_FPU = 16,
    PV_TRAP_ALIGNMENT = 17,
    PV_TRAP_SIMD = 19,
};

/* Bits of PV_TRAP_PAGE's error code. */
#define PV_PAGE_PRESENT 0x01 /* the page is mapped, but not for this access */
#define PV_PAGE_WRITE   0x02 /* the access was a write */
#define PV_PAGE_USER    0x04 /* by a user program */
#define PV_PAGE_EXECUTE 0x10 /* the access was the fetch of an instruction */

typedef void pv_trap_handler(struct pv_trap_frame *frame);

/*
 * Call HANDLER for each exception TRAP, out of the kernel or a user program; NULL: nobody again. When HANDLER returns,
 * what it was called for goes on at FRAME's RIP: the failed instruction is tried again unless the handler moves RIP. An
 * exception of the kernel that has no handler ends the guest as a crash, at the instruction that failed.
 * Returns 0, or -PV_EINVAL: not an exception of enum pv_trap.
 */
int pv_trap_set(enum pv_trap trap, pv_trap_handler *handler);

/* Was it a user program that FRAME interrupted? */
bool pv_trap_is_user(const struct pv_trap_frame *frame);

/* Where interrupts come from. A device's own header installs the handler of its source. */
enum pv_source {
    PV_SOURCE_SELF,    /* pv_interrupt_raise */
    PV_SOURCE_TIMER,   /* pv/timer.h */
    PV_SOURCE_NET,     /* pv/net.h */
    PV_SOURCE_CONSOLE, /* pv/console.h */
};

typedef void pv_interrupt_handler(void *context, struct pv_trap_frame *frame);

/*
 * Call HANDLER with CONTEXT at each interrupt of SOURCE and unmask it; with NULL, mask it and call nobody.
 * Returns 0; -PV_EINVAL: no such source; -PV_ENODEV: this machine does not have it, as a PC without a local APIC has no
 * PV_SOURCE_SELF, or (para) the device's own header has not been asked for it yet.
 */
int pv_interrupt_set(enum pv_source source, pv_interrupt_handler *handler, void *context);

/*
 * Keep one source away, and let it come again. What arrives meanwhile waits; of several, one is left. An unknown source
 * has no effect.
 */
void pv_interrupt_mask(enum pv_source source);
void pv_interrupt_unmask(enum pv_source source);

/*
 * Interrupt this CPU: PV_SOURCE_SELF's handler runs as soon as interrupts are enabled and the source is unmasked.
 * Raised again before that, it still runs once. Without effect before that source has had a handler.
 */
void pv_interrupt_raise(void);

/* Let interrupts in; what waits comes before this returns, or right after it. */
void pv_interrupts_enable(void);

/* Keep them all out. Returns whether they were let in before: give it to pv_interrupts_restore. */
bool pv_interrupts_disable(void);

/* As it was when pv_interrupts_disable returned WERE_ENABLED. */
void pv_interrupts_restore(bool were_enabled);

/* Are they let in? */
bool pv_interrupts_enabled(void);

/*
 * Wait for an interrupt, and let its handler run. To be called with interrupts disabled, and so it returns: look
 * whether there is something to wait for, then call this, and what comes in between is not lost. Blocks until an
 * interrupt comes. Not from a handler.
 */
void pv_interrupts_wait(void);

#endif /* PV_INTERRUPT_H */
