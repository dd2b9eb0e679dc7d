/* SPDX-License-Identifier: MIT */
/*
 * The timer on channel 0 of the 8254. The local APIC's would do as well, but its rate is unknown until measured, and
 * each access to it is a store to a page that is not there; the 8254 has counted at 1193182 Hz in every PC, and two OUTs
 * set it. Its 16 bits last for 55 ms: longer times are made of several.
 *
 * Once: mode 0, where writing a count begins anew. Again and again: mode 2, which needs no help between two periods, so
 * that they do not drift.
 */
#include <stdbool.h>
#include <stddef.h>

#include <pv/error.h>
#include <pv/timer.h>

#include "io.h"
#include "pic.h"

#define CHANNEL_0  0x40
#define CONTROL    0x43
#define ONCE       0x30 /* channel 0, both bytes, mode 0 */
#define PERIODIC   0x34 /* channel 0, both bytes, mode 2 */
#define IRQ        0

#define READ_STATUS   0xe2 /* read-back: channel 0's status */
#define STATUS_OUTPUT 0x80

#define RATE_HZ    1193182u
#define LONGEST    0x10000u /* written as 0 */
#define SHORTEST   2u       /* mode 2 takes no 1 */
#define NS_PER_S   1000000000u

static pv_interrupt_handler *wanted;
static void *wanted_context;
static bool is_periodic;
static uint8_t control_word;  /* as last written; 0: not yet */
static uint64_t ticks_left;   /* once: what follows when the count is over */
static uint64_t n_left, n_per_call; /* periodic: counts until the next callback, and between two */
static bool is_stale;         /* the next interrupt is one that the timer before had asked for */

static uint64_t ticks(uint64_t ns)
{
    return ns / NS_PER_S * RATE_HZ + (ns % NS_PER_S * RATE_HZ + NS_PER_S - 1) / NS_PER_S; /* rounded up */
}

static void count(uint32_t n)
{
    out8(CHANNEL_0, (uint8_t)n);
    out8(CHANNEL_0, (uint8_t)(n >> 8));
}

static void count_once(void)
{
    uint64_t n = ticks_left < LONGEST ? ticks_left : LONGEST;
    ticks_left -= n;
    count((uint32_t)n);
}

/* Once: has the count run out? */
static bool is_over(void)
{
    out8(CONTROL, READ_STATUS);
    return in8(CHANNEL_0) & STATUS_OUTPUT;
}

static void on_interrupt(void *context, struct pv_trap_frame *frame)
{
    (void)context;
    if (is_stale) {
        is_stale = false;
        if (is_periodic || !is_over())
            return;
        is_stale = pv_pic_is_pending(IRQ); /* ours has come as well: in that same interrupt, or is it on its way? */
    }
    if (is_periodic) {
        if (--n_left > 0)
            return;
        n_left = n_per_call;
    } else if (ticks_left > 0) {
        count_once();
        return;
    }
    pv_interrupt_handler *handler = wanted;
    if (!is_periodic)
        wanted = NULL;
    if (handler != NULL)
        handler(wanted_context, frame);
}

/* Choose the mode. While a count runs this stops it, and what it has asked for already is not to be taken for ours. */
static void prepare(uint8_t control)
{
    if (control_word == 0)
        pv_interrupt_set(PV_SOURCE_TIMER, on_interrupt, NULL);
    else if (wanted == NULL && control_word == control)
        return;
    out8(CONTROL, control);
    if (wanted != NULL || control_word == 0)
        is_stale = pv_pic_is_pending(IRQ);
    control_word = control;
}

static void set(uint64_t n_ticks, bool periodic, pv_interrupt_handler *handler, void *context)
{
    bool were_enabled = pv_interrupts_disable();
    prepare(periodic ? PERIODIC : ONCE);
    wanted = handler;
    wanted_context = context;
    is_periodic = periodic;
    if (periodic) {
        n_per_call = n_left = (n_ticks + LONGEST - 1) / LONGEST;
        uint64_t n = (n_ticks + n_per_call / 2) / n_per_call;
        count((uint32_t)(n < SHORTEST ? SHORTEST : n));
    } else {
        ticks_left = n_ticks > 0 ? n_ticks : 1;
        count_once();
    }
    pv_interrupts_restore(were_enabled);
}

int pv_timer_set(uint64_t delay_ns, pv_interrupt_handler *handler, void *context)
{
    if (handler == NULL)
        return -PV_EINVAL;
    set(ticks(delay_ns), false, handler, context);
    return 0;
}

int pv_timer_set_periodic(uint64_t period_ns, pv_interrupt_handler *handler, void *context)
{
    if (handler == NULL || period_ns == 0)
        return -PV_EINVAL;
    set(ticks(period_ns), true, handler, context);
    return 0;
}

void pv_timer_cancel(void)
{
    bool were_enabled = pv_interrupts_disable();
    if (wanted != NULL) {
        prepare(ONCE); /* mode 0 does not count until it is given a count */
        wanted = NULL;
    }
    pv_interrupts_restore(were_enabled);
}
