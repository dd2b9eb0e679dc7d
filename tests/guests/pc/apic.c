/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local APIC and the I/O APIC: timer, priorities, self-IPI, EOI, pins by edge and by level. */
#include "irq.h"
#include "user.h"

enum { ID = 0x20, VERSION = 0x30, TPR = 0x80, PPR = 0xa0, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0, SVR = 0xf0, ISR = 0x100,
       TMR = 0x180, IRR = 0x200, ESR = 0x280, ICR = 0x300, ICR_HIGH = 0x310, LVT_TIMER = 0x320, LINT0 = 0x350,
       LINT1 = 0x360, LVT_ERROR = 0x370, TIMER_COUNT = 0x380, TIMER_NOW = 0x390, TIMER_DIVIDE = 0x3e0 };
enum { MASKED = 0x10000, PERIODIC = 0x20000, SELF = 0x40000, LEVEL = 0x8000, REMOTE_IRR = 0x4000 };

#define LOCAL 0xfee00000u
#define IO 0xfec00000u

static uint32_t local(unsigned at)
{
    return *(volatile uint32_t *)(word)(LOCAL + at);
}

static void set_local_register(unsigned at, uint32_t value)
{
    *(volatile uint32_t *)(word)(LOCAL + at) = value;
}

static uint32_t io(uint8_t index)
{
    *(volatile uint32_t *)(word)IO = index;
    return *(volatile uint32_t *)(word)(IO + 0x10);
}

static void set_io(uint8_t index, uint32_t value)
{
    *(volatile uint32_t *)(word)IO = index;
    *(volatile uint32_t *)(word)(IO + 0x10) = value;
}

static void set_pin(unsigned pin, uint32_t value)
{
    set_io((uint8_t)(0x11 + 2 * pin), local(ID) >> 24 << 24);
    set_io((uint8_t)(0x10 + 2 * pin), value);
}

static bool bit(unsigned base, unsigned vector)
{
    return local(base + vector / 32 * 16) >> vector % 32 & 1;
}

static volatile word count[256];
static volatile bool in_service_inside, trigger_inside, no_end, stays;
static volatile uint32_t priority_inside, pin_inside;
static void (*volatile inside)(unsigned vector);

static void handler(struct frame *frame)
{
    unsigned vector = (unsigned)frame->vector;
    count[vector]++;
    log_event((char)('0' + (vector >> 4)));
    if (vector < 0x30) { /* by the PIC */
        irq_end(vector - IRQ_BASE);
        return;
    }
    in_service_inside = bit(ISR, vector);
    trigger_inside = bit(TMR, vector);
    priority_inside = local(PPR);
    pin_inside = io(0x10 + 2 * 4);
    if (inside)
        inside(vector);
    if (vector == 0x71 && !stays)
        uart_request(false);
    stays = false;
    if (!no_end)
        set_local_register(EOI, 0);
    log_event('.');
}

static word window(unsigned vector)
{
    word before = count[vector];
    open_window();
    return count[vector] - before;
}

static void map_both(void)
{
#ifdef __x86_64__
    extern uint64_t table3[512];
    static uint64_t directory[512] __attribute__((aligned(4096)));
    directory[(IO >> 21) & 511] = (IO & ~0x1fffffu) | 0x9b; /* large, not cached */
    directory[(LOCAL >> 21) & 511] = LOCAL | 0x9b;
    table3[3] = (word)directory | 3;
    write_cr3(read_cr3());
#endif
}

static void registers(void)
{
    show("IA32_APIC_BASE", rdmsr(0x1b));
    show("ID", local(ID) >> 24);
    show("version 1x", local(VERSION) >> 4 & 15);
    show("at least four LVT entries", (local(VERSION) >> 16 & 255) >= 3);
    set_local_register(SVR, 0x1ff);
    show("SVR", local(SVR) & 0x1ff);
    set_local_register(TPR, 0x5a);
    show("TPR", local(TPR));
    show("PPR", local(PPR) & 0xf0);
    set_local_register(TPR, 0);
    set_local_register(DFR, 0xffffffff);
    set_local_register(LDR, 0x01ffffff);
    show("LDR", local(LDR));
    set_local_register(LVT_TIMER, MASKED | 0x50);
    show("LVT timer", local(LVT_TIMER));
    set_local_register(TIMER_DIVIDE, 0xb);
    show("divide", local(TIMER_DIVIDE));
    set_local_register(ICR_HIGH, 0x12345678);
    show("ICR, the upper half", local(ICR_HIGH) >> 24);
    set_local_register(ICR_HIGH, 0);
}

static void timer(void)
{
    set_local_register(TIMER_DIVIDE, 0xb); /* by 1 */
    set_local_register(LVT_TIMER, 0x50);
    set_local_register(TIMER_COUNT, 20000);
    halt();
    show("one shot", count[0x50]);
    show("  in service inside", in_service_inside);
    show("  PPR inside", priority_inside & 0xf0);
    show("  the count is over", local(TIMER_NOW));
    show("  the initial count is kept", local(TIMER_COUNT));
    wait_us(100);
    show("  no second one", window(0x50));
    set_local_register(LVT_TIMER, PERIODIC | 0x50);
    set_local_register(TIMER_COUNT, 20000);
    for (unsigned i = 0; i < 4; i++)
        halt();
    show("periodic", count[0x50]);
    uint32_t now = local(TIMER_NOW);
    show("  the count is within", now > 0 && now <= 20000);
    set_local_register(LVT_TIMER, PERIODIC | MASKED | 0x50);
    wait_us(100);
    show("masked", window(0x50));
    show("  the count goes on", local(TIMER_NOW) > 0);
    set_local_register(TIMER_COUNT, 0);
    show("a count of 0 stops it", local(TIMER_NOW));
    set_local_register(LVT_TIMER, 0x50);
    set_local_register(TIMER_COUNT, 10000);
    wait_us(100);
    show("one shot with IF clear: requested", bit(IRR, 0x50));
    show("  it comes", window(0x50));
    show("  once", window(0x50));
    set_local_register(TIMER_DIVIDE, 0x3); /* by 16 */
    set_local_register(TIMER_COUNT, 100000000);
    wait_us(100);
    uint32_t by_16 = 100000000 - local(TIMER_NOW);
    set_local_register(TIMER_DIVIDE, 0xb);
    set_local_register(TIMER_COUNT, 100000000);
    wait_us(100);
    uint32_t by_1 = 100000000 - local(TIMER_NOW);
    show("divided by 16 it is slower", by_1 > 8 * by_16);
    set_local_register(TIMER_COUNT, 0);
    n_logged = 0;
}

static void send(unsigned vector)
{
    set_local_register(ICR, SELF | vector);
}

static void send_low(unsigned vector)
{
    if (vector == 0x60) {
        send(0x50);
        open_window();
    }
}

static void send_high(unsigned vector)
{
    if (vector == 0x60) {
        send(0x70);
        open_window();
    }
}

static void priorities(void)
{
    send(0x60);
    show("self-IPI: sent", local(ICR) >> 12 & 1);
    show("  requested", bit(IRR, 0x60));
    show("  not in service", bit(ISR, 0x60));
    show("  it comes", window(0x60));
    show("  no longer requested", bit(IRR, 0x60));
    send(0x60);
    send(0x60);
    show("twice is once", window(0x60) + window(0x60));
    set_local_register(TPR, 0x60);
    send(0x60);
    show("TPR of its class: held", window(0x60));
    show("  requested", bit(IRR, 0x60));
    set_local_register(TPR, 0x5f);
    show("TPR below: it comes", window(0x60));
    set_local_register(TPR, 0x6f);
    send(0x70);
    show("a higher one is not held", window(0x70));
    set_local_register(TPR, 0);
#ifdef __x86_64__
    word value;
    __asm__ volatile("mov %0, %%cr8" : : "r"(6ul));
    show("CR8 of 6: TPR", local(TPR));
    send(0x60);
    show("  held", window(0x60));
    __asm__ volatile("mov %0, %%cr8" : : "r"(5ul));
    show("CR8 of 5: it comes", window(0x60));
    set_local_register(TPR, 0x30);
    __asm__ volatile("mov %%cr8, %0" : "=r"(value));
    show("TPR of 0x30: CR8", value);
    __asm__ volatile("mov %0, %%cr8" : : "r"(0ul));
#endif
    n_logged = 0;
    send(0x50);
    send(0x70);
    send(0x60);
    open_window();
    open_window();
    print_log("three at once");
    inside = send_low;
    send(0x60);
    open_window();
    open_window();
    print_log("a lower one inside waits");
    inside = send_high;
    send(0x60);
    open_window();
    print_log("a higher one does not");
    inside = 0;
    no_end = true;
    send(0x60);
    open_window();
    no_end = false;
    show("no end: in service", bit(ISR, 0x60));
    show("  PPR", local(PPR) & 0xf0);
    send(0x60);
    send(0x50);
    show("  held, its own", window(0x60));
    show("  held, a lower one", window(0x50));
    set_local_register(EOI, 0);
    n_logged = 0;
    open_window();
    open_window();
    print_log("  behind the end");
    show("in service", bit(ISR, 0x60));
}

static void pins(void)
{
    show("I/O APIC: pins", (io(1) >> 16 & 255) + 1);
    set_io(0, 0x05000000);
    show("  ID", io(0) >> 24 & 15);
    set_io(0, 0);
    set_pin(2, MASKED | 0x60);
    show("  an entry", io(0x14));
    show("  its upper half", io(0x15) >> 24);

    pit_start(0, 2, 119);
    set_pin(2, 0x60);
    word before = count[0x60];
    for (unsigned i = 0; i < 4; i++)
        halt();
    show("the PIT by pin 2", count[0x60] - before);
    show("  by edge", trigger_inside);
    set_pin(2, MASKED | 0x60);
    window(0x60);
    wait_us(250);
    show("masked", window(0x60));
    pit_start(0, 0, 100);
    wait_us(200);

    set_pin(4, 0x71);
    uart_request(true);
    show("the UART by pin 4, by edge", window(0x71));
    show("  once", window(0x71));
    set_pin(4, LEVEL | 0x71);
    n_logged = 0;
    stays = true; /* the first handler does not serve it */
    uart_request(true);
    before = count[0x71];
    open_window();
    open_window();
    show("by level, served by the second handler", count[0x71] - before);
    show("  by level", trigger_inside);
    show("  remote IRR inside", pin_inside >> 14 & 1);
    show("  and behind", io(0x18) >> 14 & 1);
    print_log("  in this order");
    set_pin(4, LEVEL | MASKED | 0x71);
    uart_request(true);
    show("by level, masked", window(0x71));
    set_pin(4, LEVEL | 0x71);
    show("  unmasked it comes", window(0x71));
    set_pin(4, LEVEL | MASKED | 0x71);
}

static void virtual_wire(void)
{
    pic_set_up();
    set_local_register(LINT0, 0x700);
    irq_mask(IRQ_PIT, false);
    pit_start(0, 2, 119);
    halt();
    halt();
    show("the PIC by LINT0", count[0x20]);
    set_local_register(LINT0, MASKED | 0x700);
    window(0x20);
    wait_us(250);
    show("LINT0 masked", window(0x20));
    set_local_register(LINT0, 0x700);
    show("and again", window(0x20));
    set_local_register(TPR, 0xf0);
    wait_us(250);
    show("TPR does not hold it", window(0x20));
    set_local_register(TPR, 0);
    irq_mask(IRQ_PIT, true);
}

int main(void)
{
    user_set_up();
    on_interrupt = handler;
    map_both();
    registers();
    timer();
    priorities();
    pins();
    virtual_wire();
    return 0;
}
