/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Works without a word for a while, or for ever; ends with a sum. */
#include "user.h"

int main(int argc, char **argv)
{
	uint32_t x = argv[argc - 1][0];
	for (int i = 0; i < 1500000 || x == 'e'; i++) {
		if (x != 'e')
			x = x * 1664525 + 1013904223;
		asm volatile("" ::: "memory");
	}
	return x >> 8 & 0xFFFF;
}
