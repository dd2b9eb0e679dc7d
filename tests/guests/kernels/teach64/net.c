/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An NE2000 at I/O port 0x300, IRQ 9: one frame out, one in. */
#include "kernel.h"

enum { BASE = 0x300, CR = BASE, PSTART, PSTOP, BNRY, TPSR, TBCR0, TBCR1, ISR, RSAR0, RSAR1, RBCR0, RBCR1, RCR, TCR, DCR,
       IMR, DATA, RESET = BASE + 0x1F, PAR0 = BASE + 1, CURR = BASE + 7 };
enum { STOP = 0x21, START = 0x22, READ = 0x0A, WRITE = 0x12, SEND = 0x26, PAGE1 = 0x40 };
enum { TX_PAGE = 0x40, RX_FIRST = 0x46, RX_END = 0x80, GOT = 1, SENT = 2, DONE = 0x40 };

static u8 own[6], next_page;
static volatile u8 causes;

static void remote(u8 command, u16 address, u16 n)
{
	outb(ISR, DONE);
	outb(RBCR0, n);
	outb(RBCR1, n >> 8);
	outb(RSAR0, address);
	outb(RSAR1, address >> 8);
	outb(CR, command);
}

bool net_init(u8 *address)
{
	u8 prom[32];
	outb(RESET, inb(RESET));
	for (u32 i = 0; !(inb(ISR) & 0x80); i++)
		if (i == 1000)
			return false;
	outb(ISR, 0xFF);
	outb(CR, STOP);
	outb(DCR, 0x49);
	outb(RCR, 0x20); /* monitor */
	outb(TCR, 2);	 /* loopback, until all is set */
	remote(READ, 0, sizeof prom);
	insw(DATA, prom, sizeof prom / 2);
	for (u32 i = 0; i < 6; i++)
		own[i] = address[i] = prom[2 * i];
	outb(CR, STOP);
	outb(PSTART, RX_FIRST);
	outb(PSTOP, RX_END);
	outb(BNRY, RX_FIRST);
	outb(CR, STOP | PAGE1);
	for (u32 i = 0; i < 6; i++)
		outb(PAR0 + i, own[i]);
	outb(CURR, next_page = RX_FIRST + 1);
	outb(CR, START);
	outb(ISR, 0xFF);
	outb(IMR, GOT | SENT);
	outb(TCR, 0);
	outb(RCR, 4); /* ours, and broadcasts */
	irq_enable(9, true);
	return true;
}

void net_interrupt(void)
{
	u8 now = inb(ISR) & (GOT | SENT);
	outb(ISR, now);
	causes |= now;
	wake((void *)&causes);
}

static void wait_for(u8 cause)
{
	while (!(causes & cause))
		block((void *)&causes);
	causes &= ~cause;
}

/* Ask the station for SIZE bytes that count up from NUMBER: how many were right, or -1. */
int net_ask(u32 size, u8 number)
{
	static u8 buffer[2048];
	static const u8 kind[] = {0x88, 0xB5};
	memset(buffer, 0, 60);
	memset(buffer, 0xFF, 6);
	memcpy(buffer + 6, own, 6);
	memcpy(buffer + 12, kind, 2);
	memcpy(buffer + 14, own, 6);
	buffer[20] = size >> 8;
	buffer[21] = size;
	buffer[22] = number;
	remote(WRITE, TX_PAGE << 8, 60);
	outsw(DATA, buffer, 30);
	while (!(inb(ISR) & DONE))
		;
	outb(TPSR, TX_PAGE);
	outb(TBCR0, 60);
	outb(TBCR1, 0);
	outb(CR, SEND);
	wait_for(SENT);
	wait_for(GOT);

	u8 header[4];
	remote(READ, next_page << 8, 4);
	insw(DATA, header, 2);
	u32 n = (header[2] | header[3] << 8) - 4, right = 0;
	if (!(header[0] & 1) || n > sizeof buffer || n < 60)
		return -1;
	remote(READ, (next_page << 8) + 4, (n + 1) & -2);
	insw(DATA, buffer, (n + 1) / 2);
	next_page = header[1];
	outb(BNRY, next_page == RX_FIRST ? RX_END - 1 : next_page - 1);
	for (u32 i = 14; i < n && i < size; i++)
		right += buffer[i] == (u8)(number + i - 14);
	return right;
}
