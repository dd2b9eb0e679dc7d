/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What pv/store.h promises, alone in the world. */
#include <pv/error.h>
#include <pv/event.h>
#include <pv/printf.h>
#include <pv/store.h>

static char value[PV_STORE_VALUE_MAX + 1];
static struct pv_store_event event;
static int n_told;

static void show(const char *path)
{
    int64_t n_bytes = pv_store_get(0, path, value, sizeof value);
    if (n_bytes < 0)
        pv_printf("%s: error %d\n", path, (int)-n_bytes);
    else
        pv_printf("%s: '%s'\n", path, value);
}

static void show_names(const char *path)
{
    char names[256];
    int64_t n_bytes = pv_store_names(0, path, names, sizeof names);
    pv_printf("%s has", path);
    for (int64_t i = 0; i < n_bytes; i++)
        if (i == 0 || names[i - 1] == '\0')
            pv_printf(" %s", names + i);
    pv_printf("\n");
}

static void show_events(void)
{
    while (pv_store_take(&event) == 0)
        pv_printf("%s: %s\n", event.token, event.path);
}

static void told(void *context, struct pv_trap_frame *frame)
{
    (void)context, (void)frame;
    n_told++;
}

static void show_values(void)
{
    pv_store_put(0, "a/b", "hello");
    pv_store_put(0, "a/c.d-e_f@g", "");
    show("a/b");
    show("/domain/1/a/b");
    show("a");
    show("nothing");
    show("a//b");
    show_names("a");
    show_names("/");
    pv_printf("dropped: %d\n", pv_store_drop(0, "a"));
    pv_printf("again: %d\n", pv_store_drop(0, "a"));
    show("a/b");
    pv_printf("not ours: %d\n", pv_store_put(0, "/other", "x"));
    pv_printf("no room: %d\n", (int)pv_store_get(0, "", value, 0));
}

static void show_numbers(void)
{
    static const uint64_t numbers[] = {0, 7, 1234567890, UINT64_MAX};
    static const char *const texts[] = {"", "x", "-1", " 1", "18446744073709551616", "123456789012345678901"};
    uint64_t number = 42;
    for (int i = 0; i < 4; i++) {
        pv_store_put_number(0, "n", numbers[i]);
        int result = pv_store_get_number(0, "n", &number);
        pv_printf("%d %d %lu\n", result, number == numbers[i], number);
    }
    for (int i = 0; i < 6; i++) {
        pv_store_put(0, "n", texts[i]);
        pv_printf("%d", pv_store_get_number(0, "n", &number));
    }
    pv_printf(" %d\n", number == UINT64_MAX);
    pv_store_drop(0, "n");
}

static void show_watches(void)
{
    int64_t port = pv_event_bind_virq(PV_VIRQ_STORE, 0);
    pv_event_set((uint32_t)port, told, NULL);
    pv_printf("watched: %d\n", pv_store_watch_path("w", "first"));
    pv_printf("again: %d\n", pv_store_watch_path("w", "first"));
    pv_event_poll();
    pv_printf("told %d\n", n_told);
    show_events();
    pv_store_put(0, "w/x/y", "1");
    show_events();
    pv_store_put(0, "w/x/y", "2");
    pv_store_put(0, "w/x/z", "3");
    pv_store_put(0, "v", "4");
    show_events();
    pv_store_drop(0, "w");
    pv_event_poll();
    pv_printf("told %d\n", n_told);
    show_events();
    pv_printf("unwatched: %d\n", pv_store_unwatch_path("w", "first"));
    pv_printf("again: %d\n", pv_store_unwatch_path("w", "first"));
    pv_store_put(0, "w", "5");
    show_events();
}

static void show_transactions(void)
{
    uint32_t one = (uint32_t)pv_store_begin(), two = (uint32_t)pv_store_begin();
    pv_store_put(one, "t", "one");
    show("t");
    pv_store_get(two, "t", value, sizeof value);
    pv_store_put(two, "u", "two");
    pv_printf("%d\n", (int)pv_store_end(one, 1));
    pv_printf("%d\n", (int)pv_store_end(two, 1));
    show("t");
    show("u");
    pv_printf("%d\n", (int)pv_store_end(two, 1));
    one = (uint32_t)pv_store_begin();
    pv_store_drop(one, "t");
    pv_printf("%d\n", (int)pv_store_end(one, 0));
    show("t");
}

int main(void)
{
    show_values();
    show_numbers();
    show_watches();
    show_transactions();
    return 0;
}
