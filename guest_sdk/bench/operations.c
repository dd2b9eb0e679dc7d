/* SPDX-License-Identifier: MIT */
/*
 * The guest of `pvisor bench`: does one operation many times. Command line: the operation's name and how often. What
 * comes before and after is the same for any number, so the difference of two runs is the operation alone, with the
 * loop around it.
 *
 * Nearly all of it is one source for both wings. The SDK adds work of its own to changes of page tables in batches, so
 * the kernel's own tables are changed as a kernel would that has no SDK; but for one row, which shows what it adds.
 */
#include <pv/block.h>
#include <pv/console.h>
#include <pv/cpu.h>
#include <pv/interrupt.h>
#include <pv/memory.h>
#include <pv/power.h>
#include <pv/start.h>
#include <pv/string.h>
#include <pv/timer.h>
#include <pv/user.h>

#ifdef PV_MODE_PARA
#include <pv/event.h>
#endif

#define SECTORS_4K (4096 / PV_SECTOR_SIZE)

static volatile uint64_t n_handled;

static void expect(bool it_is_so, const char *what)
{
    if (!it_is_so) {
        pv_puts(what);
        pv_exit(1);
    }
}

static void handled(void *context, struct pv_trap_frame *frame)
{
    (void)context, (void)frame;
    n_handled++;
}

static void interrupt_mask(uint64_t n)
{
    pv_interrupts_enable();
    while (n-- > 0)
        pv_interrupts_restore(pv_interrupts_disable());
}

static void interrupt(uint64_t n)
{
    expect(pv_interrupt_set(PV_SOURCE_SELF, handled, NULL) == 0, "no local APIC");
    pv_interrupts_enable();
    for (uint64_t i = 0; i < n; i++)
        pv_interrupt_raise();
    expect(n_handled == n, "not every interrupt came");
}

static void timer(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        pv_timer_set(0, handled, NULL);
        while (n_handled == i)
            pv_interrupts_wait();
    }
}

static int64_t count_call(void *context, uint64_t number, const uint64_t arguments[6])
{
    (void)context, (void)arguments;
    n_handled++;
    return (int64_t)number;
}

PV_USER_TEXT static int64_t make_calls(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        pv_user_call(1, 0, 0, 0);
    return 0;
}

static void system_call(uint64_t n)
{
    struct pv_user *user = pv_user_create_function(make_calls, count_call, NULL);
    expect(user != NULL && pv_user_run(user, n, NULL) == 0 && n_handled == n, "not every call came");
}

static void root_switch(uint64_t n)
{
    struct pv_space *one = pv_space_create(), *other = pv_space_create();
    for (uint64_t i = 0; i < n; i += 2) {
        pv_space_switch(one);
        pv_space_switch(other);
    }
}

static void map_unmap(uint64_t n)
{
    uint64_t page = (uintptr_t)pv_page_alloc();
    for (uint64_t i = 0; i < n; i++) {
        pv_page_map(pv_space_kernel(), PV_SPACE_START, page, PV_MAP_WRITE);
        *(volatile uint64_t *)PV_SPACE_START = i;
        pv_page_unmap(pv_space_kernel(), PV_SPACE_START, 0);
    }
    expect(n == 0 || *(uint64_t *)page == n - 1, "the page was not written");
}

static void step_over(struct pv_trap_frame *frame)
{
    n_handled++;
    frame->rip += 2;
}

static void page_fault(uint64_t n)
{
    pv_trap_set(PV_TRAP_PAGE, step_over);
    for (uint64_t i = 0; i < n; i++)
        __asm__ volatile("movb (%0), %%al" : : "a"(PV_SPACE_START) : "memory");
    expect(n_handled == n, "not every fault came");
}

#ifdef PV_MODE_FULL
static void msr_write(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) /* KERNEL_GS_BASE */
        __asm__ volatile("wrmsr" : : "c"(0xc0000102), "a"(0x1000), "d"(0));
}
#endif

static void time_read(uint64_t n)
{
    uint64_t last = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t now = pv_time_ns();
        expect(now > last, "time stands still");
        last = now;
    }
}

/* --- 512 entries of a table: one by one, together, and together with the page that each maps used */

#define N_ENTRIES 512
#define ENTRY_PW  0x8000000000000063ull /* present, writable, accessed, dirty, no code: as kernels do */

/* A table that maps 512 pages, all to the same frame; each change makes it the other of two. */
static struct remapped {
    uint64_t *entries, frames[2];
} remapped;

static void map_512(void)
{
    remapped.frames[0] = (uintptr_t)pv_page_alloc();
    remapped.frames[1] = (uintptr_t)pv_page_alloc();
    for (uint64_t i = 0; i < N_ENTRIES; i++)
        pv_page_map(pv_space_kernel(), PV_SPACE_START + i * PV_PAGE_SIZE, remapped.frames[0], PV_MAP_WRITE);
    uint64_t *table = (uint64_t *)pv_space_kernel(); /* tables can be read at their physical addresses */
    for (int shift = 39; shift > 12; shift -= 9)
        table = (uint64_t *)(uintptr_t)(table[PV_SPACE_START >> shift & 511] & 0x000ffffffffff000);
    remapped.entries = table;
}

static uint64_t page_of(uint64_t i)
{
    return PV_SPACE_START + i * PV_PAGE_SIZE;
}

#ifdef PV_MODE_PARA
static void change_one(uint64_t i, uint64_t entry)
{
    pv_entry_set(page_of(i), entry, PV_FLUSH_PAGE);
}

/* Eight entries a turn: the loop's own branches are no part of what is measured. */
static void change_all(uint64_t entry)
{
    static struct pv_entry_update updates[N_ENTRIES];
#pragma GCC unroll 8
    for (uint64_t i = 0; i < N_ENTRIES; i++)
        updates[i] = (struct pv_entry_update){(uintptr_t)&remapped.entries[i], entry};
    expect(pv_table_update(updates, N_ENTRIES, PV_FLUSH_ALL) == N_ENTRIES, "not every entry was changed");
}
#else
static void change_one(uint64_t i, uint64_t entry)
{
    ((volatile uint64_t *)remapped.entries)[i] = entry;
    __asm__ volatile("invlpg (%0)" : : "r"(page_of(i)) : "memory");
}

static void change_all(uint64_t entry)
{
#pragma GCC unroll 8
    for (uint64_t i = 0; i < N_ENTRIES; i++)
        ((volatile uint64_t *)remapped.entries)[i] = entry;
    __asm__ volatile("movq %0, %%cr3" : : "r"(pv_space_kernel()) : "memory");
}
#endif

static uint64_t entry_of_round(uint64_t round)
{
    return remapped.frames[round % 2] | ENTRY_PW;
}

static void entry_set_512(uint64_t n)
{
    map_512();
    for (uint64_t round = 1; round <= n; round++)
        for (uint64_t i = 0; i < N_ENTRIES; i++)
            change_one(i, entry_of_round(round));
}

static void entry_batch_512(uint64_t n)
{
    map_512();
    for (uint64_t round = 1; round <= n; round++)
        change_all(entry_of_round(round));
}

/* Read each page: those of odd rounds hold 1. */
static void use_all(uint64_t round)
{
    uint64_t n_new = 0;
    for (uint64_t i = 0; i < N_ENTRIES; i++)
        n_new += *(volatile uint64_t *)page_of(i);
    expect(n_new == (round % 2 ? N_ENTRIES : 0), "a page is not what its entry says");
}

static void remap_512(uint64_t n)
{
    map_512();
    *(uint64_t *)remapped.frames[1] = 1;
    for (uint64_t round = 1; round <= n; round++) {
        change_all(entry_of_round(round));
        use_all(round);
    }
}

static void remap_later_512(uint64_t n)
{
    struct pv_space *space = pv_space_kernel();
    map_512();
    *(uint64_t *)remapped.frames[1] = 1;
    for (uint64_t round = 1; round <= n; round++) {
        for (uint64_t i = 0; i < N_ENTRIES; i++) {
            pv_page_unmap(space, page_of(i), PV_MAP_LATER);
            pv_page_map(space, page_of(i), remapped.frames[round % 2], PV_MAP_WRITE | PV_MAP_LATER);
        }
        pv_space_flush(space);
        use_all(round);
    }
}

static void read_disk(uint64_t n, size_t n_sectors)
{
    static uint8_t buffer[65536];
    expect(pv_block_sectors() >= n_sectors, "no disk");
    for (uint64_t i = 0; i < n; i++)
        expect(pv_block_read(0, n_sectors, buffer) == 0, "the disk failed");
}

static void disk_read_4k(uint64_t n)
{
    read_disk(n, SECTORS_4K);
}

static void disk_read_64k(uint64_t n)
{
    read_disk(n, 16 * SECTORS_4K);
}

static void console_line(uint64_t n)
{
    static const char line[] = "a line of the console, sixty-four characters with its line end\n";
    for (uint64_t i = 0; i < n; i++)
        pv_write(line, sizeof line - 1);
}

static void console_64k(uint64_t n)
{
    static char text[65536];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 64 == 63 ? '\n' : (char)('a' + i / 64 % 26);
    for (uint64_t i = 0; i < n; i++)
        pv_write(text, sizeof text);
}

#ifdef PV_MODE_PARA
/* --- two domains, of which each waits for the other: 1 sends first, 2 answers */

static void wait_for(uint32_t port)
{
    while (!pv_event_take(port))
        pv_poll(&port, 1, 0);
}

static void event_trip(uint64_t n)
{
    uint32_t port = (uint32_t)pv_event_alloc(2);
    wait_for(port); /* the other has bound */
    for (uint64_t i = 0; i < n; i += 2) {
        pv_event_send(port);
        wait_for(port);
    }
}

static void event_answer(uint64_t n)
{
    int64_t port = -1;
    while (port < 0) {
        for (uint32_t remote = 1; port < 0 && remote < 16; remote++)
            port = pv_event_bind(1, remote);
        pv_yield();
    }
    for (uint64_t i = 0; i < n; i += 2) {
        wait_for((uint32_t)port);
        pv_event_send((uint32_t)port);
    }
}
#endif

static const struct {
    const char *name;
    void (*run)(uint64_t n);
} operations[] = {
    {"interrupt_mask", interrupt_mask},
    {"interrupt", interrupt},
    {"timer", timer},
    {"system_call", system_call},
    {"root_switch", root_switch},
    {"map_unmap", map_unmap},
    {"page_fault", page_fault},
#ifdef PV_MODE_FULL
    {"msr_write", msr_write},
#endif
    {"time_read", time_read},
    {"entry_set_512", entry_set_512},
    {"entry_batch_512", entry_batch_512},
    {"remap_512", remap_512},
    {"remap_later_512", remap_later_512},
    {"disk_read_4k", disk_read_4k},
    {"disk_read_64k", disk_read_64k},
    {"console_line", console_line},
    {"console_64k", console_64k},
#ifdef PV_MODE_PARA
    {"event_trip", event_trip},
    {"event_answer", event_answer},
#endif
};

int main(void)
{
    const char *name = pv_cmdline(), *at = name;
    while (*at != ' ' && *at != '\0')
        at++;
    size_t length = (size_t)(at - name);
    uint64_t n = 0;
    for (at += *at == ' '; *at >= '0' && *at <= '9'; at++)
        n = n * 10 + (uint64_t)(*at - '0');
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++)
        if (strlen(operations[i].name) == length && memcmp(operations[i].name, name, length) == 0) {
            operations[i].run(n);
            return 0;
        }
    pv_puts("no such operation");
    return 1;
}
