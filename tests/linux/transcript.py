# SPDX-License-Identifier: GPL-2.0-or-later
"""What may differ between a transcript of pvisor and one of QEMU, and why; the rest must be the same.

Lines are left out where they tell of what the machines have that the other has not. All else of a boot stays:
memory, interrupts, the kernel's parts in their order, its programs and what they print.
"""

from __future__ import annotations

import re

REPLACED = (
    (r"\x1b\[6n", "", "the shell asks a terminal where its cursor is, if nobody has typed yet"),
    (r"^\[ *\d+\.\d+\] ", "", "the kernel's time of a message"),
    (r"^\d{10}$|^\d+\.\d\d \d+\.\d\d$", "time", "dates, and times since the start"),
    (r"size=\d+k,nr_inodes=\d+", "size=", "what is free, which depends on the size of the board's tables"),
)
"""(pattern, what stands in its place, the reason)."""

LEFT_OUT = (
    (r"ACPI|acpi|\bPNP|\bpnp", "the tables of the board: QEMU's describe PCI, PNP devices and more"),
    (r"PCI|pci", "QEMU has PCI, also where the kernel is told not to use it"),
    (r"SMBIOS|DMI", "QEMU has tables of SMBIOS"),
    (r"BIOS-e820: .*0x000000fd0000", "QEMU reserves what AMD's HyperTransport has below 1 TiB"),
    (r"^IOAPIC", "the I/O APIC's version, 0x11 of the 82093AA and 0x20 of later ones"),
    (r"tsc|sched_clock|delay loop|BogoMIPS|^APIC (calibration|delta)", "clocks have other rates"),
    (r"audit\(|setting system clock", "the date"),
    (r"^Memory: ", "what is free, which depends on the size of the board's tables"),
    (
        r"TLB entries|CPU0: |Performance Events|E400|intel_pstate|GB pages|HugeTLB",
        "the CPU's model and CPUID",
    ),
    (r"isolation|page tables|W\+X|^Spec|^MDS|^MMIO", "mitigations, which go by the CPU's model"),
    (r"ttyS0 at|i8042|serio|rtc_cmos", "whether a device is found by PNP or where it always was"),
    (r"Trying to unpack rootfs", "runs beside the rest of the boot, so its place varies"),
    (r"^cblist_init|^thermal_sys|^audit: init", "threads print them, so their places vary"),
)
"""(pattern, the reason)."""


def normalised(answers: str) -> list[str]:
    """The lines of a transcript that must be the same everywhere."""
    lines: list[str] = []
    for line in answers.split("\n"):
        for pattern, replacement, _ in REPLACED:
            line = re.sub(pattern, replacement, line)
        if not any(re.search(pattern, line) for pattern, _ in LEFT_OUT):
            lines.append(line.rstrip())
    return lines
