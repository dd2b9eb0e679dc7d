# SPDX-License-Identifier: GPL-2.0-or-later
"""Emulated accesses to device memory, with no CPU: what the device sees, faults, bounds, refusals.

That results and flags are those of the engine is tested in test_mmio_twin.py.
"""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvisor.cpu.decode import decode
from pvisor.cpu.vcpu import CS, FS, RAX, RBX, RCX, RDI, RSI, RSP, Segment
from pvisor.errors import DomainCrash
from pvisor.full.address_space import AddressSpace
from pvisor.full.flags import DF
from pvisor.full.mmio import MmioEmulation
from pvisor.full.state import GuestFault
from pvisor.machine.memory import GuestMemory
from pvisor.machine.mmio import MmioBus
from tests.domain.fakes import MEMORY_BYTES, FakeExit, FakeVcpu

DEVICE, NOBODY = 0xFEE0_0000, 0xFED0_0000
RIP = 0x1000
CODE32 = Segment(0x08, 0, 0xFFFF_FFFF, 0x00CF_BB00)
Access = tuple[str, int, int, int]


class Device:
    """Writes down each access; reads as the number of the access, in every byte."""

    def __init__(self, widest_bytes: int = 8) -> None:
        self.widest_bytes = widest_bytes
        self.log: list[Access] = []

    def read(self, offset: int, size_bytes: int) -> int:
        value = int.from_bytes(bytes((len(self.log) + 1,)) * size_bytes, "little")
        self.log.append(("read", offset, size_bytes, value))
        return value

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        self.log.append(("write", offset, size_bytes, value))


class Pc:
    """Flat memory, one device, and page faults where a test wants them."""

    def __init__(self, widest_bytes: int = 8) -> None:
        self.memory = GuestMemory(MEMORY_BYTES)
        self.vcpu = FakeVcpu(self.memory)
        self.gpr = self.vcpu.regs.gpr
        self.device = Device(widest_bytes)
        self.bus = MmioBus()
        self.bus.attach(DEVICE, 0x2000, self.device)
        self.absent: set[int] = set()
        self.read_only: set[int] = set()
        self.n_walks = 0
        space = AddressSpace(self.translate, self, self.bus)
        self.emulation = MmioEmulation(self.vcpu, space)
        self.read, self.write = self.memory.read, self.memory.write

    def is_ram(self, gpa: int) -> bool:
        return gpa < MEMORY_BYTES

    def translate(self, address: int, write: bool) -> int:
        self.n_walks += 1
        page = address & ~0xFFF
        if page in self.absent or (write and page in self.read_only):
            raise GuestFault(14, 2 * write, address)
        return address

    def run(self, code: bytes, stepping: int = 0) -> int:
        """Emulate; the RIP to go on at."""
        insn = decode(code, 64 if self.vcpu.segment(CS).flags & 1 << 21 else 32)
        assert insn is not None
        exit = FakeExit(rip=RIP, cr2=DEVICE, stepping=stepping).at(code)
        return self.emulation.emulate(exit, insn, RIP + insn.n_bytes)


@pytest.fixture
def pc() -> Pc:
    made = Pc()
    made.gpr[RBX] = DEVICE
    return made


# --- what the device sees


@pytest.mark.parametrize(
    ("code", "log"),
    [
        ("88 43 10", [("write", 0x10, 1, 0x88)]),
        ("66 89 43 10", [("write", 0x10, 2, 0x7788)]),
        ("89 43 10", [("write", 0x10, 4, 0x5566_7788)]),
        ("48 89 43 10", [("write", 0x10, 8, 0x1122_3344_5566_7788)]),
        ("c7 43 10 ff ff ff ff", [("write", 0x10, 4, 0xFFFF_FFFF)]),
        ("48 c7 43 10 ff ff ff ff", [("write", 0x10, 8, (1 << 64) - 1)]),
        ("8b 43 10", [("read", 0x10, 4, 0x0101_0101)]),
        ("0f b6 43 13", [("read", 0x13, 1, 1)]),
        ("85 43 10", [("read", 0x10, 4, 0x0101_0101)]),
        ("83 4b 10 02", [("read", 0x10, 4, 0x0101_0101), ("write", 0x10, 4, 0x0101_0103)]),
        ("f0 ff 43 10", [("read", 0x10, 4, 0x0101_0101), ("write", 0x10, 4, 0x0101_0102)]),
        ("87 43 10", [("read", 0x10, 4, 0x0101_0101), ("write", 0x10, 4, 0x5566_7788)]),
        ("0f b1 4b 10", [("read", 0x10, 4, 0x0101_0101), ("write", 0x10, 4, 0x0101_0101)]),
    ],
)
def test_single_accesses(pc: Pc, code: str, log: list[Access]) -> None:
    pc.gpr[RAX] = 0x1122_3344_5566_7788
    raw = bytes.fromhex(code)
    assert pc.run(raw) == RIP + len(raw)
    assert pc.device.log == log


def test_a_register_gets_what_the_device_gives(pc: Pc) -> None:
    pc.gpr[RAX] = pc.gpr[RCX] = (1 << 64) - 1
    pc.run(b"\x8b\x03")
    pc.run(b"\x8a\x2b")  # mov ch, [rbx]
    assert (pc.gpr[RAX], pc.gpr[RCX]) == (0x0101_0101, 0xFFFF_FFFF_FFFF_02FF)


@pytest.mark.parametrize(
    ("offset", "parts"),
    [(1, [(1, 1), (2, 2), (4, 1)]), (2, [(2, 2), (4, 2)]), (3, [(3, 1), (4, 2), (6, 1)]), (4, [(4, 4)])],
)
def test_an_unaligned_access_is_split(pc: Pc, offset: int, parts: list[tuple[int, int]]) -> None:
    pc.gpr[RBX] = DEVICE + offset
    pc.run(b"\x8b\x03")
    assert [(at, size) for _, at, size, _ in pc.device.log] == parts


def test_a_device_that_takes_32_bits_gets_two_halves() -> None:
    pc = Pc(widest_bytes=4)
    pc.gpr[RBX], pc.gpr[RAX] = DEVICE, 0x1122_3344_5566_7788
    pc.run(b"\x48\x89\x03")
    assert pc.device.log == [("write", 0, 4, 0x5566_7788), ("write", 4, 4, 0x1122_3344)]


def test_an_access_across_two_device_pages(pc: Pc) -> None:
    pc.gpr[RBX], pc.gpr[RAX] = DEVICE + 0xFFE, 0x1122_3344
    pc.run(b"\x89\x03")
    assert pc.device.log == [("write", 0xFFE, 2, 0x3344), ("write", 0x1000, 2, 0x1122)]


def test_nobody_there_reads_all_ones_and_is_counted(pc: Pc) -> None:
    pc.gpr[RBX] = NOBODY
    pc.run(b"\x48\x8b\x03")
    pc.run(b"\x89\x03")
    assert pc.gpr[RAX] == (1 << 64) - 1
    assert pc.bus.unclaimed == {NOBODY: 2}


def test_segment_bases_of_64_bit_code(pc: Pc) -> None:
    pc.vcpu.segments[FS] = Segment(0, DEVICE - 0x100, 0, 0)
    pc.vcpu.segments[3] = Segment(0, 0x5000, 0, 0)  # DS: ignored
    pc.gpr[RBX] = 0x110
    pc.run(b"\x64\x8b\x03")
    pc.gpr[RBX] = DEVICE
    pc.run(b"\x8b\x03")
    assert [one[1] for one in pc.device.log] == [0x10, 0]


def test_rip_relative_addresses_count_from_the_next_instruction(pc: Pc) -> None:
    code = b"\xc7\x05" + (DEVICE - (RIP + 10) & 0xFFFF_FFFF).to_bytes(4, "little") + b"\x01\0\0\0"
    pc.vcpu.segments[CS] = CODE32
    pc.run(b"\xc7\x05" + DEVICE.to_bytes(4, "little") + b"\x01\0\0\0")  # absolute in 32-bit code
    assert pc.device.log == [("write", 0, 4, 1)]
    pc.vcpu.segments[CS] = Segment(0x08, 0, 0xFFFF_FFFF, 0x00AF_BB00)
    pc.absent.add((DEVICE | 0xFFFF_FFFF << 32) & ~0xFFF)  # the displacement is negative here
    with pytest.raises(GuestFault) as fault:
        pc.run(code)
    assert fault.value.cr2 == DEVICE | 0xFFFF_FFFF << 32


def test_addresses_of_32_bit_code_wrap(pc: Pc) -> None:
    pc.vcpu.segments[CS] = CODE32
    pc.gpr[RBX] = 0xFFFF_FFFE
    pc.memory.write(0, b"\x11\x22")
    pc.run(b"\x8b\x03")
    assert pc.gpr[RAX] == 0x2211_FFFF


# --- faults leave nothing half done


def test_a_store_that_straddles_into_an_absent_page_stores_nothing(pc: Pc) -> None:
    pc.gpr[RBX] = DEVICE + 0x1FFE
    pc.absent.add(DEVICE + 0x2000)
    with pytest.raises(GuestFault) as fault:
        pc.run(b"\x89\x03")
    assert (fault.value.vector, fault.value.cr2, fault.value.error_code) == (14, DEVICE + 0x2000, 2)
    assert pc.device.log == []


@pytest.mark.parametrize("code", ["01 03", "87 03", "ff 03", "0f c1 03", "0f b1 03", "0f ab 03"])
def test_read_modify_write_asks_for_the_write_first(pc: Pc, code: str) -> None:
    pc.read_only.add(DEVICE)
    before = list(pc.gpr)
    with pytest.raises(GuestFault) as fault:
        pc.run(bytes.fromhex(code))
    assert fault.value.error_code == 2
    assert (pc.device.log, list(pc.gpr), pc.vcpu.rflags) == ([], before, 2)


@pytest.mark.parametrize("code", [b"\x3b\x03", b"\x39\x03", b"\x85\x03", b"\x0f\xa3\x03", b"\x8b\x03"])
def test_what_only_reads_needs_no_right_to_write(pc: Pc, code: bytes) -> None:
    pc.read_only.add(DEVICE)
    pc.run(code)
    assert [one[0] for one in pc.device.log] == ["read"]


def test_push_reads_the_device_only_when_the_stack_takes_it(pc: Pc) -> None:
    pc.gpr[RSP] = 0x3000
    pc.read_only.add(0x2000)
    with pytest.raises(GuestFault):
        pc.run(b"\xff\x33")
    assert (pc.device.log, pc.gpr[RSP]) == ([], 0x3000)


def test_pop_gives_the_stack_pointer_back_at_a_fault(pc: Pc) -> None:
    pc.gpr[RSP] = 0x3000
    pc.read_only.add(DEVICE)
    with pytest.raises(GuestFault):
        pc.run(b"\x8f\x03")
    assert pc.gpr[RSP] == 0x3000


def test_movs_reads_the_device_only_when_the_store_can_be_done(pc: Pc) -> None:
    pc.gpr[RSI], pc.gpr[RDI] = DEVICE, 0x2000
    pc.read_only.add(0x2000)
    with pytest.raises(GuestFault):
        pc.run(b"\xa4")
    assert (pc.device.log, pc.gpr[RSI], pc.gpr[RDI]) == ([], DEVICE, 0x2000)


class Vectors(dict[int, int]):
    """XMM registers without a CPU."""

    def vector(self, index: int) -> int:
        return self.get(index, 0)

    def set_vector(self, index: int, value: int) -> None:
        self[index] = value


def test_an_sse_store_is_two_accesses_of_8_bytes(pc: Pc) -> None:
    code = b"\x0f\x29\x4b\x10"  # movaps [rbx + 16], xmm1
    run_sse(pc, code, Vectors({1: 0x1111_2222_3333_4444_5555_6666_7777_8888}))
    low, high = 0x5555_6666_7777_8888, 0x1111_2222_3333_4444
    assert pc.device.log == [("write", 0x10, 8, low), ("write", 0x18, 8, high)]


def test_an_aligned_sse_move_must_be_aligned(pc: Pc) -> None:
    pc.gpr[RBX] += 8
    with pytest.raises(GuestFault) as fault:
        run_sse(pc, b"\x0f\x28\x0b", Vectors())
    assert (fault.value.vector, fault.value.error_code, pc.device.log) == (13, 0, [])


def run_sse(pc: Pc, code: bytes, registers: Vectors) -> None:
    """Emulate an instruction with XMM registers."""
    insn = decode(code, 64)
    assert insn is not None
    emulation = MmioEmulation(pc.vcpu, AddressSpace(pc.translate, pc, pc.bus), registers)
    emulation.emulate(FakeExit(rip=RIP).at(code), insn, RIP + len(code))


# --- strings


def test_rep_stops_at_a_fault_with_its_registers_right(pc: Pc) -> None:
    pc.gpr[RDI], pc.gpr[RCX] = DEVICE + 0x1FF8, 10
    pc.absent.add(DEVICE + 0x2000)
    assert pc.run(b"\xf3\xab") == pc.run(b"\xf3\xab") == RIP
    with pytest.raises(GuestFault):
        pc.run(b"\xf3\xab")
    assert (pc.gpr[RDI], pc.gpr[RCX], len(pc.device.log)) == (DEVICE + 0x2000, 8, 2)


def test_rep_does_an_element_at_a_time(pc: Pc) -> None:
    pc.gpr[RDI], pc.gpr[RCX] = DEVICE, (1 << 64) - 1
    assert pc.run(b"\xf3\xaa") == RIP
    assert (pc.gpr[RDI], pc.gpr[RCX], len(pc.device.log)) == (DEVICE + 1, (1 << 64) - 2, 1)


def test_the_last_look_at_the_count_is_one_more(pc: Pc) -> None:
    pc.gpr[RDI], pc.gpr[RCX] = DEVICE, 1
    assert (pc.run(b"\xf3\xaa"), pc.gpr[RCX]) == (RIP, 0)
    assert pc.run(b"\xf3\xaa") == RIP + 2
    pc.gpr[RCX] = 1
    assert pc.run(b"\xf3\xaa", stepping=1) == RIP + 2


@pytest.mark.parametrize("code", [b"\xf3\xaa", b"\xf3\xa6", b"\xf2\xae"])
def test_a_count_of_zero_touches_nothing(pc: Pc, code: bytes) -> None:
    pc.gpr[RDI] = pc.gpr[RSI] = DEVICE
    assert pc.run(code) == RIP + 2
    assert (pc.device.log, pc.vcpu.rflags) == ([], 2)


def test_backwards(pc: Pc) -> None:
    pc.vcpu.rflags |= DF
    pc.gpr[RDI], pc.gpr[RCX], pc.gpr[RAX] = DEVICE + 8, 3, 7
    for _ in range(3):
        pc.run(b"\xf3\xab")
    assert [one[1] for one in pc.device.log] == [8, 4, 0]
    assert pc.gpr[RDI] == DEVICE - 4


@pytest.mark.parametrize(("code", "n"), [(b"\xf3\xae", 1), (b"\xf2\xae", 3)])
def test_scas_stops_by_zf(pc: Pc, code: bytes, n: int) -> None:
    pc.gpr[RDI], pc.gpr[RCX], pc.gpr[RAX] = DEVICE, 10, 3  # the device reads 1, 2, 3, ...
    assert [pc.run(code) for _ in range(n)] == [RIP] * (n - 1) + [RIP + 2]
    assert (len(pc.device.log), pc.gpr[RCX]) == (n, 10 - n)


# --- refusals


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("d1 23", "shl"), ("0f c7 0b", "cmpxchg8b"), ("d8 03", "fadd"), ("0f 6f 03", "movq"),
        ("0f 10 03", "movups"), ("0f 58 03", "addps"), ("ff 13", "call"), ("ff 23", "jmp"),
        ("c5 f8 10 03", "vmovups"), ("0f ae 03", "fxsave"), ("8e 1b", "mov"), ("48 0f af 03", "imul"),
        ("f3 0f b8 03", "popcnt"),
    ],
)  # fmt: skip
def test_what_cannot_be_emulated_is_named(pc: Pc, code: str, name: str) -> None:
    with pytest.raises(DomainCrash, match=rf"0xfee00000.*{name}.*bytes {code}\) at 0x1000"):
        pc.run(bytes.fromhex(code))


@settings(max_examples=500)
@given(st.binary(min_size=15, max_size=15), st.sampled_from((32, 64)), st.integers(0, (1 << 64) - 1))
def test_no_instruction_is_an_error_of_ours(code: bytes, bits: int, value: int) -> None:
    insn = decode(code, bits)
    if insn is None:
        return
    pc = Pc()
    if bits == 32:
        pc.vcpu.segments[CS] = CODE32
    for i in range(16):
        pc.gpr[i] = value
    with suppress(DomainCrash, GuestFault):
        pc.emulation.emulate(FakeExit(rip=RIP).at(code), insn, RIP + insn.n_bytes)
    assert all(0 <= one < 1 << 64 for one in pc.gpr)
