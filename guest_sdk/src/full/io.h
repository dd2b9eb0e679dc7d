/* SPDX-License-Identifier: MIT */
/* I/O ports. */
#ifndef PV_SRC_IO_H
#define PV_SRC_IO_H

#include <stddef.h>
#include <stdint.h>

static inline void out8(uint16_t ioport, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(ioport));
}

static inline void out16(uint16_t ioport, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(ioport));
}

static inline void out32(uint16_t ioport, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(ioport));
}

static inline uint8_t in8(uint16_t ioport)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(ioport));
    return value;
}

/* N 16-bit words from or to one I/O port, and memory. */
static inline void in16s(uint16_t ioport, void *to, size_t n)
{
    __asm__ volatile("rep insw" : "+D"(to), "+c"(n) : "d"(ioport) : "memory");
}

static inline void out16s(uint16_t ioport, const void *from, size_t n)
{
    __asm__ volatile("rep outsw" : "+S"(from), "+c"(n) : "d"(ioport) : "memory");
}

#endif /* PV_SRC_IO_H */
