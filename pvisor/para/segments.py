# SPDX-License-Identifier: GPL-2.0-or-later
"""Segments of a paravirtual guest: one fixed, flat GDT in the hypervisor's hole.

No descriptor has DPL 0, so no far transfer leads there. Twin of full/segments.py, where the guest brings
a GDT of its own.
"""

from __future__ import annotations

import struct

from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import CS, DS, ES, FS, GS, SS, Segment

KERNEL_CS = 0x09
KERNEL_SS = 0x11
"""Selectors of the kernel's flat segments: RPL 1, as the kernel runs at CPL 1."""

_CODE_FLAGS = 0x00A0_BB00  # G, L, present, DPL 1, code, readable, accessed
_DATA_FLAGS = 0x00C0_B300  # G, B, present, DPL 1, data, writable, accessed
_FLAT_LIMIT = 0xFFFF_FFFF


def gdt_image() -> bytes:
    """The GDT: null, kernel code, kernel data. Accessed bits are preset: the page is read-only."""
    return struct.pack("<6I", 0, 0, 0xFFFF, _CODE_FLAGS | 0xF_0000, 0xFFFF, _DATA_FLAGS | 0xF_0000)


def start_segments(vcpu: UnicornVcpu, gdt: int) -> None:
    """CS and SS flat at CPL 1, the others null; GDTR on the hole's GDT at GVA `gdt`."""
    vcpu.set_gdtr(gdt, len(gdt_image()) - 1)
    vcpu.set_segment(CS, Segment(KERNEL_CS, 0, _FLAT_LIMIT, _CODE_FLAGS | 0xF_0000))
    vcpu.set_segment(SS, Segment(KERNEL_SS, 0, _FLAT_LIMIT, _DATA_FLAGS | 0xF_0000))
    for index in (DS, ES, FS, GS):
        vcpu.set_segment(index, Segment(0, 0, 0, 0))
