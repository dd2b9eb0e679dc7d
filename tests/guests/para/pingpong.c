/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Domain 1 leaves a port in the store; domain 2 binds to it, and the two throw a number to and fro. The command line says
 * which domain this is: 1 or 2.
 */
#include <pv/event.h>
#include <pv/interrupt.h>
#include <pv/printf.h>
#include <pv/start.h>
#include <pv/store.h>

#define N_ROUNDS 100

static int n_caught, n_changed;

static void caught(void *context, struct pv_trap_frame *frame)
{
    (void)context, (void)frame;
    n_caught++;
}

static void changed(void *context, struct pv_trap_frame *frame)
{
    (void)context, (void)frame;
    n_changed++;
}

/* Interrupts are disabled but for the wait itself: a signal that comes after the look is not slept over. */
static void wait_until(int *count)
{
    while (*count == 0)
        pv_interrupts_wait();
    *count = 0;
}

static uint32_t allocate_for(uint32_t domid)
{
    int64_t port = pv_event_alloc(domid);
    pv_event_set((uint32_t)port, caught, NULL);
    pv_store_put_number(0, "port", (uint64_t)port);
    pv_store_allow(0, "", domid, PV_STORE_READ | PV_STORE_WRITE);
    return (uint32_t)port;
}

static uint32_t bind_to(uint32_t domid)
{
    struct pv_store_event event;
    uint64_t remote = 0;
    pv_event_set((uint32_t)pv_event_bind_virq(PV_VIRQ_STORE, 0), changed, NULL);
    pv_store_watch_path("/domain/1/port", "");
    while (pv_store_take(&event) != 0 || pv_store_get_number(0, "/domain/1/port", &remote) != 0)
        wait_until(&n_changed);
    uint32_t port = (uint32_t)pv_event_bind(domid, (uint32_t)remote);
    pv_event_set(port, caught, NULL);
    return port;
}

static int throw_and_catch(uint32_t port)
{
    uint64_t number = 0;
    for (int i = 0; i < N_ROUNDS; i++) {
        wait_until(&n_caught);
        pv_store_get_number(0, "/domain/1/number", &number);
        pv_store_put_number(0, "/domain/1/number", number + 1);
        if (pv_event_send(port) < 0)
            break;
    }
    pv_printf("%lu\n", number);
    return 0;
}

int main(void)
{
    if (pv_cmdline()[0] == '2')
        return throw_and_catch(bind_to(1));
    uint32_t port = allocate_for(2);
    pv_store_put_number(0, "number", 0);
    int status = throw_and_catch(port);
    wait_until(&n_caught); /* the number is in this domain's home, which must not go before the other has seen it */
    return status;
}
