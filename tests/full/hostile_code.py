# SPDX-License-Identifier: GPL-2.0-or-later
"""Random code that runs on random tables, registers and descriptors, some of them sane.

All of it comes from one seed, so a machine that is set up twice runs the same. Pages of the code itself, of
the page tables, devices, the canonical hole and the end of RAM are among the addresses everywhere.
"""

from __future__ import annotations

import random
from typing import Any, Protocol

from pvisor.full.state import CR0_PE
from tests.full.hostile_machine import (
    CODE,
    DESCRIPTORS,
    GDT,
    IDT,
    MEMORY_BYTES,
    STACK,
    TABLES,
    TSS,
)

_OPCODES = (
    "0f00 0f01 0f02 0f03 0f05 0f06 0f07 0f08 0f09 0f0b 0f0d 0f0e 0f0f 0f20 0f21 0f22 0f23 0f30 0f31 0f32 "
    "0f33 0f34 0f35 0f37 0f78 0fa0 0fa1 0fa2 0fa8 0fa9 0fae 0fb2 0fb4 0fb5 0fc7 0fff 06 07 0e 16 17 1e 1f "
    "62 6c 6d 6e 6f 8c 8e 8f 9a 9c 9d a4 a5 a6 aa ab ac ae c4 c5 c8 c9 ca cb cc cd ce cf e4 e5 e6 e7 ea ec "
    "ed ee ef f1 f4 fa fb ff"
)
OPCODES = tuple(bytes.fromhex(text) for text in _OPCODES.split())
"""Those that concern the machine itself, or more than one word of memory."""
PREFIXES = tuple(bytes((byte,)) for byte in bytes.fromhex("262e36404144484f64656667f0f2f3"))
MSRS = (
    0x10, 0x1B, 0x3B, 0x8B, 0xFE, 0x174, 0x175, 0x176, 0x1A0, 0x200, 0x201, 0x250, 0x277, 0x2FF, 0x800, 0x830,
    0xC000_0080, 0xC000_0081, 0xC000_0082, 0xC000_0084, 0xC000_0100, 0xC000_0101, 0xC000_0102, 0xC000_0103,
)  # fmt: skip
PAGE, SECOND_LEVEL, HIGH = 4096, TABLES + 0x1000, 0xC000_0000
MAP, LARGE = 7, 0x87
LOCAL_APIC, IO_APIC, TEXT, HYPERVISOR = 0xFEE0_0000, 0xFEC0_0000, 0xB_8000, 1 << 38


class Target(Protocol):
    """What a guest is put into: HostileMachine, or the like."""

    state: Any
    vcpu: Any

    def write(self, gpa: int, data: bytes) -> None:
        """Guest memory."""

    def words(self, gpa: int, *values: int) -> None:
        """64-bit words."""

    def enter(self, *, bits: int, cpl: int, cr3: int | None, rip: int, cr0: int, cr4: int) -> None:
        """The CPU's state."""


class HostileGuest:
    """One seed's guest."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def put_into(self, machine: Target) -> None:
        """Set up memory and CPU."""
        pick, chance = self._random.choice, self._random.random
        bits = pick((64, 64, 32, 32, 16))
        n_code = PAGE if chance() < 0.5 else 200
        machine.write(CODE, self._code(n_code).ljust(PAGE, b"\x90"))
        sane = chance() < 0.5
        machine.words(GDT, *(DESCRIPTORS if sane else (self._descriptor() for _ in range(16))))
        machine.write(IDT, self._gates(16 if bits == 64 else 8))
        machine.write(TSS, self._task_state())
        machine.write(STACK, b"".join(self._address().to_bytes(8, "little") for _ in range(512)))
        cr4 = pick((0, 0x10, 0x20, 0x30, 0xB0, 0x600, 0x6B4))
        cr3 = None
        if bits == 64 or chance() < 0.6:
            self._tables(machine, 4 if bits == 64 else 3 if cr4 & 0x20 else 2)
            cr3 = TABLES if chance() < 0.95 else self._address() & 0xFF_FFFF_FFFF
        machine.enter(bits=bits, cpl=pick((0, 0, 3)), cr3=cr3, cr4=cr4, rip=self._start(bits),
                      cr0=CR0_PE | pick((0x1_0000, 0, 0x1_0008, 0x1_0004, 0x5_0022)))  # fmt: skip
        self._system_registers(machine)
        gpr = machine.vcpu.regs.gpr
        for i in range(16):
            gpr[i] = self._address()
        if chance() < 0.8:
            gpr[4] = STACK + 8 * self._random.randrange(512)
        machine.vcpu.virtual_if = chance() < 0.3
        if chance() < 0.1:
            machine.vcpu.rflags = pick((2, 0x102, 0x402, 0x4002, 0x4_0002))

    # --- what the CPU reads

    def _address(self) -> int:
        """One that matters; as a word, also a selector."""
        r = self._random
        return r.choice((
            0, 1, 0xFFF, CODE, CODE + r.randrange(PAGE), GDT + r.randrange(256), IDT + r.randrange(PAGE),
            IDT + 0xFF8, TSS, STACK, TABLES + r.randrange(0x8000), MEMORY_BYTES - r.randrange(1, 20),
            MEMORY_BYTES + r.randrange(PAGE), LOCAL_APIC + r.choice((0, 0x20, 0x80, 0xB0, 0x300, 0xFFE)),
            IO_APIC + r.choice((0, 0x10)), TEXT, 0xFFFF_FFFF - r.randrange(16), 1 << 32,
            (1 << 47) - r.randrange(1, 16), 1 << 47, (1 << 64) - (1 << 47), (1 << 64) - r.randrange(1, 16),
            0xFFFF_8000_0000_0000 + r.randrange(1 << 20), r.getrandbits(64), r.getrandbits(32),
            r.getrandbits(16), 0x08, 0x10, 0x18, 0x23, 0x2B, 0x33, 0x38, 0x48,
        ))  # fmt: skip

    def _code(self, n_bytes: int) -> bytes:
        r, code = self._random, b""
        while len(code) < n_bytes:
            kind = r.random()
            if kind < 0.6:
                prefixes = b"".join(r.choice(PREFIXES) for _ in range(r.choice((0, 0, 0, 1, 1, 2))))
                code += prefixes + r.choice(OPCODES) + r.randbytes(r.choice((0, 1, 1, 1, 2, 5, 9)))
            elif kind < 0.75:
                code += r.randbytes(r.randrange(1, 6))
            elif kind < 0.85:
                code += b"\x48\xb8" + self._address().to_bytes(8, "little")
            elif kind < 0.9:
                code += b"\xb9" + r.choice(MSRS).to_bytes(4, "little") + r.choice((b"\x0f\x32", b"\x0f\x30"))
            else:
                code += b"\x90"
        return code[:n_bytes]

    def _start(self, bits: int) -> int:
        r = self._random
        if r.random() < 0.8:
            return CODE
        if bits == 16 or r.random() < 0.6:
            return CODE + r.randrange(PAGE)
        return self._address() & ((1 << bits) - 1)

    def _descriptor(self) -> int:
        r = self._random
        kind = r.choice(bytes.fromhex("898b828cec8eee85849b9ffb93f397faf2"))
        any_bits = r.getrandbits(64)
        of_a_kind = any_bits & ~(31 << 40) | kind << 40
        return r.choice((0, r.choice(DESCRIPTORS), any_bits, any_bits | 1 << 47, of_a_kind))

    def _gates(self, gate_bytes: int) -> bytes:
        """256 of them; most lead to one place, which may be a bad one."""
        r = self._random
        selectors = (r.choice((0x08, 0x10, 0x18, 0x23, 0x33, 0x48, 0, 4)), 0x08, 0x10)
        handler, gates = CODE + r.randrange(PAGE) * r.randrange(2), b""
        for _ in range(256):
            if r.random() < 0.1:
                handler = self._address()
            kind, stack = r.choice(bytes.fromhex("8e8eeeef8fe5860e")), r.choice((0, 0, 0, 1, 7))
            gate = handler & 0xFFFF | r.choice(selectors) << 16 | stack << 32 | kind << 40
            gate |= (handler >> 16 & 0xFFFF) << 48 | handler >> 32 << 64
            gate = r.getrandbits(128) if r.random() < 0.03 else gate
            gates += (gate & (1 << 8 * gate_bytes) - 1).to_bytes(gate_bytes, "little")
        return gates

    def _task_state(self) -> bytes:
        stack, r = (STACK + 0x800).to_bytes(8, "little"), self._random
        return r.choice((bytes(104), r.randbytes(104), stack * 13, bytes(4) + stack * 12 + bytes(4)))

    # --- page tables

    def _tables(self, machine: Target, n_levels: int) -> None:
        """RAM and the devices where they lie, and then some noise."""
        words, zeros = machine.words, bytes(PAGE)
        machine.write(TABLES, zeros * 6)
        if n_levels == 2:
            large = b"".join((i << 22 | LARGE).to_bytes(4, "little") for i in range(1, 1024))
            machine.write(TABLES, (SECOND_LEVEL | MAP).to_bytes(4, "little") + large)
            machine.write(SECOND_LEVEL, b"".join((i << 12 | MAP).to_bytes(4, "little") for i in range(1024)))
        else:
            directory, pages, devices = TABLES + 0x2000, TABLES + 0x3000, TABLES + 0x5000
            if n_levels == 4:
                for index in (0, 256, 511):
                    words(TABLES + 8 * index, SECOND_LEVEL | MAP)
                words(SECOND_LEVEL, directory | MAP, 0x4000_0000 | LARGE, 0x8000_0000 | LARGE, devices | MAP)
            else:
                words(TABLES, directory | 1, SECOND_LEVEL | 1, SECOND_LEVEL | 1, devices | 1)
            words(directory, pages | MAP, pages + PAGE | MAP, *(i << 21 | LARGE for i in range(2, 512)))
            words(pages, *(i << 12 | MAP for i in range(1024)))
            words(devices, *(HIGH + (i << 21) | LARGE for i in range(512)))
        r = self._random
        for _ in range(r.choice((0, 0, 1, 3, 10))):
            table = TABLES + PAGE * r.randrange(6)
            index = r.choice((0, 0, 1, 2, 3, 256, 511, r.randrange(512)))
            words(table + 8 * index, self._entry(table))

    def _entry(self, table: int) -> int:
        r = self._random
        kind = r.random()
        if kind < 0.2:
            return 0 if kind < 0.1 else r.getrandbits(64)
        frame = r.choice((
            table, TABLES + PAGE * r.randrange(8), CODE, GDT, IDT, TSS, STACK, MEMORY_BYTES,
            r.randrange(0, MEMORY_BYTES, PAGE), LOCAL_APIC, IO_APIC, TEXT, HYPERVISOR,
            HYPERVISOR + PAGE * r.randrange(4096), (1 << 40) - PAGE, r.getrandbits(40) & ~0xFFF,
        ))  # fmt: skip
        rights = r.choice((1, 3, 5, 7, 7, 7, 0x27, 0x67, 0x87, 0xE7, 0x83))
        return frame | rights | r.choice((0, 0, 0, 1)) << 63

    # --- system registers

    def _system_registers(self, machine: Target) -> None:
        r, state = self._random, machine.state
        if r.random() < 0.2:
            state.gdtr.base = self._address()
        if r.random() < 0.2:
            state.idtr.base = self._address()
        if r.random() < 0.2:
            state.idtr.limit = r.getrandbits(16)
        if r.random() < 0.2:
            state.tr.base, state.tr.limit = self._address(), r.choice((0x67, 0xFFF, 0x2067, 0xFFFF_FFFF, 0))
        if r.random() < 0.2:
            state.ldtr.selector, state.ldtr.base, state.ldtr.limit = 8, self._address(), 0xFFF
        state.iopl = r.choice((0, 0, 3))
        state.star = r.getrandbits(64) if r.random() < 0.5 else 0x0023_0008_0000_0000
        state.sysenter_cs = r.choice((0, 8, 0x10, 0xFFFF, 0xFFFF_FFF0))
        state.lstar, state.sysenter_eip = self._canonical(), self._canonical()
        state.sysenter_esp = self._canonical()
        state.fmask, state.kernel_gs_base = r.getrandbits(32), 0

    def _canonical(self) -> int:
        address = self._address()
        return address if address >> 47 in (0, 0x1_FFFF) else CODE + 5
