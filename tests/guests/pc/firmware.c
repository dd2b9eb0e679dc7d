/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What firmware left: BIOS data, the MP table, ACPI's tables, and the registers that these name. Printed is
 * what holds for any PC without interrupts of PCI; those (5, 9, 10, 11 on QEMU's pc) are passed over.
 */
#include "pc.h"

static uint32_t get(word address, unsigned n_bytes)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < n_bytes; i++)
        value |= (uint32_t)((const volatile uint8_t *)address)[i] << 8 * i;
    return value;
}

static uint8_t sum(word address, uint32_t n_bytes)
{
    uint8_t total = 0;
    for (uint32_t i = 0; i < n_bytes; i++)
        total += (uint8_t)get(address + i, 1);
    return total;
}

static bool is(word address, const char *text)
{
    for (; *text; text++, address++)
        if (get(address, 1) != (uint8_t)*text)
            return false;
    return true;
}

static word find(word start, word end, const char *text)
{
    for (; start < end; start += 16)
        if (is(start, text))
            return start;
    print("not found: ");
    print(text);
    print("\n");
    quit(1);
}

static uint32_t in32(uint16_t ioport)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "d"(ioport));
    return value;
}

static uint16_t in16(uint16_t ioport)
{
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "d"(ioport));
    return value;
}

static bool is_of_pci(unsigned irq)
{
    return irq == 5 || irq == 9 || irq == 10 || irq == 11;
}

static void mp_interrupt(word entry, const char *name)
{
    print(name);
    print_hex(get(entry + 5, 1));
    print(" type ");
    print_hex(get(entry + 1, 1));
    print(" flags ");
    print_hex(get(entry + 2, 2));
    print(" to APIC ");
    print_hex(get(entry + 6, 1));
    show(" pin", get(entry + 7, 1));
}

static void mp_table(void)
{
    word pointer = find(0xf0000, 0x100000, "_MP_");
    show("MP pointer: length", get(pointer + 8, 1));
    show("  revision", get(pointer + 9, 1));
    show("  sum", sum(pointer, 16));
    show("  features", get(pointer + 11, 4));
    word table = get(pointer + 4, 4), end = table + get(table + 4, 2);
    show("MP table: signature", is(table, "PCMP"));
    show("  revision", get(table + 6, 1));
    show("  sum", sum(table, get(table + 4, 2)));
    show("  local APIC", get(table + 36, 4));
    unsigned n_entries = 0, isa = 0xff;
    for (word entry = table + 44; entry < end; n_entries++) {
        unsigned type = get(entry, 1);
        if (type == 0) {
            show("  processor: APIC", get(entry + 1, 1));
            show("    version", get(entry + 2, 1));
            show("    flags", get(entry + 3, 1));
        } else if (type == 1 && is(entry + 2, "ISA   ")) {
            isa = get(entry + 1, 1);
            print("  ISA bus\n");
        } else if (type == 2) {
            show("  I/O APIC", get(entry + 1, 1));
            show("    version", get(entry + 2, 1));
            show("    flags", get(entry + 3, 1));
            show("    address", get(entry + 4, 4));
        } else if (type == 3 && get(entry + 4, 1) == isa && !is_of_pci(get(entry + 5, 1))) {
            mp_interrupt(entry, "  interrupt ");
        } else if (type == 4 && get(entry + 4, 1) == isa) {
            mp_interrupt(entry, "  local interrupt ");
        }
        entry += type == 0 ? 20 : 8;
    }
    show("  all entries are counted", n_entries == get(table + 34, 2));
}

static void madt(word table)
{
    show("MADT: local APIC", get(table + 36, 4));
    show("  flags", get(table + 40, 4));
    for (word entry = table + 44; entry < table + get(table + 4, 4); entry += get(entry + 1, 1)) {
        unsigned type = get(entry, 1);
        if (type == 0) {
            show("  processor: APIC", get(entry + 3, 1));
            show("    flags", get(entry + 4, 4));
        } else if (type == 1) {
            show("  I/O APIC", get(entry + 2, 1));
            show("    address", get(entry + 4, 4));
            show("    first interrupt", get(entry + 8, 4));
        } else if (type == 2 && (!is_of_pci(get(entry + 3, 1)) || get(entry + 3, 1) == 9)) {
            show("  override of", get(entry + 3, 1));
            show("    by", get(entry + 4, 4));
            show("    flags", get(entry + 8, 2));
        } else if (type == 4) {
            show("  NMI of processor", get(entry + 2, 1));
            show("    at LINT", get(entry + 5, 1));
        }
    }
}

static uint16_t sleep_type(word dsdt)
{
    word end = dsdt + get(dsdt + 4, 4);
    for (word at = dsdt + 36; at + 8 < end; at++)
        if (is(at, "_S5_") && get(at + 4, 1) == 0x12)
            return (uint16_t)(get(at + 7, 1) == 0x0a ? get(at + 8, 1) : get(at + 7, 1));
    return 0xffff;
}

static void fadt(word table)
{
    word facs = get(table + 36, 4), dsdt = get(table + 40, 4);
    show("FADT: FACS", is(facs, "FACS") && !(facs & 63) && get(facs + 4, 4) == 64);
    show("  DSDT", is(dsdt, "DSDT") && !sum(dsdt, get(dsdt + 4, 4)));
    show("  sleep type of S5", sleep_type(dsdt));
    show("  SCI", get(table + 46, 2));
    uint16_t smi = (uint16_t)get(table + 48, 4), event = (uint16_t)get(table + 56, 4);
    uint16_t control = (uint16_t)get(table + 64, 4), timer = (uint16_t)get(table + 76, 4);
    show("  SMI command", smi);
    show("  PM1a event", event);
    show("  PM1a control", control);
    show("  PM timer", timer);
    show("  lengths", get(table + 88, 1) << 16 | get(table + 89, 1) << 8 | get(table + 91, 1));
    show("  century", get(table + 108, 1));
    show("  PM1a control before", in16(control));
    outb(smi, (uint8_t)get(table + 52, 1));
    show("  with ACPI enabled", in16(control));
    outb(smi, (uint8_t)get(table + 53, 1));
    show("  with ACPI disabled", in16(control));
    show("  SMI command is kept", inb(smi) == get(table + 53, 1));
    show("  events enabled", in16(event + 2));
    __asm__ volatile("outw %w0, %1" : : "a"(0x101), "d"((uint16_t)(event + 2)));
    show("  enabled by a write", in16(event + 2));
    __asm__ volatile("outw %w0, %1" : : "a"(0), "d"((uint16_t)(event + 2)));
    uint32_t first = in32(timer), then = first;
    for (unsigned i = 0; i < 1000000 && then - first < 1000; i++)
        then = in32(timer);
    show("  the timer counts", then - first >= 1000 && then < 1 << 24);
    __asm__ volatile("outl %0, %1" : : "a"(0), "d"(timer));
    show("  and cannot be written", in32(timer) >= then);
}

int main(void)
{
    show("COM1", get(0x400, 2));
    show("EBDA", get(0x40e, 2));
    show("base memory", get(0x413, 2));
    show("EBDA's size", get(0x9fc00, 1));
    mp_table();
    word rsdp = find(0xe0000, 0x100000, "RSD PTR ");
    show("RSDP: sum", sum(rsdp, 20));
    word rsdt = get(rsdp + 16, 4);
    show("RSDT: sum", sum(rsdt, get(rsdt + 4, 4)));
    for (word at = rsdt + 36; at < rsdt + get(rsdt + 4, 4); at += 4) {
        word table = get(at, 4);
        if (sum(table, get(table + 4, 4)))
            show("wrong sum of the table at", table);
        if (is(table, "FACP"))
            fadt(table);
        else if (is(table, "APIC"))
            madt(table);
    }
    return 0;
}
