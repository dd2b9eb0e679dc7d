/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Console: text screen and serial line for output, serial line and keyboard for input. */
#include <stdarg.h>

#include "kernel.h"

enum { COM1 = 0x3F8, DATA = COM1, IER, IIR, LCR, MCR, LSR };
enum { IER_RX = 1, IER_TX = 2, LSR_READY = 1, LSR_EMPTY = 0x20, FIFO_BYTES = 16 };
enum { CRTC = 0x3D4, COLUMNS = 80, ROWS = 25, N_RING = 256 };

static struct spinlock lock = {0, "console"};
static u16 *const screen = (u16 *)(KERNEL_BASE + 0xB8000);
static u32 cursor;
static struct {
	char bytes[N_RING];
	u32 head, tail;
} sent, typed;
static u8 enabled; /* of IER */

void console_init(void)
{
	outb(IER, 0);
	outb(LCR, 0x80);
	outb(DATA, 1); /* 115200 baud */
	outb(IER, 0);
	outb(LCR, 3);
	outb(IIR, 0x07); /* FIFOs on and empty, interrupt at the first byte */
	outb(MCR, 0x0B);
	for (u32 i = 0; i < ROWS * COLUMNS; i++)
		screen[i] = 0x0720;
}

static void enable(u8 bits, bool on)
{
	enabled = on ? enabled | bits : enabled & ~bits;
	outb(IER, enabled);
}

void console_receive(bool on)
{
	acquire(&lock);
	enable(IER_RX, on);
	release(&lock);
}

static void screen_put(char c)
{
	if (c == '\n')
		cursor += COLUMNS - cursor % COLUMNS;
	else
		screen[cursor++] = 0x0700 | (u8)c;
	if (cursor >= ROWS * COLUMNS) {
		memmove(screen, screen + COLUMNS, 2 * COLUMNS * (ROWS - 1));
		cursor -= COLUMNS;
		for (u32 i = 0; i < COLUMNS; i++)
			screen[cursor + i] = 0x0720;
	}
	outb(CRTC, 14);
	outb(CRTC + 1, cursor >> 8);
	outb(CRTC, 15);
	outb(CRTC + 1, cursor & 0xFF);
}

static void serial_put_now(char c)
{
	while (!(inb(LSR) & LSR_EMPTY))
		;
	outb(DATA, c);
}

static void drain(void)
{
	for (; sent.tail != sent.head; sent.tail++)
		serial_put_now(sent.bytes[sent.tail % N_RING]);
}

void console_flush(void)
{
	acquire(&lock);
	drain();
	release(&lock);
}

static void transmit(void)
{
	u32 n = 0;
	for (; sent.tail != sent.head && n < FIFO_BYTES; n++)
		outb(DATA, sent.bytes[sent.tail++ % N_RING]);
	enable(IER_TX, sent.tail != sent.head || n);
	wake_up(&sent);
}

static void put_typed(char c)
{
	if (typed.head - typed.tail == N_RING)
		return;
	typed.bytes[typed.head++ % N_RING] = c == '\r' ? '\n' : c;
	if (c == '\n' || c == '\r')
		wake_up(&typed);
}

void console_input(char c)
{
	acquire(&lock);
	put_typed(c);
	release(&lock);
}

void console_interrupt(void)
{
	acquire(&lock);
	for (u8 cause; !((cause = inb(IIR)) & 1);) {
		switch (cause & 0x0E) {
		case 0x02:
			transmit();
			break;
		case 0x04:
		case 0x0C:
			while (inb(LSR) & LSR_READY)
				put_typed(inb(DATA));
			break;
		case 0x06:
			inb(LSR);
			break;
		default:
			inb(COM1 + 6);
		}
	}
	release(&lock);
}

int console_write(const char *from, u32 n)
{
	acquire(&lock);
	for (u32 i = 0; i < n; i++) {
		while (sent.head - sent.tail == N_RING)
			sleep(&sent, &lock);
		sent.bytes[sent.head++ % N_RING] = from[i];
		screen_put(from[i]);
		if (!(enabled & IER_TX))
			enable(IER_TX, true); /* the empty transmitter interrupts at once */
	}
	release(&lock);
	return n;
}

/* One line, or what of it fits. */
int console_read(char *to, u32 n)
{
	u32 i = 0;
	acquire(&lock);
	while (i < n) {
		while (typed.head == typed.tail) {
			if (current()->killed) {
				release(&lock);
				return -1;
			}
			sleep(&typed, &lock);
		}
		char c = typed.bytes[typed.tail++ % N_RING];
		to[i++] = c;
		if (c == '\n')
			break;
	}
	release(&lock);
	return i;
}

static void put(char c)
{
	serial_put_now(c);
	screen_put(c);
}

static void put_number(u32 value, u32 base, u32 width)
{
	char digits[12];
	u32 n = 0;
	do
		digits[n++] = "0123456789abcdef"[value % base];
	while ((value /= base) || n < width);
	while (n)
		put(digits[--n]);
}

/* Knows %d, %u, %x, %08x, %s, %c. What the kernel says itself is sent at once, behind what waits. */
void print(const char *format, ...)
{
	va_list list;
	va_start(list, format);
	push_cli();
	drain();
	for (; *format; format++) {
		if (*format != '%') {
			put(*format);
			continue;
		}
		u32 width = 0;
		if (*++format == '0')
			width = *++format - '0', format++;
		if (*format == 's') {
			for (const char *s = va_arg(list, const char *); *s; s++)
				put(*s);
		} else if (*format == 'c') {
			put(va_arg(list, int));
		} else {
			u32 value = va_arg(list, u32);
			if (*format == 'd' && (int)value < 0) {
				put('-');
				value = -value;
			}
			put_number(value, *format == 'x' ? 16 : 10, width);
		}
	}
	pop_cli();
	va_end(list);
}

u32 backtrace(u32 *addresses, u32 max)
{
	u32 n = 0;
	for (u32 *frame = __builtin_frame_address(0); frame && n < max; frame = (u32 *)frame[0]) {
		if ((u32)frame < KERNEL_BASE)
			break; /* the chain goes on in ring 3 */
		addresses[n++] = frame[1];
	}
	return n;
}

void panic(const char *text)
{
	u32 addresses[12];
	cli();
	print("panic: %s\n", text);
	u32 n = backtrace(addresses, 12);
	for (u32 i = 0; i < n; i++)
		print("  by 0x%08x\n", addresses[i]);
	power_off();
}

void power_off(void)
{
	cli();
	drain();
	outw(0x604, 0x2000); /* ACPI's S5, where QEMU has it */
	for (;;)
		asm volatile("hlt");
}
