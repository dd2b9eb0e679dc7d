/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 8259 pair and the CPU: masks, priorities, nesting, ends of interrupt, HLT,
   and the shadows of STI and MOV SS. */
#include "irq.h"
#include "user.h"

static volatile uint8_t service_inside, slave_inside;
static volatile word flags_inside, ip_inside, cs_inside;
static void (*volatile inside)(unsigned irq); /* of a handler, before the end of the interrupt */
static volatile bool no_end;

static void handler(struct frame *frame)
{
    unsigned irq = (unsigned)frame->vector - IRQ_BASE;
    if (irq > 15) {
        if (frame->vector == LEAVE)
            back_to_kernel(frame);
        return;
    }
    irq_count[irq]++;
    ip_inside = frame->ip;
    cs_inside = frame->cs;
    flags_inside = frame->flags;
    service_inside = pic_in_service(PIC1);
    slave_inside = pic_in_service(PIC2);
    log_event((char)('a' + irq));
    if (irq == IRQ_UART)
        uart_request(false);
    if (irq == IRQ_RTC)
        cmos(0x0c);
    if (inside)
        inside(irq);
    if (!no_end)
        irq_end(irq);
    log_event((char)('A' + irq));
}

static void registers(void)
{
    outb(PIC1 + 1, 0x5a);
    outb(PIC2 + 1, 0xc3);
    show("masks read back", (uint64_t)inb(PIC1 + 1) << 8 | inb(PIC2 + 1));
    pic_begin(PIC1, IRQ_BASE, 4, 1);
    pic_begin(PIC2, IRQ_BASE + 8, 2, 1);
    show("ICW1 clears them", (uint64_t)inb(PIC1 + 1) << 8 | inb(PIC2 + 1));
    pic_set_up();
    show("in service", (uint64_t)pic_in_service(PIC1) << 8 | pic_in_service(PIC2));
    uint8_t kept = inb(0x4d0), kept2 = inb(0x4d1);
    outb(0x4d0, 0xff);
    outb(0x4d1, 0xff);
    show("edge or level: what can be set", (uint64_t)inb(0x4d0) << 8 | inb(0x4d1));
    outb(0x4d0, 0);
    outb(0x4d1, 0);
    show("and cleared", (uint64_t)inb(0x4d0) << 8 | inb(0x4d1));
    outb(0x4d0, kept);
    outb(0x4d1, kept2);
}

extern const char behind_hlt[], behind_sti[], behind_ss[];

static void ticks(void)
{
    pit_start(0, 2, 119); /* 10 kHz */
    irq_mask(IRQ_PIT, false);
    for (unsigned i = 0; i < 5; i++)
        __asm__ volatile("sti; hlt; .globl behind_hlt; behind_hlt: cli" : : : "memory");
    show("five ticks", irq_count[IRQ_PIT]);
    show("  in service", service_inside);
    show("  IF in the frame", flags_inside & 0x200);
    show("  CS in the frame", cs_inside);
    show("  IP is behind HLT", ip_inside == (word)behind_hlt);
    show("  nothing in service behind", pic_in_service(PIC1));
    word before = irq_count[IRQ_PIT];
    wait_us(250);
    show("with IF clear none came", irq_count[IRQ_PIT] - before);
    show("  but is requested", pic_requests(PIC1) & 1);
    open_window();
    show("  and comes with STI, once", irq_count[IRQ_PIT] - before);
    irq_mask(IRQ_PIT, true);
    before = irq_count[IRQ_PIT];
    wait_us(250);
    open_window();
    show("masked, none comes", irq_count[IRQ_PIT] - before);
    show("  but is requested", pic_requests(PIC1) & 1);
    irq_mask(IRQ_PIT, false);
    open_window();
    show("  and comes when it is unmasked, once", irq_count[IRQ_PIT] - before);
    no_end = true;
    halt();
    no_end = false;
    before = irq_count[IRQ_PIT];
    wait_us(250);
    open_window();
    show("without an end none comes", irq_count[IRQ_PIT] - before);
    show("  in service", pic_in_service(PIC1));
    show("  requested", pic_requests(PIC1) & 1);
    outb(PIC1, 0x61);
    show("  the end of another does nothing", pic_in_service(PIC1));
    outb(PIC1, 0x60);
    show("  its own does", pic_in_service(PIC1));
    open_window();
    show("  and the next comes", irq_count[IRQ_PIT] - before);
}

static void shadows(void)
{
    word before = irq_count[IRQ_PIT];
    wait_us(250);
    __asm__ volatile("sti; cli; nop; nop" : : : "memory");
    show("STI and CLI let none through", irq_count[IRQ_PIT] - before);
    __asm__ volatile("sti; .globl behind_sti; behind_sti: nop; nop; cli" : : : "memory");
    show("STI and NOP do", irq_count[IRQ_PIT] - before);
    show("  behind the NOP", ip_inside - (word)behind_sti);
    before = irq_count[IRQ_PIT];
    wait_us(250);
    __asm__ volatile("sti; hlt; cli" : : : "memory");
    show("STI and HLT with one pending: it wakes up", irq_count[IRQ_PIT] - before);
    wait_us(250);
    before = irq_count[IRQ_PIT];
    __asm__ volatile("mov %%ss, %%eax; sti; mov %%eax, %%ss; .globl behind_ss; behind_ss: nop; nop; nop; "
        "cli" : : : "eax", "memory");
    show("STI and MOV SS", irq_count[IRQ_PIT] - before);
    show("  it came behind both", ip_inside >= (word)behind_ss);
    wait_us(250);
    before = irq_count[IRQ_PIT];
    __asm__ volatile("push $0x202; popf; nop; nop; cli" : : : "memory", "cc");
    show("POPF of IF lets it through", irq_count[IRQ_PIT] - before);
}

static void in_ring_3(void)
{
    user_flags = 0x202;
    word before = irq_count[IRQ_PIT];
    RUN_USER("mov $0x1234567, %%ecx; mov irq_count, %%edx; add $3, %%edx; 1: cmp %%edx, irq_count; jb 1b; "
        "mov %%ecx, %%eax; mov %%" AX ", result; "
             "pushf; pop result2");
    show("three ticks in ring 3", irq_count[IRQ_PIT] - before >= 3);
    show("  CS in the frame", cs_inside);
    show("  IF in the frame", flags_inside & 0x200);
    show("  a register kept", result);
    show("  flags", result2 & 0x3200);
    user_flags = 2;
    irq_mask(IRQ_PIT, true);
}

static void raise_uart(unsigned irq)
{
    if (irq == IRQ_PIT) {
        uart_request(true);
        open_window();
    }
}

static void raise_uart_after_end(unsigned irq)
{
    if (irq == IRQ_PIT) {
        uart_request(true);
        irq_end(irq);
        open_window();
        no_end = true;
    }
}

static void raise_uart_in_special_mode(unsigned irq)
{
    if (irq == IRQ_PIT) {
        irq_mask(IRQ_PIT, true);
        outb(PIC1, 0x68);
        uart_request(true);
        open_window();
        outb(PIC1, 0x48);
    }
}

static void wait_for_tick(unsigned irq)
{
    if (irq == IRQ_UART) {
        pit_start(0, 0, 100); /* once, at once */
        wait_us(200);
        open_window();
    }
}

/* One tick; in its handler `what` happens; then all that is pending. */
static void one_tick(const char *name, void (*what)(unsigned))
{
    inside = what;
    pit_start(0, 0, 100);
    wait_us(200);
    open_window();
    open_window();
    inside = 0;
    no_end = false;
    uart_request(false);
    print_log(name);
}

static void nesting(void)
{
    irq_mask(IRQ_PIT, false);
    irq_mask(IRQ_UART, false);
    one_tick("a tick", 0);
    one_tick("the UART within a tick waits", raise_uart);
    one_tick("but not behind the tick's end", raise_uart_after_end);
    one_tick("nor in special mask mode", raise_uart_in_special_mode);
    irq_mask(IRQ_PIT, false);
    inside = wait_for_tick;
    uart_request(true);
    open_window();
    inside = 0;
    print_log("a tick within the UART's comes");
    uart_request(true);
    pit_start(0, 0, 100);
    wait_us(200);
    open_window();
    open_window();
    print_log("both at once");
    outb(PIC1, 0xc0 | 3); /* IRQ 3 the lowest, so 4 the highest */
    uart_request(true);
    pit_start(0, 0, 100);
    wait_us(200);
    open_window();
    open_window();
    print_log("both at once, IRQ 4 the highest");
    one_tick("the UART within a tick, IRQ 4 the highest", raise_uart);
    outb(PIC1, 0xc0 | 7);
    one_tick("and again as it was", raise_uart);
}

static void ends(void)
{
    no_end = true;
    pit_start(0, 0, 100);
    wait_us(200);
    open_window();
    outb(PIC1, 0x0b);
    show("a tick without an end", inb(PIC1));
    outb(PIC1, 0xa0); /* end, and rotate: IRQ 0 is the lowest then */
    show("rotating end", pic_in_service(PIC1));
    no_end = false;
    n_logged = 0;
    one_tick("the UART within a tick, after the rotation", raise_uart);
    outb(PIC1, 0xc7);
    pic_begin(PIC1, IRQ_BASE, 4, 3); /* automatic end */
    outb(PIC1 + 1, 0xea);
    no_end = true;
    one_tick("automatic end", raise_uart);
    show("  in service inside", service_inside);
    pic_set_up();
}

static void polling(void)
{
    irq_mask(IRQ_UART, false);
    outb(PIC1, 0x0c);
    show("poll of nothing", inb(PIC1) & 0x80);
    uart_request(true);
    outb(PIC1, 0x0c);
    show("poll of IRQ 4", inb(PIC1));
    show("  in service", pic_in_service(PIC1));
    uart_request(false);
    outb(PIC1, 0x64);
    show("  ended", pic_in_service(PIC1));
    irq_mask(IRQ_UART, true);
}

static void the_other(void)
{
    word before = irq_count[IRQ_RTC];
    cmos(0x0c);
    set_cmos(0x0a, 0x23); /* 8192 Hz */
    set_cmos(0x0b, (cmos(0x0b) & 0x07) | 0x40);
    irq_mask(IRQ_RTC, false);
    for (unsigned i = 0; i < 3; i++)
        halt();
    show("three interrupts of the RTC", irq_count[IRQ_RTC] - before);
    show("  in service, first and second", (uint64_t)service_inside << 8 | slave_inside);
    show("  and behind", (uint64_t)pic_in_service(PIC1) << 8 | pic_in_service(PIC2));
    irq_mask(IRQ_CASCADE, true);
    before = irq_count[IRQ_RTC];
    wait_us(250);
    open_window();
    show("with the cascade masked", irq_count[IRQ_RTC] - before);
    show("  requests, first and second", (uint64_t)(pic_requests(PIC1) & 4) << 8 | pic_requests(PIC2));
    irq_mask(IRQ_CASCADE, false);
    open_window();
    show("unmasked it comes", irq_count[IRQ_RTC] - before);
    set_cmos(0x0b, cmos(0x0b) & 0x07);
    cmos(0x0c);
    irq_mask(IRQ_RTC, true);
}

static void hundred_hertz(void)
{
    irq_mask(IRQ_PIT, true);
    pit_start(0, 2, 11932);
    irq_mask(IRQ_PIT, false);
    halt();
    word before = irq_count[IRQ_PIT];
    uint8_t control = inb(0x61) & 0x0c;
    outb(0x61, control);
    pit_start(2, 0, 41762); /* 35 ms */
    outb(0x61, control | 1);
    while (!(inb(0x61) & 0x20))
        halt();
    show("ticks of 100 Hz until 35 ms are over", irq_count[IRQ_PIT] - before);
    irq_mask(IRQ_PIT, true);
}

int main(void)
{
    user_set_up();
    on_interrupt = handler;
    registers();
    ticks();
    shadows();
    in_ring_3();
    n_logged = 0;
    nesting();
    ends();
    polling();
    the_other();
    hundred_hertz();
    return 0;
}
