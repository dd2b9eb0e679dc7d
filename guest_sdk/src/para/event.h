/* SPDX-License-Identifier: MIT */
/* What event.c gives to the rest of the para wing, and the page that it shares with the hypervisor. */
#ifndef PV_SRC_EVENT_H
#define PV_SRC_EVENT_H

#include <pv/event.h>

/* The page where the hypervisor says what is pending. */
extern struct pv_shared_info *pv_shared;

/*
 * Call the handlers of all that is pending and not masked. For the entry of the upcall, with upcalls masked; what
 * arrives during the call and is not seen by it asks for another upcall. FRAME: what was interrupted, or NULL.
 */
void pv_event_dispatch(struct pv_trap_frame *frame);

/* Let upcalls lead to pv_event_dispatch; only the first call has an effect. Of interrupt.c. */
void pv_upcall_start(void);

#endif /* PV_SRC_EVENT_H */
