/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Domains in a circle: each grants a page to the one before it, maps the page of the one after it, and a signal goes round.
 * Who has it adds its number to the page that it has mapped, copies that page by GRANT_COPY, and passes the signal on. The
 * command line says which one this is, and how many they are: "2 3".
 */
#include <stdbool.h>

#include <pv/error.h>
#include <pv/event.h>
#include <pv/grant.h>
#include <pv/power.h>
#include <pv/printf.h>
#include <pv/start.h>
#include <pv/store.h>

enum { N_ROUNDS = 20 };
#define MAPPED_AT PV_SPACE_START

static _Alignas(PV_PAGE_BYTES) volatile uint64_t own_page[PV_PAGE_BYTES / 8], copy[PV_PAGE_BYTES / 8];
static uint32_t self, n_domains;

static int64_t need(int64_t result, const char *what)
{
    if (result < 0) {
        pv_printf("%s: %ld\n", what, result);
        pv_crash(what);
    }
    return result;
}

static uint32_t numbered(uint32_t number)
{
    return (number + n_domains - 1) % n_domains + 1;
}

static uint64_t number_of(uint32_t domid, const char *name)
{
    char path[64];
    uint64_t number;
    pv_snprintf(path, sizeof path, "/domain/%u/%s", domid, name);
    while (pv_store_get_number(0, path, &number) != 0)
        pv_yield();
    return number;
}

/* Both in one exit: the port to the next domain, and its page. */
static uint32_t join(uint32_t next, uint64_t *gpa)
{
    struct pv_multicall_entry calls[] = {
        { .number = PV_HC_NOOP },
        { .number = PV_HC_EVENT_BIND, .args = { next, number_of(next, "port") } },
        { .number = PV_HC_GRANT_MAP, .args = { next, number_of(next, "page"), PV_GRANT_READ_ONLY } },
        { .number = PV_HC_NOOP },
    };
    need(pv_multicall(calls, 4), "multicall");
    need((int64_t)calls[1].result, "bind"), need((int64_t)calls[2].result, "map");
    *gpa = calls[2].result;
    return (uint32_t)calls[1].result;
}

/* A signal that was not looked at takes in the next one, so the page counts them. */
static void wait_for(uint32_t port, uint64_t n_passed)
{
    while (own_page[2] != n_passed) {
        need(pv_poll(&port, 1, 0), "poll");
        pv_event_take(port);
    }
}

static void pass_on(uint32_t port, volatile uint64_t *mapped)
{
    mapped[2]++;
    need(pv_event_send(port), "send");
}

static void copy_of(uint32_t next, uint32_t gref)
{
    struct pv_grant_copy_op op = {
        .source = gref, .dest = (uintptr_t)copy, .source_domid = next, .dest_domid = PV_DOMID_SELF, .n_bytes = 16,
    };
    need(pv_grant_copy(&op, 1), "copy");
    need(-(int64_t)op.status, "copied");
}

int main(void)
{
    const char *words = pv_cmdline();
    self = (uint32_t)(words[0] - '0'), n_domains = (uint32_t)(words[2] - '0');
    uint32_t before = numbered(self - 1), next = numbered(self + 1);
    uint32_t from = (uint32_t)need(pv_event_alloc(before), "alloc");
    uint32_t gref = (uint32_t)need(pv_grant_page(before, (const void *)own_page, 0), "grant");
    pv_store_allow(0, "", before, PV_STORE_READ);
    pv_store_put_number(0, "page", gref);
    pv_store_put_number(0, "port", from);

    uint64_t gpa, page = number_of(next, "page");
    uint32_t to = join(next, &gpa);
    volatile uint64_t *mapped = (volatile uint64_t *)MAPPED_AT;
    need(pv_grant_attach(pv_space_kernel(), MAPPED_AT, next, (uint32_t)page, 0), "attach");
    need(pv_grant_unmap(gpa), "unmap");
    if (self == 1)
        pass_on(to, mapped);
    for (uint64_t i = 1; i <= N_ROUNDS; i++) {
        wait_for(from, i);
        mapped[0] += self;
        copy_of(next, (uint32_t)page);
        mapped[1] += copy[0];
        if (self != 1 || i != N_ROUNDS)
            pass_on(to, mapped);
    }
    pv_printf("domain %u: %lu %lu\n", self, own_page[0], own_page[1]);
    need(pv_grant_detach(pv_space_kernel(), MAPPED_AT), "detach");
    while (pv_grant_revoke(gref) == -PV_EBUSY)
        pv_yield();
    return 0;
}
