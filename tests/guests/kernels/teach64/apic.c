/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Local APIC with its timer, I/O APIC; the old controllers are masked. */
#include "kernel.h"

enum { ID = 0x20, TPR = 0x80, END = 0xB0, SVR = 0xF0 };
enum { LVT_TIMER = 0x320, LVT_LINT0 = 0x350, INITIAL = 0x380, COUNT = 0x390, DIVIDE = 0x3E0, MASKED = 1 << 16 };
enum { PIT_HZ = 1193182 };

static volatile u32 *local, *io;
static struct madt board;

static u32 read(u32 reg) { return local[reg / 4]; }
static void write(u32 reg, u32 value) { local[reg / 4] = value; }

static void io_write(u32 reg, u32 value)
{
	io[0] = reg;
	io[4] = value;
}

/* How far the timer counts from one tick to the next: a tenth of that is measured by the 8254's channel 2. */
static u32 calibrate(void)
{
	u32 count = PIT_HZ / HZ / 10;
	write(DIVIDE, 3); /* by 16 */
	write(LVT_TIMER, MASKED);
	outb(0x61, (inb(0x61) & ~2) | 1);
	outb(0x43, 0xB0); /* mode 0 */
	outb(0x42, count & 0xFF);
	outb(0x42, count >> 8);
	write(INITIAL, 0xFFFFFFFF);
	while (!(inb(0x61) & 0x20))
		;
	return (0xFFFFFFFF - read(COUNT)) * 10;
}

void apic_init(const struct madt *madt)
{
	board = *madt;
	outb(0x21, 0xFF);
	outb(0xA1, 0xFF);
	local = direct(madt->local_apic);
	io = direct(madt->io_apic);
	wrmsr(0x1B, rdmsr(0x1B) | 1 << 11);
	write(TPR, 0);
	write(LVT_LINT0, MASKED);
	write(SVR, 0x100 | VECTOR_SPURIOUS);
	io[0] = 1;
	for (u32 i = 0; i <= (io[4] >> 16 & 0xFF); i++) {
		io_write(0x10 + 2 * i, MASKED);
		io_write(0x11 + 2 * i, 0);
		io[0] = 1;
	}
	u32 period = calibrate();
	write(LVT_TIMER, 0x20000 | VECTOR_TIMER); /* periodic */
	write(INITIAL, period);
}

void apic_end(void) { write(END, 0); }

void irq_enable(u32 irq, bool on)
{
	u32 flags = board.flags[irq], entry = VECTOR_IRQ + irq;
	if ((flags & 3) == 3)
		entry |= 1 << 13; /* active low */
	if ((flags >> 2 & 3) == 3)
		entry |= 1 << 15; /* level */
	io_write(0x11 + 2 * board.gsi[irq], read(ID) & 0xFF000000);
	io_write(0x10 + 2 * board.gsi[irq], on ? entry : MASKED);
}

void pit_periodic(void)
{
	u32 count = PIT_HZ / HZ;
	outb(0x43, 0x34);
	outb(0x40, count & 0xFF);
	outb(0x40, count >> 8);
}
