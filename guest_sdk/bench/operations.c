/* SPDX-License-Identifier: MIT */
/*
 * The guest of `pvisor bench`: does one operation many times. Command line: the operation's name and how often. What
 * comes before and after is the same for any number, so the difference of two runs is the operation alone, with the
 * loop around it.
 */
#include <pv/block.h>
#include <pv/console.h>
#include <pv/interrupt.h>
#include <pv/memory.h>
#include <pv/power.h>
#include <pv/start.h>
#include <pv/string.h>
#include <pv/timer.h>
#include <pv/user.h>

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

static void disk_read(uint64_t n)
{
    static uint8_t buffer[4096];
    expect(pv_block_sectors() >= SECTORS_4K, "no disk");
    for (uint64_t i = 0; i < n; i++)
        expect(pv_block_read(0, SECTORS_4K, buffer) == 0, "the disk failed");
}

static void console_line(uint64_t n)
{
    static const char line[] = "a line of the console, sixty-four characters with its line end\n";
    for (uint64_t i = 0; i < n; i++)
        pv_write(line, sizeof line - 1);
}

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
    {"disk_read_4k", disk_read},
    {"console_line", console_line},
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
