/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The keyboard behind its i8042 controller, by interrupts. */
#include "kernel.h"

enum { DATA = 0x60, STATUS = 0x64, COMMAND = 0x64, HAS_OUTPUT = 1, INPUT_FULL = 2 };

static const char keys[] = "\0\0331234567890-=\b\tqwertyuiop[]\n\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
static volatile u32 n_taken;
volatile u32 keyboard_echoes;

static void command(u8 value)
{
	while (inb(STATUS) & INPUT_FULL)
		;
	outb(COMMAND, value);
}

static void send(u8 value)
{
	while (inb(STATUS) & INPUT_FULL)
		;
	outb(DATA, value);
}

static u8 answer(void)
{
	while (!(inb(STATUS) & HAS_OUTPUT))
		;
	return inb(DATA);
}

void keyboard_init(void)
{
	while (inb(STATUS) & HAS_OUTPUT)
		inb(DATA);
	command(0xAD); /* off while we talk to the controller */
	command(0x20);
	u8 configuration = answer();
	command(0x60);
	send((configuration | 0x41) & ~0x10); /* IRQ 1, translation, clock */
	command(0xAE);
	unmask(IRQ_KEYBOARD);
	send(0xEE); /* the keyboard shall echo it */
}

void keyboard_interrupt(void)
{
	if (!(inb(STATUS) & HAS_OUTPUT))
		return;
	u8 code = inb(DATA);
	n_taken++;
	if (code == 0xEE)
		keyboard_echoes++;
	else if (code < sizeof keys && keys[code])
		console_input(keys[code]);
}

/* As if someone typed: the controller puts each code into its output and interrupts. */
void keyboard_type(const char *codes)
{
	for (; *codes; codes++) {
		u32 before = n_taken;
		command(0xD2);
		send(*codes);
		while (n_taken == before)
			asm volatile("pause");
	}
}
