/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Non-maskable interrupts: from the CPU itself and from pins, how they block each other, and what lets them in. */
#include "irq.h"
#include "user.h"

enum { NMI_ENTRY = 0x32, INNER = 0x33, MASKED = 0x10000, LEVEL = 0x8000, NMI = 0x400 };

#define LOCAL 0xfee00000u
#define IO 0xfec00000u

static volatile word n_nmis, depth, deepest, nmi_ip, nmi_flags, flags_inside, nmi_cs, nmi_sp, n_other;
static void (*volatile inside)(void);

static uint32_t local(unsigned at)
{
    return *(volatile uint32_t *)(word)(LOCAL + at);
}

static void set_local_register(unsigned at, uint32_t value)
{
    *(volatile uint32_t *)(word)(LOCAL + at) = value;
}

static void set_io(uint8_t index, uint32_t value)
{
    *(volatile uint32_t *)(word)IO = index;
    *(volatile uint32_t *)(word)(IO + 0x10) = value;
}

static void set_pin(unsigned pin, uint32_t value)
{
    set_io((uint8_t)(0x11 + 2 * pin), local(0x20) >> 24 << 24);
    set_io((uint8_t)(0x10 + 2 * pin), value);
}

/* Time for what is pending, whatever IF says. */
static void __attribute__((noinline)) let_in(void)
{
    __asm__ volatile("nop; jmp 1f; 1: nop; jmp 1f; 1: nop" : : : "memory");
}

static void send(void)
{
    set_local_register(0x310, local(0x20));
    set_local_register(0x300, 0x4000 | NMI);
    let_in();
}

static void handler(struct frame *frame)
{
    word flags;
    __asm__ volatile("pushf; pop %0" : "=r"(flags));
    if (frame->vector == LEAVE) {
        back_to_kernel(frame);
        return;
    }
    if (frame->vector != NMI_ENTRY) {
        n_other++;
        return;
    }
    n_nmis++;
    nmi_ip = frame->ip;
    nmi_flags = frame->flags;
    nmi_cs = frame->cs;
    nmi_sp = (word)frame;
    flags_inside = flags;
    depth++;
    if (depth > deepest)
        deepest = depth;
    void (*now)(void) = inside;
    inside = 0;
    if (now)
        now();
    depth--;
}

static void tell(const char *name)
{
    show(name, n_nmis);
    show("  at once", deepest);
    n_nmis = deepest = 0;
    inside = 0;
}

static void send_two(void)
{
    send();
    send();
}

static void interrupt_inside(void)
{
    send();
    __asm__ volatile("int $0x33"); /* its IRET lets the NMI in */
    let_in();
}

static void fault_inside(void)
{
    send();
    TRY("  IRET to null", "push $0; push $0; push $0; push $0; push $0; iret" S);
    let_in();
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

static void to_itself(void)
{
    send();
    show("IF clear: IF in the frame", nmi_flags & 0x200);
    show("  IF inside", flags_inside & 0x200);
    tell("  it comes");
    __asm__ volatile("sti");
    send();
    __asm__ volatile("cli");
    show("IF set: IF in the frame", nmi_flags & 0x200);
    show("  IF inside", flags_inside & 0x200);
    tell("  it comes");
    outb(0x70, 0x8f);
    send();
    tell("bit 7 of I/O port 0x70 is for the board's NMI");
    outb(0x70, 0x0f);
    inside = send_two;
    send();
    tell("two more inside: one is kept");
    inside = interrupt_inside;
    send();
    tell("an IRET inside lets it in");
    inside = fault_inside;
    send();
    tell("one that faults, too");
    inside = send;
    __asm__ volatile("int $2");
    tell("INT 2 blocks nothing");
    set_local_register(0x310, 0x77000000);
    set_local_register(0x300, 0x4000 | NMI);
    let_in();
    tell("to somebody else");
    /* Pending when IRET ends: before the next instruction. */
    n_other = 0;
    inside = send;
    send();
    show("no interrupt came", n_other);
    tell("twice, one after the other");
}

static void by_pins(void)
{
    pit_start(0, 0, 1193);
    set_pin(2, NMI);
    __asm__ volatile("hlt");
    tell("the PIT by pin 2 ends HLT, with IF clear");
    pit_start(0, 0, 1193);
    __asm__ volatile("sti; hlt; cli");
    tell("and with IF set");
    pit_start(0, 0, 1193);
    RUN_USER("1: cmp" S " $0, n_nmis; je 1b");
    show("in ring 3: CS in the frame", nmi_cs);
    tell("  it comes");
    set_pin(2, MASKED | NMI);
    pit_start(0, 0, 100);
    wait_us(200);
    let_in();
    tell("masked");
    set_pin(4, LEVEL | NMI);
    uart_request(true);
    let_in();
    let_in();
    tell("by level is an edge, too");
    set_pin(4, MASKED);
    uart_request(false);
    pic_set_up();
    set_local_register(0x350, NMI);
    irq_mask(IRQ_PIT, false);
    pit_start(0, 0, 1193);
    __asm__ volatile("hlt");
    show("the PIC by LINT0", n_nmis > 0);
    set_local_register(0x350, MASKED | 0x700);
    irq_mask(IRQ_PIT, true);
}

int main(void)
{
    user_set_up();
    map_both();
    on_interrupt = handler;
    set_gate(2, ENTRY(NMI_ENTRY), CODE, 0xee, 0);
    to_itself();
    by_pins();
#ifdef __x86_64__
    extern uint64_t stack_top[];
    n_nmis = 0;
    task_state.ist[2] = (word)stack_top - 8192;
    set_gate(2, ENTRY(NMI_ENTRY), CODE, 0x8e, 3);
    send();
    show("IST: below its stack", (word)stack_top - 8192 - nmi_sp);
    tell("  it comes");
#endif
    return 0;
}
