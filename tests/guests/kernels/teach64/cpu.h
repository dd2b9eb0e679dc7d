/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Single instructions. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

enum { MSR_EFER = 0xC0000080, MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_FMASK };
enum { MSR_FS_BASE = 0xC0000100, MSR_GS_BASE, MSR_KERNEL_GS_BASE };

static inline u8 inb(u16 port)
{
	u8 value;
	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}
static inline void outb(u16 port, u8 value) { asm volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }
static inline void insw(u16 port, void *to, u64 n)
{
	asm volatile("rep insw" : "+D"(to), "+c"(n) : "d"(port) : "memory");
}
static inline void outsw(u16 port, const void *from, u64 n)
{
	asm volatile("rep outsw" : "+S"(from), "+c"(n) : "d"(port) : "memory");
}
static inline void wrmsr(u32 msr, u64 value) { asm volatile("wrmsr" ::"c"(msr), "a"((u32)value), "d"(value >> 32)); }
static inline u64 rdmsr(u32 msr)
{
	u32 low, high;
	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (u64)high << 32 | low;
}
static inline u32 cpuid_edx(u32 leaf)
{
	u32 a = leaf, b, c = 0, d;
	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return d;
}
#define READ_CR(n) ({ u64 value_; asm volatile("mov %%cr" #n ", %0" : "=r"(value_)); value_; })
#define WRITE_CR(n, value) asm volatile("mov %0, %%cr" #n ::"r"((u64)(value)) : "memory")
static inline void invlpg(u64 address) { asm volatile("invlpg (%0)" ::"r"(address) : "memory"); }
static inline void wait_for_interrupt(void) { asm volatile("sti; hlt; cli" ::: "memory"); }
