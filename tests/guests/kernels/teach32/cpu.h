/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The instructions that C has no words for. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

enum { FLAG_IF = 1 << 9 };

static inline u8 inb(u16 port)
{
	u8 value;
	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}
static inline void outb(u16 port, u8 value) { asm volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }
static inline void outw(u16 port, u16 value) { asm volatile("outw %0, %1" ::"a"(value), "Nd"(port)); }
static inline void insl(u16 port, void *to, u32 n)
{
	asm volatile("cld; rep insl" : "+D"(to), "+c"(n) : "d"(port) : "memory", "cc");
}
static inline void outsl(u16 port, const void *from, u32 n)
{
	asm volatile("cld; rep outsl" : "+S"(from), "+c"(n) : "d"(port) : "memory", "cc");
}
static inline void cli(void) { asm volatile("cli" ::: "memory"); }
static inline void sti(void) { asm volatile("sti" ::: "memory"); }
static inline void sti_hlt(void) { asm volatile("sti; hlt" ::: "memory"); }
static inline u32 eflags(void)
{
	u32 flags;
	asm volatile("pushfl; popl %0" : "=r"(flags));
	return flags;
}
static inline u32 xchg(volatile u32 *address, u32 value)
{
	asm volatile("lock; xchgl %0, %1" : "+m"(*address), "+r"(value)::"memory");
	return value;
}
static inline void load_cr3(u32 value) { asm volatile("movl %0, %%cr3" ::"r"(value) : "memory"); }
static inline u32 cr2(void)
{
	u32 value;
	asm volatile("movl %%cr2, %0" : "=r"(value));
	return value;
}
static inline void invlpg(u32 address) { asm volatile("invlpg (%0)" ::"r"(address) : "memory"); }
