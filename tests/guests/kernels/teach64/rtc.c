/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The date of the MC146818. */
#include "kernel.h"

static u8 read(u8 reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static u32 number(u8 value) { return read(11) & 4 ? value : (value >> 4) * 10 + (value & 15); }

/* Year, month, day: read until two readings are the same. */
void date_read(u32 *date)
{
	u8 now[4], before[4] = {0, 0, 0, 0};
	static const u8 regs[] = {9, 8, 7, 0x32};
	for (bool is_same = false; !is_same;) {
		while (read(10) & 0x80)
			;
		is_same = true;
		for (u32 i = 0; i < 4; i++) {
			now[i] = read(regs[i]);
			is_same = is_same && now[i] == before[i];
			before[i] = now[i];
		}
	}
	date[0] = number(now[3]) * 100 + number(now[0]);
	date[1] = number(now[1]);
	date[2] = number(now[2]);
}
