/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Address spaces by random calls, at once and later, against a plain list of what should be mapped. */
#include <stdbool.h>

#include <pv/interrupt.h>
#include <pv/memory.h>
#include <pv/power.h>
#include <pv/printf.h>
#include <pv/string.h>

#define N_SPACES 3
#define N_TABLES 3    /* and as many behind them */
#define N_PLACES 2048 /* in all of them: more than can be put off at once */
#define N_FRAMES 8
#define N_ROUNDS 60

struct mapping {
    uint8_t flags; /* 0: nothing is mapped */
    uint8_t frame;
};

#define MAPPED 0x80u

static struct pv_space *spaces[N_SPACES];
static struct mapping model[N_SPACES][N_PLACES];
static uint64_t frames[N_FRAMES];
static uint64_t n_faults;

static uint32_t random_below(uint32_t limit)
{
    static uint64_t state = 88172645463325252;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32) % limit;
}

static void need(bool it_is_so, const char *what)
{
    if (!it_is_so) {
        pv_printf("wrong: %s\n", what);
        pv_exit(1);
    }
}

/* The instruction is left out: `mov` of three bytes. */
static void fault(struct pv_trap_frame *frame)
{
    n_faults++;
    frame->rip += 3;
}

static bool can_read(uint64_t address, uint64_t *value)
{
    uint64_t before = n_faults;
    __asm__ volatile("movq (%1), %0" : "=a"(*value) : "b"(address) : "memory");
    return n_faults == before;
}

static bool can_write(uint64_t address)
{
    uint64_t before = n_faults;
    __asm__ volatile("movq %0, (%1)" : : "a"(1ull), "b"(address) : "memory");
    return n_faults == before;
}

/* A place in one of the tables, which are a GiB apart, or in the next behind each. */
static uint64_t address_of(uint32_t place)
{
    return PV_SPACE_START + (uint64_t)(place % N_TABLES) * 0x40000000 + (uint64_t)(place / N_TABLES) * PV_PAGE_SIZE;
}

static void look(uint32_t space, uint32_t place)
{
    const struct mapping *expected = &model[space][place];
    uint64_t physical = 0;
    unsigned flags = 0;
    int error = pv_page_lookup(spaces[space], address_of(place), &physical, &flags);
    need((error == 0) == (expected->flags != 0), "whether it is mapped");
    if (error != 0)
        return;
    need(physical == frames[expected->frame], "which page is mapped");
    need((flags & PV_MAP_WRITE) == (expected->flags & PV_MAP_WRITE), "how it is mapped");
}

static void touch(uint32_t space, uint32_t place)
{
    const struct mapping *expected = &model[space][place];
    uint64_t value = 0;
    bool is_readable = can_read(address_of(place) + 8, &value);
    need(is_readable == (expected->flags != 0), "whether it can be read");
    need(!is_readable || value == expected->frame, "what is read");
    need(can_write(address_of(place)) == ((expected->flags & PV_MAP_WRITE) != 0), "whether it can be written");
}

/* Whether it was done. */
static bool call(uint32_t space, uint32_t place, bool is_later)
{
    struct mapping *expected = &model[space][place];
    unsigned flags = random_below(2) * PV_MAP_WRITE, later = is_later ? PV_MAP_LATER : 0;
    uint64_t address = address_of(place);
    bool was_mapped = expected->flags != 0;
    uint32_t fitting = was_mapped ? 1 + random_below(2) : 0;
    int error;
    switch (random_below(4) ? fitting : random_below(3)) {
    case 0: {
        uint8_t frame = (uint8_t)random_below(N_FRAMES);
        error = pv_page_map(spaces[space], address, frames[frame], flags | later);
        need((error == 0) == !was_mapped, "whether it could be mapped");
        if (error == 0)
            *expected = (struct mapping){(uint8_t)(MAPPED | flags), frame};
        return error == 0;
    }
    case 1:
        error = pv_page_unmap(spaces[space], address, later);
        if (error == 0)
            expected->flags = 0;
        break;
    default:
        error = pv_page_protect(spaces[space], address, flags | later);
        if (error == 0)
            expected->flags = (uint8_t)(MAPPED | flags);
        break;
    }
    need((error == 0) == was_mapped, "whether it was mapped");
    return error == 0;
}

/* What is not put off is in force at once, even where a change of the same page still waits. */
static void call_and_touch(uint32_t space, uint32_t place)
{
    if (call(space, place, false) && spaces[space] == pv_space_current())
        touch(space, place);
}

/* Calls side by side as kernels make them, or anywhere; then all that was put off comes into force. */
static void round(uint32_t now)
{
    uint32_t n = random_below(random_below(4) == 0 ? N_PLACES : random_below(2) ? 40 : 6);
    uint32_t begin = random_below(N_PLACES);
    uint32_t step = random_below(2) ? 1 : N_TABLES; /* places of one table lie so far apart */
    bool is_row = random_below(2) != 0, is_later = random_below(4) != 0;
    for (uint32_t i = 0; is_row && i < n; i++)
        touch(now, (begin + i * step) % N_PLACES); /* the CPU knows them then */
    for (uint32_t i = 0; i < n; i++) {
        uint32_t space = random_below(4) == 0 && step == 1 ? random_below(N_SPACES) : now;
        uint32_t place = is_row ? (begin + i * step) % N_PLACES : random_below(N_PLACES);
        call(space, place, is_later);
        if (random_below(8) == 0)
            call(space, place, random_below(2) == 0);
        if (random_below(8) == 0)
            call_and_touch(space, place);
        look(space, random_below(2) ? place : random_below(N_PLACES));
    }
    for (uint32_t space = 0; space < N_SPACES; space++)
        pv_space_flush(spaces[space]);
    for (uint32_t i = 0; i < n + 8; i++)
        touch(now, is_row ? (begin + i * step) % N_PLACES : random_below(N_PLACES));
}

/* In its place, and perhaps in its very page, comes another, in which nothing is mapped. */
static void replace(uint32_t space)
{
    uint32_t place = 0;
    while (place < N_PLACES - 1 && model[space][place].flags == 0)
        place++;
    look(space, place);
    need(pv_space_destroy(spaces[space]) == 0, "whether it can be destroyed");
    spaces[space] = pv_space_create();
    memset(model[space], 0, sizeof model[space]);
    look(space, place);
}

int main(void)
{
    size_t left;
    pv_trap_set(PV_TRAP_PAGE, fault);
    for (uint32_t i = 0; i < N_FRAMES; i++) {
        uint64_t *page = pv_page_alloc();
        page[1] = i;
        frames[i] = (uintptr_t)page;
    }
    left = pv_pages_left();
    for (uint32_t i = 0; i < N_SPACES; i++)
        spaces[i] = i == 0 ? pv_space_kernel() : pv_space_create();
    uint32_t now = 0;
    for (uint32_t n = 0; n < N_ROUNDS; n++) {
        if (random_below(3) == 0) {
            now = random_below(N_SPACES);
            pv_space_switch(spaces[now]);
        }
        uint32_t other = 1 + random_below(N_SPACES - 1);
        if (other != now && random_below(3) == 0)
            replace(other);
        round(now);
    }
    for (uint32_t place = 0; place < N_PLACES; place++)
        for (uint32_t space = 0; space < N_SPACES; space++)
            look(space, place);
    pv_printf("all is as it should be\n");
    pv_space_switch(pv_space_kernel());
    for (uint32_t i = 1; i < N_SPACES; i++)
        need(pv_space_destroy(spaces[i]) == 0, "whether it can be destroyed");
    pv_printf("tables that the kernel's own space keeps: %lu\n", left - pv_pages_left());
    return 0;
}
