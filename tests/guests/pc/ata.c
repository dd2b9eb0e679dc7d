/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a driver sees of the disk on I/O ports 0x1f0 and 0x3f6, by polling. The disk has 4000 sectors; sector n
 * begins with n as a 32-bit number, and each following word of 16 bits is 31 times the last plus 7.
 */
#include "pc.h"

enum { PORT = 0x1f0, ERRORS, COUNT, LOW, MID, HIGH, DEVICE, STATUS, COMMAND = STATUS, CONTROL = 0x3f6 };
enum { FEATURES = ERRORS, BSY = 0x80, DRQ = 0x08, ERR = 0x01, HOB = 0x80, SRST = 4, NIEN = 2, LBA = 0x40 };
enum { N_SECTORS = 4000, WORDS = 256 };

static uint16_t data[20 * WORDS];

static uint16_t inw(void)
{
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"((uint16_t)PORT));
    return value;
}

static void insw(uint16_t *into, word n)
{
    __asm__ volatile("rep insw" : "+D"(into), "+c"(n) : "d"((uint16_t)PORT) : "memory");
}

static void insl(uint16_t *into, word n)
{
    __asm__ volatile("rep insl" : "+D"(into), "+c"(n) : "d"((uint16_t)PORT) : "memory");
}

static void outsw(const uint16_t *from, word n)
{
    __asm__ volatile("rep outsw" : "+S"(from), "+c"(n) : "d"((uint16_t)PORT) : "memory");
}

static void outsl(const uint16_t *from, word n)
{
    __asm__ volatile("rep outsl" : "+S"(from), "+c"(n) : "d"((uint16_t)PORT) : "memory");
}

static uint8_t ready(void)
{
    uint8_t status;
    while ((status = inb(STATUS)) & BSY)
        ;
    return status;
}

static void command(uint8_t opcode, uint32_t lba, uint8_t count)
{
    outb(DEVICE, LBA | (lba >> 24 & 15));
    outb(COUNT, count);
    outb(LOW, (uint8_t)lba);
    outb(MID, (uint8_t)(lba >> 8));
    outb(HIGH, (uint8_t)(lba >> 16));
    outb(COMMAND, opcode);
}

static void command48(uint8_t opcode, uint64_t lba, uint16_t count)
{
    outb(COUNT, (uint8_t)(count >> 8));
    outb(LOW, (uint8_t)(lba >> 24));
    outb(MID, (uint8_t)(lba >> 32));
    outb(HIGH, (uint8_t)(lba >> 40));
    command(opcode, (uint32_t)lba & 0xffffff, (uint8_t)count);
}

/* Status; with ERR whether anything is in the error register; count and LBA. */
static void state(const char *name)
{
    uint8_t status = ready();
    print(name);
    show(": status", status);
    if (status & ERR)
        show("  an error is named", inb(ERRORS) != 0);
    show("  sectors left", inb(COUNT));
    show("  address", inb(LOW) | inb(MID) << 8 | inb(HIGH) << 16 | (inb(DEVICE) & 0x5f) << 24);
}

static uint32_t sum(unsigned n_words)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < n_words; i++)
        value = value * 31 + data[i];
    return value;
}

static void read_and_show(const char *name, unsigned n_sectors)
{
    state(name);
    insw(data, n_sectors * WORDS);
    show("  it begins with", data[0] | (uint32_t)data[1] << 16);
    show("  sum", sum(n_sectors * WORDS));
}

static void fill(unsigned n_sectors, uint16_t seed)
{
    for (unsigned i = 0; i < n_sectors * WORDS; i++)
        data[i] = seed = (uint16_t)(seed * 31 + 7);
}

static void resets(void)
{
    outb(DEVICE, 0);
    show("at entry", ready());
    outb(CONTROL, NIEN | SRST);
    for (volatile int i = 0; i < 1000; i++)
        ;
    outb(CONTROL, NIEN);
    state("after SRST");
    show("diagnostic code", inb(ERRORS));
    command(0x90, 7, 7);
    state("EXECUTE DEVICE DIAGNOSTIC");
    show("diagnostic code", inb(ERRORS));
    outb(DEVICE, 0xb0);
    show("drive 1, status", inb(STATUS));
    show("drive 1, alternate status", inb(CONTROL));
    outb(COMMAND, 0xec);
    show("drive 1 after IDENTIFY", inb(STATUS));
    outb(DEVICE, 0xa0);
    show("drive 0, alternate status", inb(CONTROL));
    show("data port at rest", inw());
}

static void identify(void)
{
    static const uint8_t words[] = {0, 1, 3, 6, 47, 54, 55, 56, 57, 58, 59, 60, 61, 64, 83, 86, 100, 101, 102, 103};
    command(0xec, 0, 0);
    show("IDENTIFY DEVICE: status", ready());
    insw(data, WORDS);
    show("after it", ready());
    for (unsigned i = 0; i < sizeof words; i++) {
        print("word ");
        show((char[]){(char)('0' + words[i] / 100), (char)('0' + words[i] / 10 % 10), (char)('0' + words[i] % 10), 0},
             data[words[i]]);
    }
    show("LBA is offered", data[49] >> 9 & 1);
}

static void reads(void)
{
    command(0x20, 0, 1);
    read_and_show("sector 0", 1);
    state("after it");
    command(0x21, 5, 3);
    for (int i = 0; i < 3; i++)
        read_and_show("three sectors from 5", 1);
    state("after them");
    show("data port after them", inw());
    command(0x20, 0, 0);
    uint32_t all = 0;
    for (int i = 0; i < 256; i++) {
        ready();
        insw(data, WORDS);
        all = all * 31 + sum(WORDS);
    }
    show("256 sectors", all);
    state("after them");
    command(0x20, 9, 1);
    ready();
    insl(data, WORDS / 2);
    show("sector 9 by 32 bits", sum(WORDS));
    command(0x20, 10, 1);
    ready();
    outb(COUNT, 77);
    outb(COMMAND, 0xe7);
    read_and_show("in a transfer nothing else is taken", 1);
    outb(DEVICE, 2);
    outb(COUNT, 1);
    outb(LOW, 3);
    outb(MID, 1);
    outb(HIGH, 0);
    outb(COMMAND, 0x20);
    read_and_show("cylinder 1, head 2, sector 3", 1);
    state("after it");
    command(0x40, 100, 50);
    show("VERIFY", ready());
}

static void multiples(void)
{
    command(0xc6, 0, 16);
    state("SET MULTIPLE MODE 16");
    command(0xc4, 20, 20);
    read_and_show("READ MULTIPLE of 20", 16);
    read_and_show("the last four", 4);
    state("after them");
    command(0xc6, 0, 3);
    state("SET MULTIPLE MODE 3");
    command(0xc6, 0, 8);
    state("SET MULTIPLE MODE 8");
    command48(0x29, 30, 9);
    read_and_show("READ MULTIPLE EXT of 9", 8);
    read_and_show("the last one", 1);
    state("after them");
}

static void writes(void)
{
    fill(3, 1);
    command(0x30, 100, 3);
    for (int i = 0; i < 3; i++) {
        state("WRITE of three");
        outsw(data + i * WORDS, WORDS);
    }
    state("after them");
    fill(9, 2);
    command48(0x39, 200, 9);
    state("WRITE MULTIPLE EXT of 9");
    outsw(data, 8 * WORDS);
    state("the last one");
    outsl(data + 8 * WORDS, WORDS / 2);
    state("after them");
    command(0xe7, 0, 0);
    show("FLUSH CACHE", ready());
    command48(0xea, 0, 0);
    show("FLUSH CACHE EXT", ready());
    command(0xc4, 99, 5);
    read_and_show("from 99", 5);
    command48(0x24, 200, 9);
    for (int i = 0; i < 9; i++)
        read_and_show("from 200", 1);
}

static void errors(void)
{
    command(0x20, N_SECTORS, 1);
    state("READ past the end");
    command(0x20, N_SECTORS - 1, 2);
    read_and_show("READ over the end", 1);
    state("after the last sector");
    command48(0x24, 1ull << 40, 1);
    state("READ EXT far away");
    outb(CONTROL, HOB | NIEN);
    show("upper address", inb(LOW) | inb(MID) << 8 | inb(HIGH) << 16);
    outb(COUNT, 0x12);
    show("HOB is gone", inb(COUNT));
    outb(COUNT, 0x34);
    outb(CONTROL, HOB | NIEN);
    show("previous count", inb(COUNT));
    outb(CONTROL, NIEN);
    show("count", inb(COUNT));
    command(0x30, N_SECTORS - 1, 2);
    outsw(data, WORDS);
    state("WRITE over the end");
    outsw(data, WORDS);
    state("after it");
    static const uint8_t wrong[] = {0x00, 0x08, 0xa0, 0xa1, 0xfe, 0xff};
    for (unsigned i = 0; i < sizeof wrong; i++) {
        command(wrong[i], 0, 0);
        show("no such command: status", ready());
        show("  error", inb(ERRORS));
    }
    command(0x20, 1, 1);
    read_and_show("it reads on", 1);
}

static void settings(void)
{
    outb(FEATURES, 0x82);
    command(0xef, 0, 0);
    state("SET FEATURES, no write cache");
    outb(FEATURES, 0x02);
    command(0xef, 0, 0);
    state("SET FEATURES, write cache");
    outb(FEATURES, 0x03);
    command(0xef, 0, 0x0c);
    state("SET FEATURES, PIO 4");
    outb(FEATURES, 0x77);
    command(0xef, 0, 0);
    state("SET FEATURES, no such");
    command(0xf8, 0, 0);
    state("READ NATIVE MAX ADDRESS");
    command(0x10, 0, 0);
    state("RECALIBRATE");
    command(0xe5, 0, 0);
    ready();
    show("CHECK POWER MODE", inb(COUNT));
    command(0xe1, 0, 0);
    show("IDLE IMMEDIATE: an error", ready() & ERR);
    outb(DEVICE, 7);
    outb(COUNT, 32);
    outb(COMMAND, 0x91);
    state("8 heads of 32 sectors");
    outb(DEVICE, 5);
    outb(COUNT, 1);
    outb(LOW, 32);
    outb(MID, 2);
    outb(HIGH, 0);
    outb(COMMAND, 0x20);
    read_and_show("cylinder 2, head 5, sector 32", 1);
    state("after it");
}

int main(void)
{
    outb(CONTROL, NIEN);
    resets();
    identify();
    reads();
    multiples();
    writes();
    errors();
    settings();
    return 0;
}
