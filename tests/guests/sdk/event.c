/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What pv/event.h promises, without interrupts: by pv_event_poll. */
#include <pv/error.h>
#include <pv/event.h>
#include <pv/printf.h>

static uint32_t ours, theirs;

static void hit(void *context, struct pv_trap_frame *frame)
{
    pv_printf("%s%s\n", (const char *)context, frame != NULL ? " with a frame" : "");
}

/* Masks the port after it at first, and signals itself: what comes while it runs is for the next time. */
static void greedy(void *context, struct pv_trap_frame *frame)
{
    int *n_calls = context;
    pv_printf("greedy %d\n", ++*n_calls);
    if (*n_calls == 1)
        pv_event_mask(theirs);
    if (*n_calls < 3)
        pv_event_send(theirs); /* arrives at `ours` */
    (void)frame;
}

static void poll_after(const char *what)
{
    pv_printf("-- %s\n", what);
    pv_event_poll();
}

static void show_edges(void)
{
    pv_event_set(ours, hit, "ours");
    pv_event_set(theirs, hit, "theirs");
    poll_after("bound");
    pv_event_send(ours);
    pv_event_send(ours);
    poll_after("two signals");
    poll_after("nothing");
    pv_event_send(ours);
    pv_event_send(theirs);
    poll_after("both");
}

static void show_masks(void)
{
    pv_event_mask(ours);
    pv_event_send(theirs);
    poll_after("masked");
    pv_event_unmask(ours);
    poll_after("unmasked");
    pv_event_set(ours, NULL, NULL);
    pv_event_send(theirs);
    poll_after("without a handler");
    pv_printf("taken: %d\n", pv_event_take(ours));
    pv_printf("again: %d\n", pv_event_take(ours));
    pv_event_set(ours, hit, "ours");
    poll_after("with a handler, too late");
}

static void show_nested(void)
{
    static int n_calls;
    pv_event_set(ours, greedy, &n_calls);
    pv_event_send(ours);
    pv_event_send(theirs);
    poll_after("greedy");
    pv_event_unmask(theirs);
    poll_after("the other");
    poll_after("the third");
}

static void show_far_ports(void)
{
    uint32_t ports[130];
    for (int i = 0; i < 130; i++)
        ports[i] = (uint32_t)pv_event_bind_ipi(0);
    pv_event_set(ports[63], hit, "far");
    pv_event_set(ports[129], hit, "farther");
    pv_event_send(ports[129]);
    pv_event_send(ports[63]);
    pv_printf("ports %u and %u\n", ports[63], ports[129]);
    poll_after("three words");
    for (int i = 0; i < 130; i++)
        pv_event_close(ports[i]);
}

static void show_errors(void)
{
    pv_printf("%d %d %d\n", pv_event_set(0, hit, NULL), pv_event_set(PV_EVENT_PORTS, hit, NULL),
              pv_event_set(UINT32_MAX, NULL, NULL));
    pv_printf("%d\n", pv_event_set(1000, hit, NULL));
    pv_printf("%d %d\n", pv_event_take(0), pv_event_take(PV_EVENT_PORTS));
    pv_event_mask(0);
    pv_event_mask(UINT32_MAX);
}

int main(void)
{
    int64_t port = pv_event_alloc(PV_DOMID_SELF);
    pv_printf("not bound: %d\n", (int)pv_event_send((uint32_t)port));
    ours = (uint32_t)port;
    theirs = (uint32_t)pv_event_bind(PV_DOMID_SELF, ours);
    show_edges();
    show_masks();
    show_nested();
    show_far_ports();
    show_errors();
    pv_event_close(theirs);
    poll_after("closed");
    pv_printf("closed: %d\n", (int)pv_event_send(ours));
    return 0;
}
