# SPDX-License-Identifier: GPL-2.0-or-later
"""Segments of a paravirtual guest: one fixed, flat GDT in the hypervisor's hole.

No descriptor has DPL 0, so no far transfer leads there. Twin of full/segments.py, where the guest brings
a GDT of its own.
"""

from __future__ import annotations

import struct

from pvisor.abi import constants
from pvisor.abi.areas import cpu
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import CS, DS, ES, FS, GS, SS, Segment

KERNEL_CS, KERNEL_SS = cpu.KERNEL_CS.number, cpu.KERNEL_SS.number
"""Selectors of the kernel's flat segments: RPL 1, as the kernel runs at CPL 1."""

_CODE_FLAGS = 0x00AF_BB00  # G, L, present, DPL 1, code, readable, accessed
_DATA_FLAGS = 0x00CF_B300  # G, B, present, DPL 1, data, writable, accessed
_USER_DATA_FLAGS = 0x00CF_F300  # the same with DPL 3
_USER_CODE_FLAGS = 0x00AF_FB00
_USER_CODE32_FLAGS = 0x00CF_FB00  # G, D
_FLAT_LIMIT = 0xFFFF_FFFF
HOLE_START = constants.HOLE_START.number
GDT_BYTES = 8 * cpu.N_DESCRIPTORS.number


def gdt_gva(vcpu_id: int) -> int:
    """Where a vCPU's GDT lies: one page of the hole holds those of PV_MAX_VCPUS vCPUs."""
    return HOLE_START + vcpu_id * GDT_BYTES


def gdt_page(n_vcpus: int) -> bytes:
    """That page at the start."""
    return gdt_image() * n_vcpus


def gdt_image() -> bytes:
    """The GDT: null, the kernel's and the user's segments, room for the guest's own descriptors.

    Accessed bits are preset: the page is read-only.
    """
    flags = (_CODE_FLAGS, _DATA_FLAGS, _USER_DATA_FLAGS, _USER_CODE_FLAGS, _USER_CODE32_FLAGS)
    image = bytes(8) + b"".join(struct.pack("<II", 0xFFFF, high) for high in flags)
    return image.ljust(GDT_BYTES, b"\0")


def start_segments(vcpu: UnicornVcpu, gdt: int) -> None:
    """CS and SS flat at CPL 1, the others null; GDTR on the hole's GDT at GVA `gdt`."""
    vcpu.set_gdtr(gdt, len(gdt_image()) - 1)
    vcpu.set_segment(CS, Segment(KERNEL_CS, 0, _FLAT_LIMIT, _CODE_FLAGS))
    vcpu.set_segment(SS, Segment(KERNEL_SS, 0, _FLAT_LIMIT, _DATA_FLAGS))
    for index in (DS, ES, FS, GS):
        vcpu.set_segment(index, Segment(0, 0, 0, 0))
