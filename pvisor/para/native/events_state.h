/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What EVENT_SEND and POLL need to know of a domain in C: who gets what is sent on a port, and who polls which ports.
 * The Python handlers (para/events.py, para/power.py) and the native ones (events.c, power.c) work on these structs.
 */
#ifndef PV_PARA_EVENTS_STATE_H
#define PV_PARA_EVENTS_STATE_H
#include "types.h"

typedef struct pv_poll {       /* of one vCPU */
    uint32_t is_polling;       /* it sleeps in POLL; a signal of any of these ports wakes it */
    uint32_t has_timer;        /* or a time does, which Python knows */
    uint32_t n_ports;
    uint32_t ports[64];        /* PV_POLL_MAX */
} pv_poll;

typedef struct pv_event_table {
    struct pv_event_table *receivers[1024]; /* who gets what is sent on a port; NULL: Python knows who, or why nobody */
    uint16_t *remote_ports;    /* by port: as whose signal it arrives there */
    uint8_t *vcpu_ids;         /* by port: which vCPU is told of its signals */
    uint64_t shared;           /* guest-physical address of the shared page */
    uint32_t n_vcpus;          /* 0: only Python signals this domain */
    pv_vcpu *vcpus[16];
    pv_poll *polls;            /* by vCPU */
} pv_event_table;
#endif
