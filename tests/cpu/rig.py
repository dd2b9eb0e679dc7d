# SPDX-License-Identifier: GPL-2.0-or-later
"""A bare vCPU for tests: raw bytes on hand-made page tables, no wing, no domain, no compiler.

Guest-virtual equals guest-physical. Page 0 is not mapped; the code pages are read-only and executable, the
rest is writable and no-execute, as a wing would map them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pvisor.cpu.exits import ExitReason
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import CS, SS, Segment
from pvisor.machine.frames import HypervisorFrames
from pvisor.machine.memory import PAGE_BYTES, GuestMemory

MEMORY_BYTES = 4 << 20
CODE = 0x1000
"""The first of eight pages of code."""
CALL_PAGE = 0x9000
DATA = 0x2_0000
STACK = 0x4_0000

PRESENT, WRITABLE, USER, ACCESSED_DIRTY, LARGE, NO_EXECUTE = 1, 2, 4, 0x60, 1 << 7, 1 << 63
AS_CODE = PRESENT | ACCESSED_DIRTY
AS_DATA = PRESENT | WRITABLE | ACCESSED_DIRTY | NO_EXECUTE
AS_BOTH = PRESENT | WRITABLE | ACCESSED_DIRTY
AS_CONSTANT = PRESENT | ACCESSED_DIRTY | NO_EXECUTE

SYSCALL, VMCALL, INT_82 = b"\x0f\x05", b"\x0f\x01\xc1", b"\xcd\x82"
TRANSPORTS = {"syscall": SYSCALL, "vmcall": VMCALL, "int": INT_82}

HLT = b"\xf4"
CLI = b"\xfa"
STI = b"\xfb"
NOP = b"\x90"

# Segments as descriptors have them (SDM 3A 3.4.5): flat, and by privilege level and width.
CODE32 = Segment(0x09, 0, 0xFFFF_FFFF, 0x00CF_BB00)
CODE64 = Segment(0x09, 0, 0xFFFF_FFFF, 0x00AF_BB00)
STACK32 = Segment(0x11, 0, 0xFFFF_FFFF, 0x00CF_B300)
USER_CODE64 = Segment(0x1B, 0, 0xFFFF_FFFF, 0x00AF_FB00)
USER_STACK = Segment(0x23, 0, 0xFFFF_FFFF, 0x00CF_F300)


def le(value: int, n_bytes: int) -> bytes:
    """An immediate: little-endian, two's complement."""
    return (value & ((1 << 8 * n_bytes) - 1)).to_bytes(n_bytes, "little")


def mov(register: int, value: int) -> bytes:
    """Assemble `mov r64, imm64`: one instruction of 10 bytes."""
    return bytes([0x48 | register >> 3, 0xB8 | register & 7]) + le(value, 8)


def mov32(register: int, value: int) -> bytes:
    """Assemble `mov r32, imm32` for EAX ... EDI: one instruction of 5 bytes."""
    return bytes([0xB8 | register]) + le(value, 4)


def repeat(n: int, body: bytes) -> bytes:
    """N times the body: 1 instruction, then `body` and 2 instructions (dec r15d, jnz) each time."""
    back = -(len(body) + 3 + 6)
    return b"\x41\xbf" + le(n, 4) + body + b"\x41\xff\xcf" + b"\x0f\x85" + le(back, 4)


def call(at: int, target: int) -> bytes:
    """Assemble `call target`, standing at address `at`."""
    return b"\xe8" + le(target - at - 5, 4)


def stubs(transport: bytes) -> bytes:
    """A hypercall page: 128 times `mov eax, number; transport; ret`, padded to 32 bytes."""
    return b"".join((b"\xb8" + le(i, 4) + transport + b"\xc3").ljust(32, b"\xcc") for i in range(128))


class Rig:
    """A vCPU with `code` at CODE, about to run it at CPL 1."""

    def __init__(self, code: bytes = b"", *, n_frames: int = 64, model: int = 0) -> None:
        self.memory = GuestMemory(MEMORY_BYTES)
        self.frames = HypervisorFrames(n_frames)
        self.vcpu = UnicornVcpu(self.memory, self.frames, model=model)
        self.v: Any = self.vcpu.v
        self.exit = self.vcpu.exit
        self.regs = self.vcpu.regs
        self.root = self.frames.allocate()
        for page in range(PAGE_BYTES, MEMORY_BYTES, PAGE_BYTES):
            is_code = CODE <= page < CODE + 8 * PAGE_BYTES or page == CALL_PAGE
            self.map(page, page, AS_CODE if is_code else AS_DATA)
        self.memory.write(CODE, code)
        self.vcpu.set_root(self.root)
        self.regs.rip = CODE
        self.regs.gpr[4] = STACK

    def map(self, gva: int, physical: int, bits: int, level: int = 1) -> None:
        """One entry: of 4 KiB (level 1), 2 MiB (2) or 1 GiB (3), with the tables above it."""
        table = self.root
        for at in range(4, level, -1):
            index = gva >> 12 + 9 * (at - 1) & 511
            if not self.frames.entry(table, index):
                self.frames.set_entry(table, index, self.frames.allocate() | PRESENT | WRITABLE | USER)
            table = self.frames.entry(table, index) & 0x000F_FFFF_FFFF_F000
        large = LARGE if level > 1 else 0
        self.frames.set_entry(
            table, gva >> 12 + 9 * (level - 1) & 511, physical | bits | large if bits else 0
        )

    def hypercall_page(self, transport: bytes) -> None:
        """Put a hypercall page at CALL_PAGE."""
        self.memory.write(CALL_PAGE, stubs(transport))
        self.v.hypercall_page, self.v.hypercall_page_bytes = CALL_PAGE, PAGE_BYTES

    def as_user(self) -> None:
        """Go on at CPL 3."""
        self.vcpu.set_segment(CS, USER_CODE64)
        self.vcpu.set_segment(SS, USER_STACK)

    def run(self) -> ExitReason:
        """Enter the guest; why it came back. An engine error fails the test with its text."""
        reason = ExitReason(self.vcpu.run())
        assert reason is not ExitReason.ENGINE_ERROR, b"".join(self.v.error).split(b"\0")[0].decode()
        assert self.vcpu.cpl in (1, 3)
        return reason

    def expect(self, reason: ExitReason, offset: int | None = None) -> None:
        """Enter the guest; it must come back so, at CODE + offset."""
        assert self.run() is reason
        if offset is not None:
            assert self.exit.rip == CODE + offset, f"{self.exit.rip:#x}"

    def emulated(self, n_bytes: int) -> None:
        """Go on behind the exiting instruction, which counts as executed."""
        self.regs.rip = self.exit.rip + n_bytes
        self.exit.retired = 1

    def run_to_hlt(self, serve: Callable[[ExitReason], None] | None = None) -> list[ExitReason]:
        """Run until HLT; `serve` handles what comes before. The reasons of those exits."""
        seen: list[ExitReason] = []
        while (reason := self.run()) is not ExitReason.HLT:
            assert serve is not None, f"{reason.name} at {self.exit.rip:#x}"
            seen.append(reason)
            serve(reason)
        return seen

    def in_hook(self, serve: Callable[[], bool | None]) -> None:
        """What answers IN, OUT, CPUID and RDTSC; True ends the run."""
        self.vcpu.on_hook_exit = lambda: bool(serve())

    def insn(self) -> bytes:
        """The bytes at the exiting instruction."""
        return bytes(self.exit.insn[0 : self.exit.n_insn])

    def word(self, address: int) -> int:
        """A 64-bit word of guest memory."""
        return self.memory.read_u64(address)

    def close(self) -> None:
        """Free the engine and its frames."""
        self.vcpu.close()
        self.frames.close()


def offsets(instructions: Sequence[bytes]) -> list[int]:
    """Where each of the instructions begins."""
    return [sum(len(one) for one in instructions[:i]) for i in range(len(instructions))]
