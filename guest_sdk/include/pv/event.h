/* SPDX-License-Identifier: MIT */
/*
 * Event channels, which para and hybrid guests have: in place of the lines of a PC's devices there are ports, numbered
 * from 1 to PV_EVENT_PORTS - 1, that other domains, the hypervisor or the guest itself signal.
 *
 * Ports are made, sent on and closed by hypercall: pv_event_alloc, pv_event_bind, pv_event_bind_virq,
 * pv_event_bind_ipi, pv_event_send, pv_event_unmask, pv_event_status, pv_event_close (pv/hypercall.h). This header adds
 * what happens in the guest when a signal arrives.
 *
 * A signal is an edge. It sets a port's pending bit, and is not counted: several that come before the bit has been
 * cleared are one. So a handler looks for everything that there is to do, not for one thing. A new port is masked.
 *
 * A signal that is not masked reaches its handler as an interrupt does: with interrupts enabled (pv_interrupts_enable
 * in pv/interrupt.h), or in pv_interrupts_wait. A program that wants no interrupts calls pv_event_poll instead.
 * Handlers of one upcall run one after the other, the lowest port first, with interrupts disabled; they may do what
 * handlers of pv/interrupt.h may.
 *
 * No function here waits. Each may be called anywhere, from handlers too. Ports that this program uses must tell
 * virtual CPU 0, as they do unless EVENT_VCPU says otherwise.
 */
#ifndef PV_EVENT_H
#define PV_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include <pv/hypercall.h>
#include <pv/interrupt.h>

/* FRAME is what was interrupted, or NULL out of pv_event_poll. The port's pending bit is clear by then. */
typedef void pv_event_handler(void *context, struct pv_trap_frame *frame);

/*
 * Call HANDLER with CONTEXT at each signal of PORT, and unmask the port: a signal that has come already calls it as
 * soon as it can. With NULL, mask the port and call nobody. Returns 0; -PV_EINVAL: not a port's number; -PV_ENOENT:
 * HANDLER is not NULL, and the port is not in use.
 */
int pv_event_set(uint32_t port, pv_event_handler *handler, void *context);

/*
 * Keep PORT's signals away until pv_event_unmask(PORT); what arrives meanwhile waits, and of several, one is left. An
 * unknown port has no effect.
 */
void pv_event_mask(uint32_t port);

/*
 * Was PORT signalled? If so it is no longer pending, and its handler is not called for that signal. For a port that is
 * masked, and looked at when it suits. False for an unknown port.
 */
bool pv_event_take(uint32_t port);

/*
 * Call the handlers of all that is pending and not masked, as an upcall would, with NULL in place of a frame. To be
 * called with interrupts disabled.
 */
void pv_event_poll(void);

#endif /* PV_EVENT_H */
