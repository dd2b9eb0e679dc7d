/* SPDX-License-Identifier: MIT */
/*
 * The second virtual CPU is asked for by one hypercall, and begins in a C function. Each of the two has a port by which the
 * other tells it something (EVENT_BIND_IPI), and sleeps until then (POLL): the ball goes to and fro.
 *
 * A PC here has one CPU. A second one would be started by INIT and STARTUP interrupts of the local APIC, in real mode.
 */
void second_cpu(void);

#ifdef PV_MODE_PARA

#include <pv/event.h>
#include <pv/hypercall.h>
#include <pv/power.h>
#include <pv/printf.h>

enum { N_ROUNDS = 5 };

static struct {
    uint32_t port_of[2]; /* by which virtual CPU 0, and 1, is told */
    volatile unsigned ball;
} court;

static _Alignas(16) unsigned char second_stack[8192];

/* Until somebody signals our port; the signal's bit is cleared before the ball is looked at. */
static void wait_for_ball(unsigned vcpu_id)
{
    pv_poll(&court.port_of[vcpu_id], 1, 0);
    pv_event_take(court.port_of[vcpu_id]);
}

static void play(void)
{
    for (;;) {
        wait_for_ball(1);
        court.ball++;
        pv_event_send(court.port_of[0]);
    }
}

static int64_t start_second_cpu(void)
{
    const struct pv_vcpu_context context = {
        .rip = (uintptr_t)play,
        .rsp = (uintptr_t)(second_stack + sizeof second_stack - 8), /* as if it had been called */
    };
    return pv_vcpu_up(1, &context);
}

void second_cpu(void)
{
    int64_t ports[2] = {pv_event_bind_ipi(0), pv_event_bind_ipi(1)};
    if (ports[1] < 0)
        return; /* there is no virtual CPU 1 */
    court.port_of[0] = (uint32_t)ports[0];
    court.port_of[1] = (uint32_t)ports[1];
    if (start_second_cpu() != 0)
        pv_crash("the second virtual CPU does not start");
    for (unsigned i = 0; i < N_ROUNDS; i++) {
        court.ball++;
        pv_event_send(court.port_of[1]);
        wait_for_ball(0);
    }
    pv_printf("second virtual CPU: the ball went to and fro %d times, %u strokes\n", N_ROUNDS, court.ball);
    pv_vcpu_down(1);
}

#else

void second_cpu(void)
{
}

#endif
