/* SPDX-License-Identifier: MIT */
/*
 * Exceptions and interrupts as a paravirtualized kernel has them: the hypervisor enters it where the trap table says, and
 * an interrupt is an event (event.c), which asks for the upcall. A guest that calls nothing of this has neither, and its
 * first exception ends it.
 */
#include <stddef.h>

#include <pv/error.h>
#include <pv/hypercall.h>

#include "event.h"
#include "interrupt.h"

#define N_TRAPS    32
#define UPCALL     N_TRAPS /* the number that the upcall's stub gives */
#define STUB_BYTES 16

#define TRAPS 0x000b78fbu /* those of enum pv_trap, one bit each */

/* A source, and the port that it signals; 0: none yet. */
struct source {
    uint32_t port;
    pv_interrupt_handler *handler;
    void *context;
};

extern const char pv_interrupt_stubs[];
void pv_interrupted(struct pv_trap_frame *frame);

void (*pv_user_faulted)(const struct pv_trap_frame *frame);

static pv_trap_handler *traps[N_TRAPS];
static struct source sources[PV_SOURCE_CONSOLE + 1];
static uint64_t upcall_entry;
static bool has_users;

#define N_SOURCES (sizeof sources / sizeof sources[0])

static uint64_t stub_of(unsigned number)
{
    return (uintptr_t)pv_interrupt_stubs + number * STUB_BYTES;
}

/* Tell the hypervisor where the kernel wants to be entered at an exception; or that it does not want to. */
static void set_entry(unsigned trap, bool is_wanted)
{
    bool is_users = trap == PV_TRAP_BREAKPOINT || trap == PV_TRAP_OVERFLOW;
    const struct pv_trap_entry entry = {
        .handler = is_wanted ? stub_of(trap) : 0,
        .vector = (uint8_t)trap,
        .flags = (uint8_t)(PV_TRAP_MASK | (is_users ? PV_TRAP_USER_INT : 0)),
    };
    pv_trap_table(&entry, 1);
}

void pv_interrupt_start(void)
{
    if (upcall_entry != 0)
        return;
    upcall_entry = stub_of(UPCALL);
    pv_upcall_set(upcall_entry);
}

void pv_upcall_start(void)
{
    pv_interrupt_start();
}

void pv_interrupt_start_users(void)
{
    has_users = true;
    for (unsigned i = 0; i < N_TRAPS; i++)
        set_entry(i, true);
}

bool pv_trap_is_user(const struct pv_trap_frame *frame)
{
    return (frame->place & 3) == 3; /* the code segment: its two lowest bits are the ring */
}

int pv_trap_set(enum pv_trap trap, pv_trap_handler *handler)
{
    if ((unsigned)trap >= N_TRAPS || !(TRAPS >> trap & 1))
        return -PV_EINVAL;
    traps[trap] = handler;
    set_entry(trap, handler != NULL || has_users);
    return 0;
}

/*
 * An exception that nobody handles. Without its entry in the trap table the instruction ends the guest when it raises it
 * a second time, with all registers as they were at the first. What has come after its instruction does not come again.
 */
static void unhandled(struct pv_trap_frame *frame)
{
    if (pv_trap_is_user(frame) && pv_user_faulted != NULL)
        pv_user_faulted(frame); /* does not return */
    set_entry((unsigned)frame->trap, false);
    if (frame->trap == PV_TRAP_BREAKPOINT || frame->trap == PV_TRAP_OVERFLOW || frame->trap == PV_TRAP_DEBUG) {
        set_entry(PV_TRAP_INVALID, false);
        __builtin_trap();
    }
}

void pv_interrupted(struct pv_trap_frame *frame)
{
    if (frame->trap == UPCALL) {
        pv_event_dispatch(frame);
        return;
    }
    if (frame->trap == PV_TRAP_PAGE)
        frame->address = pv_shared->vcpu[0].cr2;
    if (traps[frame->trap] != NULL)
        traps[frame->trap](frame);
    else
        unhandled(frame);
}

static void signalled(void *context, struct pv_trap_frame *frame)
{
    const struct source *source = context;
    source->handler(source->context, frame);
}

/* The port of a source; -PV_ENODEV where nothing signals it. */
static int64_t bind(enum pv_source source)
{
    switch (source) {
    case PV_SOURCE_SELF: return pv_event_bind_ipi(0);
    case PV_SOURCE_TIMER: return pv_event_bind_virq(PV_VIRQ_TIMER, 0);
    default: return -PV_ENODEV;
    }
}

int pv_interrupt_set(enum pv_source source, pv_interrupt_handler *handler, void *context)
{
    if ((unsigned)source >= N_SOURCES)
        return -PV_EINVAL;
    struct source *own = &sources[source];
    pv_interrupt_start();
    if (own->port == 0) {
        int64_t port = bind(source);
        if (port < 0)
            return -PV_ENODEV;
        own->port = (uint32_t)port;
    }
    pv_event_mask(own->port);
    own->handler = handler;
    own->context = context;
    return pv_event_set(own->port, handler != NULL ? signalled : NULL, own);
}

void pv_interrupt_adopt(enum pv_source source, uint32_t port)
{
    if (sources[source].port != port)
        pv_event_mask(sources[source].port); /* what had it before is told of nothing any more */
    sources[source].port = port;
}

static bool has_port(enum pv_source source)
{
    return (unsigned)source < N_SOURCES && sources[source].port != 0;
}

void pv_interrupt_mask(enum pv_source source)
{
    if (has_port(source))
        pv_event_mask(sources[source].port);
}

void pv_interrupt_unmask(enum pv_source source)
{
    if (has_port(source) && sources[source].handler != NULL)
        pv_event_unmask(sources[source].port);
}

void pv_interrupt_raise(void)
{
    if (has_port(PV_SOURCE_SELF))
        pv_event_send(sources[PV_SOURCE_SELF].port);
}

void pv_interrupt_forget(enum pv_source source)
{
    if (has_port(source))
        pv_event_take(sources[source].port);
}

static struct pv_vcpu_info *vcpu(void)
{
    return &pv_shared->vcpu[0];
}

static bool is_pending(void)
{
    return __atomic_load_n(&vcpu()->upcall_pending, __ATOMIC_SEQ_CST);
}

/* Not quite STI, which lets in at once what waits: nobody sees that the mask is gone, so one has to ask. */
void pv_interrupts_enable(void)
{
    __atomic_store_n(&vcpu()->upcall_mask, 0, __ATOMIC_SEQ_CST);
    if (is_pending())
        pv_upcall_set(upcall_entry);
}

bool pv_interrupts_enabled(void)
{
    return !__atomic_load_n(&vcpu()->upcall_mask, __ATOMIC_SEQ_CST);
}

bool pv_interrupts_disable(void)
{
    return !__atomic_exchange_n(&vcpu()->upcall_mask, 1, __ATOMIC_SEQ_CST);
}

void pv_interrupts_restore(bool were_enabled)
{
    if (were_enabled)
        pv_interrupts_enable();
    else
        pv_interrupts_disable();
}

void pv_interrupts_wait(void)
{
    pv_block(); /* unmasks upcalls, and returns at once if one is due: nothing is lost in between */
    pv_interrupts_disable();
}
