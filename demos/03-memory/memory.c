/* SPDX-License-Identifier: MIT */
/*
 * Page tables at work: one page at two addresses, one address in two spaces, many changes one by one and in batches, pages
 * that come when they are touched, and code that can be written or run but not both. Nothing in here knows whose tables
 * the CPU uses: the guest's own (para, emu) or the hypervisor's shadows of them (full).
 */
#include <stdbool.h>

#include <pv/interrupt.h>
#include <pv/memory.h>
#include <pv/power.h>
#include <pv/printf.h>
#include <pv/string.h>

#define N_PAGES 256
#define HERE    PV_SPACE_START
#define THERE   (PV_SPACE_START + 0x40000000)

/* Functions that are called once, and still are not to vanish in main. */
#define WATCHED __attribute__((noinline))

static uint64_t pages[N_PAGES];

static void need(bool well, const char *what)
{
    if (!well)
        pv_crash(what);
}

static uint64_t new_page(void)
{
    void *page = pv_page_alloc();
    need(page != NULL, "no page is left");
    return (uintptr_t)page;
}

static volatile uint64_t *word_at(uint64_t address)
{
    return (volatile uint64_t *)address;
}

/* Map, or take away, all pages from HERE on. */
static void map_all(unsigned flags)
{
    for (uint64_t i = 0; i < N_PAGES; i++)
        need(pv_page_map(pv_space_kernel(), HERE + i * PV_PAGE_SIZE, pages[i], flags) == 0, "not mapped");
}

static void unmap_all(unsigned flags)
{
    for (uint64_t i = 0; i < N_PAGES; i++)
        need(pv_page_unmap(pv_space_kernel(), HERE + i * PV_PAGE_SIZE, flags) == 0, "not unmapped");
}

WATCHED void map_one_by_one(void)
{
    map_all(PV_MAP_WRITE);
}

WATCHED void unmap_one_by_one(void)
{
    unmap_all(0);
}

WATCHED void map_in_a_batch(void)
{
    map_all(PV_MAP_WRITE | PV_MAP_LATER);
    pv_space_flush(pv_space_kernel());
}

WATCHED void unmap_in_a_batch(void)
{
    unmap_all(PV_MAP_LATER);
    pv_space_flush(pv_space_kernel());
}

/* Each page is looked at where it is mapped, and where it has always been. */
WATCHED void use_all(uint64_t salt)
{
    for (uint64_t i = 0; i < N_PAGES; i++) {
        *word_at(HERE + i * PV_PAGE_SIZE) = i * salt;
        need(*word_at(pages[i]) == i * salt, "another page is there");
    }
}

static void two_addresses(void)
{
    uint64_t page = new_page();
    pv_page_map(pv_space_kernel(), HERE, page, PV_MAP_WRITE);
    pv_page_map(pv_space_kernel(), THERE, page, 0);
    *word_at(HERE) = 1234;
    pv_printf("one page, two addresses: written here, %lu is read there\n", (unsigned long)*word_at(THERE));
    pv_page_unmap(pv_space_kernel(), HERE, 0);
    pv_page_unmap(pv_space_kernel(), THERE, 0);
    pv_page_free((void *)page);
}

/* Say at ADDRESS what SPACE is called. */
static struct pv_space *space_with(uint64_t address, const char *name)
{
    struct pv_space *space = pv_space_create();
    uint64_t page = new_page();
    need(space != NULL && pv_page_map(space, address, page, PV_MAP_WRITE) == 0, "no space");
    memcpy((void *)page, name, strlen(name) + 1);
    return space;
}

WATCHED void switch_between(struct pv_space *one, struct pv_space *other, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        pv_space_switch(i % 2 == 0 ? one : other);
        need(*(volatile char *)HERE == (i % 2 == 0 ? 'r' : 'b'), "the wrong space");
    }
}

static void two_spaces(void)
{
    struct pv_space *red = space_with(HERE, "red"), *blue = space_with(HERE, "blue");
    pv_space_switch(red);
    pv_printf("one address, two spaces: %s here,", (const char *)HERE);
    pv_space_switch(blue);
    pv_printf(" %s there\n", (const char *)HERE);
    switch_between(red, blue, 100);
    pv_space_switch(pv_space_kernel());
    need(pv_space_destroy(red) == 0 && pv_space_destroy(blue) == 0, "a space is still there");
}

static unsigned n_faults, n_refused;

/* What is touched is mapped, and the instruction is tried again. */
static void bring_page(struct pv_trap_frame *frame)
{
    need(!(frame->error & PV_PAGE_PRESENT), "the wrong fault");
    n_faults++;
    pv_page_map(pv_space_kernel(), frame->address & ~(uint64_t)(PV_PAGE_SIZE - 1), new_page(), PV_MAP_WRITE);
}

WATCHED void touch_pages(void)
{
    for (uint64_t i = 0; i < 4096; i++) /* 64 pages, 64 times each */
        *word_at(THERE + i * 64) = i;
}

static void pages_on_demand(void)
{
    pv_trap_set(PV_TRAP_PAGE, bring_page);
    touch_pages();
    pv_printf("pages on demand: 4096 writes, %u faults\n", n_faults);
}

/* Step over the write; its three bytes stand in write_to. */
static void refuse(struct pv_trap_frame *frame)
{
    need(frame->error == (PV_PAGE_PRESENT | PV_PAGE_WRITE), "the wrong fault");
    n_refused++;
    frame->rip += 3;
}

static void write_to(uint64_t address)
{
    __asm__ volatile(".byte 0xc6, 0x00, 0xc3 # movb $0xc3, (%%rax)" : : "a"(address) : "memory");
}

static void write_or_run(void)
{
    static const uint8_t code[] = {0xb8, 0x2a, 0x00, 0x00, 0x00, 0xc3}; /* mov $42, %eax; ret */
    uint64_t page = new_page();
    pv_page_map(pv_space_kernel(), HERE, page, PV_MAP_WRITE);
    memcpy((void *)HERE, code, sizeof code);
    pv_page_protect(pv_space_kernel(), HERE, PV_MAP_EXECUTE);
    int answer = ((int (*)(void))HERE)();
    pv_trap_set(PV_TRAP_PAGE, refuse);
    write_to(HERE);
    need(((int (*)(void))HERE)() == answer, "the code has changed");
    pv_printf("code: written, then protected, then run: %d; written again: refused %u time\n", answer, n_refused);
}

int main(void)
{
    for (size_t i = 0; i < N_PAGES; i++)
        pages[i] = new_page();
    two_addresses();
    map_one_by_one();
    use_all(3);
    unmap_one_by_one();
    map_in_a_batch();
    use_all(5);
    unmap_in_a_batch();
    pv_printf("%d pages: mapped, used and unmapped, one by one and in batches\n", N_PAGES);
    two_spaces();
    pages_on_demand();
    write_or_run();
    return 0;
}
