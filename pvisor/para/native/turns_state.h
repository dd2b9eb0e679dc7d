/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What native handlers know of the scheduler (vmm/physical_cpu.py): enough to wake a vCPU and to hand the CPU over to it
 * where nobody else waits and nothing else is due. What they have done, vmm/handover.py tells the scheduler later.
 */
#ifndef PV_PARA_TURNS_STATE_H
#define PV_PARA_TURNS_STATE_H
#include "types.h"

struct pv_turns;

typedef struct pv_runner {     /* a vCPU that takes turns */
    pv_vcpu *vcpu;
    struct pv_turns *cpu;      /* NULL: no physical CPU that native handlers know */
    uint32_t index;            /* among the runners of that CPU */
    uint32_t is_asleep;        /* blocked: it may be woken */
    uint32_t has_cap;          /* Python wakes it, which knows what is left of its cap */
    uint32_t has_ended_turns;  /* it is on the list below */
    struct pv_runner *next;
    uint64_t since_ns;         /* when its turn began, or when it was woken */
    uint64_t steal_ns;         /* how long it had to wait for its turns */
    uint64_t ran_ns;           /* in turns that have ended in C, and that Python has not been told of */
    uint64_t max_insns;        /* that the vCPUs of its domain may retire together; 0: any number */
} pv_runner;

typedef struct pv_turns {      /* a physical CPU */
    uint32_t n_waiting;        /* vCPUs that wait for their turn and that Python knows of */
    uint32_t hands_over;       /* the current vCPU has blocked, and the woken one is next */
    uint64_t stop_ns;          /* from then on Python looks at what is due */
    uint64_t rate_limit_ns;    /* for so long nobody is preempted by one that was woken */
    pv_runner *current;
    pv_runner *woken;          /* waits for its turn; Python has not been told */
    pv_runner *ended;          /* a list of those whose turns have ended in C */
    pv_runner *last;           /* whose turn ended last, and how long it was */
    uint64_t last_ran_ns;
} pv_turns;

/* Added to the reason that pv_run_turns returns: other turns have ended, or somebody was woken. */
enum pv_turned { PV_TURNED = 256 };
#endif
