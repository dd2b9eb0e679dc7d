# SPDX-License-Identifier: GPL-2.0-or-later
"""Segments of a paravirtual guest: one flat GDT a vCPU in the hypervisor's hole, with room for its own.

No descriptor has DPL 0, so no far transfer leads there. Twin of full/segments.py, where the guest brings
a GDT of its own.
"""

from __future__ import annotations

import struct

from pvisor.abi import constants
from pvisor.abi.areas import cpu
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import CS, DS, ES, FS, GS, SS, Exit, Segment, Vcpu
from pvisor.domain.domain import Domain
from pvisor.machine.frames import HypervisorFrames
from pvisor.para.hypercalls import Served
from pvisor.para.refusal import invalid
from pvisor.para.state import CpuStates, is_canonical

KERNEL_CS, KERNEL_SS = cpu.KERNEL_CS.number, cpu.KERNEL_SS.number
"""Selectors of the kernel's flat segments: RPL 1, as the kernel runs at CPL 1."""

_CODE_FLAGS = 0x00AF_BB00  # G, L, present, DPL 1, code, readable, accessed
_DATA_FLAGS = 0x00CF_B300  # G, B, present, DPL 1, data, writable, accessed
_USER_DATA_FLAGS = 0x00CF_F300  # the same with DPL 3
_USER_CODE_FLAGS = 0x00AF_FB00
_USER_CODE32_FLAGS = 0x00CF_FB00  # G, D
_FLAT_LIMIT = 0xFFFF_FFFF
HOLE_START = constants.HOLE_START.number
N_DESCRIPTORS, FIRST_DESCRIPTOR = cpu.N_DESCRIPTORS.number, cpu.FIRST_DESCRIPTOR.number
GDT_BYTES = 8 * N_DESCRIPTORS

ACCESSED, WRITABLE_OR_READABLE, CONFORMING_OR_DOWN, CODE = 1 << 8, 1 << 9, 1 << 10, 1 << 11
NOT_SYSTEM, PRESENT, LONG, DEFAULT_BIG, GRANULARITY = 1 << 12, 1 << 15, 1 << 21, 1 << 22, 1 << 23
DPL_SHIFT = 13
"""Bits of a descriptor's second dword (SDM 3A 3.4.5)."""

KERNEL_CODE = Segment(KERNEL_CS, 0, _FLAT_LIMIT, _CODE_FLAGS)
KERNEL_STACK = Segment(KERNEL_SS, 0, _FLAT_LIMIT, _DATA_FLAGS)
NULL = Segment(0, 0, 0, 0)


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
    enter_kernel_segments(vcpu)
    for index in (DS, ES, FS, GS):
        vcpu.set_segment(index, NULL)


def enter_kernel_segments(vcpu: Vcpu) -> None:
    """CS and SS as the kernel has them whenever it is entered."""
    vcpu.set_segment(CS, KERNEL_CODE)
    vcpu.set_segment(SS, KERNEL_STACK)


def set_base(vcpu: Vcpu, index: int, base: int) -> None:
    """Change a segment's base and nothing else of it."""
    old = vcpu.segment(index)
    vcpu.set_segment(index, Segment(old.selector, base, old.limit, old.flags))


def clear_kernel_data(vcpu: Vcpu) -> None:
    """After a return to user code: data segments that are not meant for it become null (SDM 2A, IRET)."""
    for index in (ES, DS, FS, GS):
        segment = vcpu.segment(index)
        if segment.selector & 0xFFFC and segment.flags >> DPL_SHIFT & 3 < 3:
            vcpu.set_segment(index, NULL)


def is_legal(descriptor: int) -> bool:
    """May a guest have this descriptor? Code and data of CPL 1 and 3, and nothing that leads elsewhere."""
    flags = descriptor >> 32
    if not flags & PRESENT or not flags & NOT_SYSTEM or flags >> DPL_SHIFT & 3 not in (1, 3):
        return False
    if not flags & CODE:
        return True
    return not flags & CONFORMING_OR_DOWN and not (flags & LONG and flags & DEFAULT_BIG)


class Segmentation:
    """The vCPUs' own descriptors and segment bases, and what IRET loads."""

    def __init__(self, states: CpuStates, frames: HypervisorFrames) -> None:
        self._states = states
        self._frames = frames
        self.served = Served(
            answers={
                cpu.DESCRIPTOR_SET: self.descriptor_set,
                cpu.SEGMENT_BASE_SET: self.segment_base_set,
            }
        )

    def descriptor_set(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """DESCRIPTOR_SET(index, descriptor): 0."""
        index, descriptor = exit.args[0], exit.args[1]
        if not FIRST_DESCRIPTOR <= index < N_DESCRIPTORS:
            raise invalid()
        if descriptor:
            if not is_legal(descriptor):
                raise invalid()
            descriptor |= ACCESSED << 32
        self._frames.set_entry(self._states[vcpu.vcpu_id].gdt, index, descriptor)
        return 0

    def segment_base_set(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """SEGMENT_BASE_SET(which, base): 0."""
        which, base = exit.args[0], exit.args[1]
        if which > cpu.SEGMENT_USER_GS.number or not is_canonical(base):
            raise invalid()
        if which == cpu.SEGMENT_USER_GS.number:
            self._states[vcpu.vcpu_id].other_gs_base = base
        else:
            set_base(vcpu, FS if which == cpu.SEGMENT_FS.number else GS, base)
        return 0

    def reset(self, vcpu_id: int) -> None:
        """A vCPU begins anew, without descriptors of its own."""
        for index in range(FIRST_DESCRIPTOR, N_DESCRIPTORS):
            self._frames.set_entry(self._states[vcpu_id].gdt, index, 0)

    def exchange_gs(self, vcpu: Vcpu) -> None:
        """As SWAPGS does it."""
        state = self._states[vcpu.vcpu_id]
        base = vcpu.segment(GS).base
        set_base(vcpu, GS, state.other_gs_base)
        state.other_gs_base = base

    def code_segment(self, vcpu: Vcpu, selector: int, rip: int) -> Segment:
        """CS for IRET to `rip`. Raises GuestError (EINVAL)."""
        code = self._segment(vcpu, selector)
        if not code.flags & CODE:
            raise invalid()
        if not is_canonical(rip) if code.flags & LONG else rip > code.limit:
            raise invalid()
        return code

    def stack_segment(self, vcpu: Vcpu, selector: int, cpl: int) -> Segment:
        """SS for IRET to code of this CPL. Raises GuestError (EINVAL)."""
        stack = self._segment(vcpu, selector)
        if stack.flags & CODE or not stack.flags & WRITABLE_OR_READABLE or selector & 3 != cpl:
            raise invalid()
        return stack

    def _segment(self, vcpu: Vcpu, selector: int) -> Segment:
        """A segment register's content for a selector whose RPL is its descriptor's DPL."""
        index = selector >> 3
        if selector & 4 or index >= N_DESCRIPTORS:
            raise invalid()
        descriptor = self._frames.entry(self._states[vcpu.vcpu_id].gdt, index)
        low, flags = descriptor & 0xFFFF_FFFF, descriptor >> 32
        if not flags & PRESENT or flags >> DPL_SHIFT & 3 != selector & 3:
            raise invalid()
        limit = low & 0xFFFF | flags & 0xF_0000
        if flags & GRANULARITY:
            limit = limit << 12 | 0xFFF
        return Segment(selector, low >> 16 | (flags & 0xFF) << 16 | flags & 0xFF00_0000, limit, flags)
