# SPDX-License-Identifier: GPL-2.0-or-later
"""Emulated memory instructions against the same ones run by the engine: registers, flags and memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvisor.cpu.decode import decode
from pvisor.cpu.exits import ExitReason
from pvisor.cpu.vcpu import RAX, RBX, RCX, RDI, RSI, RSP
from pvisor.full.address_space import AddressSpace
from pvisor.full.flags import CF, DF, STATUS, ZF
from pvisor.full.mmio import MmioEmulation
from pvisor.machine.memory import PAGE_BYTES
from pvisor.machine.mmio import MmioBus
from tests.cpu.rig import HLT, STACK, Rig, mov
from tests.full.twin import AREA, DEVICE, FIRST, LAST, End, MemoryDevice, Ram, Start, Twin

EXAMPLES = settings(max_examples=40, deadline=None)

# name: (opcode for bytes, opcode for words, /digit or None where ModRM.reg names a register)
TWO = {name: (bytes([op]), bytes([op + 1]), None) for name, op in (
    ("add", 0x00), ("or", 0x08), ("adc", 0x10), ("sbb", 0x18), ("and", 0x20), ("sub", 0x28), ("xor", 0x30),
    ("cmp", 0x38), ("add-from", 0x02), ("or-from", 0x0A), ("adc-from", 0x12), ("sbb-from", 0x1A),
    ("and-from", 0x22), ("sub-from", 0x2A), ("xor-from", 0x32), ("cmp-from", 0x3A), ("test", 0x84),
    ("xchg", 0x86), ("mov", 0x88), ("mov-from", 0x8A))}  # fmt: skip
TWO |= {"xadd": (b"\x0f\xc0", b"\x0f\xc1", None), "cmpxchg": (b"\x0f\xb0", b"\x0f\xb1", None)}
ONE = {"inc": (b"\xfe", b"\xff", 0), "dec": (b"\xfe", b"\xff", 1),
       "not": (b"\xf6", b"\xf7", 2), "neg": (b"\xf6", b"\xf7", 3)}  # fmt: skip
WITH_IMMEDIATE = {f"{name}-imm": (b"\x80", b"\x81", digit) for digit, name in enumerate(
    ("add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"))}  # fmt: skip
WITH_IMMEDIATE |= {"test-imm": (b"\xf6", b"\xf7", 0), "mov-imm": (b"\xc6", b"\xc7", 0)}
SHORT_IMMEDIATE = {f"{name}-imm8": (b"", b"\x83", digit) for digit, name in enumerate(
    ("add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"))}  # fmt: skip
WIDE = {f"cmov{code:x}": (b"", bytes((0x0F, 0x40 + code)), None) for code in range(16)}
WIDE |= {name: (b"", bytes((0x0F, op)), None) for name, op in (
    ("movzx-b", 0xB6), ("movzx-w", 0xB7), ("movsx-b", 0xBE), ("movsx-w", 0xBF))}  # fmt: skip
WIDE |= {"movsxd": (b"", b"\x63", None)}
BYTE = {f"set{code:x}": (bytes((0x0F, 0x90 + code)), b"", 0) for code in range(16)}
BITS = {name: (b"", bytes((0x0F, op)), None) for name, op in (
    ("bt", 0xA3), ("bts", 0xAB), ("btr", 0xB3), ("btc", 0xBB))}  # fmt: skip
BIT_NUMBERS = {f"{name}-imm8": (b"", b"\x0f\xba", digit) for digit, name in enumerate(BITS, 4)}
OPCODES = TWO | ONE | WITH_IMMEDIATE | SHORT_IMMEDIATE | WIDE | BYTE | BITS | BIT_NUMBERS

EDGES = (0, 1, *(edge for n in (8, 16, 32, 64) for edge in ((1 << n - 1) - 1, 1 << n - 1, (1 << n) - 1)))
WORDS = st.sampled_from(EDGES) | st.integers(0, (1 << 64) - 1)
BORDERS = st.sampled_from([page + shift for page in (DEVICE, LAST) for shift in range(-9, 3)])
PLACES = BORDERS | st.integers(DEVICE, LAST - 8)


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    made = Twin()
    yield made
    made.close()


@pytest.fixture(scope="module")
def twin32() -> Iterator[Twin]:
    made = Twin(32)
    yield made
    made.close()


def registers(data: st.DataObject) -> list[int]:
    """Sixteen words, many of them at an edge."""
    random = Random(data.draw(st.integers(0, (1 << 64) - 1)))
    return [random.choice((random.choice(EDGES), random.getrandbits(64))) for _ in range(16)]


def compare(ends: tuple[End, End], *, flags: int = STATUS, rax: int = (1 << 64) - 1) -> None:
    """Both ends are the same, but for flags that are undefined and bits of RAX that engines differ in."""
    native, emulated = (
        replace(one, flags=one.flags & (flags | DF), gpr=(one.gpr[0] & rax, *one.gpr[1:])) for one in ends
    )
    assert emulated.flags == native.flags, f"flags {emulated.flags:#x}, engine {native.flags:#x}"
    assert emulated == native


def memory_with(place: int, value: int, n_bytes: int = 16) -> bytes:
    """The three pages, with a value in them."""
    area = bytearray(b"\x5a" * (AREA.stop - AREA.start))
    area[place - FIRST : place - FIRST + n_bytes] = value.to_bytes(n_bytes, "little")
    return bytes(area)


def encode(name: str, size: int, reg: int, form: int, immediate: int) -> bytes:
    """An instruction on [rbx], [rbx - 8], [r12 + r9 * 8 + 16] or, for a byte, a register of the old kind."""
    narrow, wide, digit = OPCODES[name]
    reg = reg if digit is None else digit
    opcode = narrow if size == 1 else wide
    address = (b"\x03", b"\x43\xf8", b"\x44\xcc\x10")[form]
    rex = 0x40 | (8 if size == 8 else 0) | (4 if reg & 8 else 0) | (3 if form == 2 else 0)
    has_rex = rex != 0x40 or (size == 1 and reg in (4, 5, 6, 7) and immediate & 1)
    code = (b"\x66" if size == 2 else b"") + (bytes((rex,)) if has_rex else b"") + opcode
    code += bytes((address[0] | (reg & 7) << 3,)) + address[1:]
    if name in WITH_IMMEDIATE:
        n = min(size, 4)
        return code + (immediate & (1 << 8 * n) - 1).to_bytes(n, "little")
    return code + (bytes((immediate & 0xFF,)) if name in SHORT_IMMEDIATE or name in BIT_NUMBERS else b"")


def point_at(gpr: list[int], place: int, form: int, far: int) -> None:
    """Set the registers of a form of address."""
    gpr[RSP] = STACK
    gpr[RBX] = place + 8 * (form == 1)
    if form == 2:
        gpr[9] = far
        gpr[12] = place - 16 - 8 * far & (1 << 64) - 1


@pytest.mark.parametrize("name", [name for name in OPCODES if name not in BITS])
@EXAMPLES
@given(st.data())
def test_one_instruction(twin: Twin, name: str, data: st.DataObject) -> None:
    narrow, wide, _ = OPCODES[name]
    sizes = [1] * bool(narrow) + [2, 4, 8] * bool(wide)
    size = data.draw(st.sampled_from(sizes))
    place, form, reg = data.draw(PLACES), data.draw(st.integers(0, 2)), data.draw(st.integers(0, 15))
    if reg == RSP or (name == "movsxd" and size == 2):
        return  # the stack pointer must stay sound; MOVSXD r16 is not for use
    gpr = registers(data)
    point_at(gpr, place, form, data.draw(st.integers(0, 1 << 20)))
    in_memory = data.draw(WORDS | st.sampled_from((gpr[RAX], gpr[reg])))
    start = Start(gpr, data.draw(st.integers(0, STATUS)) & STATUS, memory_with(place, in_memory))
    code = encode(name, size, reg, form, data.draw(WORDS))
    if name == "cmpxchg" and size == 4:
        compare(twin.run(code, start), rax=0xFFFF_FFFF)
    else:
        compare(twin.run(code, start), flags=CF | ZF if name in BIT_NUMBERS else STATUS)


@pytest.mark.parametrize("name", list(BITS))
@EXAMPLES
@given(st.data())
def test_bit_strings(twin: Twin, name: str, data: st.DataObject) -> None:
    size, place, reg = data.draw(st.sampled_from((2, 4, 8))), data.draw(PLACES), RCX
    gpr = registers(data)
    point_at(gpr, place, 0, 0)
    above = data.draw(st.integers(0, (1 << 64) - 1)) >> 8 * size << 8 * size if size < 8 else 0
    gpr[RCX] = data.draw(st.integers(-(1 << 14), 1 << 14)) & (1 << 8 * size) - 1 | above
    start = Start(gpr, data.draw(st.sampled_from((0, STATUS))), memory_with(place, data.draw(WORDS)))
    compare(twin.run(encode(name, size, reg, 0, 0), start), flags=CF | ZF)


@EXAMPLES
@given(st.data())
def test_moffs(twin: Twin, data: st.DataObject) -> None:
    op, place = data.draw(st.sampled_from((0xA0, 0xA1, 0xA2, 0xA3))), data.draw(PLACES)
    prefix = data.draw(st.sampled_from((b"", b"\x66", b"\x48"))) if op & 1 else b""
    gpr = [data.draw(WORDS)] * 16
    gpr[RSP] = STACK
    start = Start(gpr, 0, memory_with(place, data.draw(WORDS)))
    compare(twin.run(prefix + bytes((op,)) + place.to_bytes(8, "little"), start))


STRING_OPS = (0xA4, 0xA6, 0xAA, 0xAC, 0xAE)


def string_code(data: st.DataObject, sizes: tuple[int, ...]) -> tuple[bytes, int, bool]:
    """(an instruction, its element size, are its addresses narrower than the mode's)"""
    op, size = data.draw(st.sampled_from(STRING_OPS)), data.draw(st.sampled_from(sizes))
    prefix = data.draw(st.sampled_from((b"", b"\xf3", b"\xf2")))
    is_narrow = data.draw(st.booleans())
    code = prefix + (b"\x67" if is_narrow else b"") + {2: b"\x66", 8: b"\x48"}.get(size, b"")
    return code + bytes((op | (size > 1),)), size, is_narrow


def string_start(data: st.DataObject, size: int, above: int) -> Start:
    """Pointers near the device, a short count, contents that are alike for a while."""
    gpr = registers(data)
    gpr[RSP] = STACK
    gpr[RCX] = data.draw(st.integers(0, 30)) | above
    gpr[RSI] = data.draw(PLACES) | above
    gpr[RDI] = data.draw(PLACES) | above
    if data.draw(st.booleans()):
        gpr[RAX] = int.from_bytes(b"\x5a" * 8, "little")
    odd = data.draw(st.integers(DEVICE - 100, LAST + 100))
    memory = memory_with(odd, data.draw(st.integers(0, 255)), 1)
    flags = data.draw(st.integers(0, STATUS)) & STATUS | (DF if data.draw(st.booleans()) else 0)
    return Start(gpr, flags, memory)


@settings(EXAMPLES, max_examples=500)
@given(st.data())
def test_strings(twin: Twin, data: st.DataObject) -> None:
    code, size, is_narrow = string_code(data, (1, 2, 4, 8))
    compare(twin.run(code, string_start(data, size, 0xABCD << 32 if is_narrow else 0)))


@settings(EXAMPLES, max_examples=250)
@given(st.data())
def test_strings_in_32_bit_code(twin32: Twin, data: st.DataObject) -> None:
    code, size, is_narrow = string_code(data, (1, 2, 4))
    compare(twin32.run(code, string_start(data, size, 0xABCD << 16 if is_narrow else 0)))


@EXAMPLES
@given(st.data())
def test_push_and_pop(twin: Twin, data: st.DataObject) -> None:
    gpr = registers(data)
    place, shift = data.draw(PLACES), data.draw(st.integers(-16, 16))
    point_at(gpr, place, 0, 0)
    prefix = data.draw(st.sampled_from((b"", b"\x66", b"\x66\x48")))
    code = data.draw(st.sampled_from((b"\xff\x33", b"\x8f\x03", b"\xff\x74\x24", b"\x8f\x44\x24")))
    if code[1] != 0x33 and code[1] != 0x03:
        code += (shift & 0xFF).to_bytes(1, "little")
    if data.draw(st.booleans()):
        gpr[RSP] = data.draw(PLACES)  # the stack lies in the device
    compare(twin.run(prefix + code, Start(gpr, 0, memory_with(place, data.draw(WORDS)))))


PUSHES = ("50", "66 53", "6a 80", "68 78 56 34 92", "58", "66 5b", "5c", "54", "66 48 50", "66 48 6a 80",
          "0f a0", "66 0f a8", "66 48 0f a0")  # fmt: skip


@pytest.mark.parametrize("code", PUSHES)
def test_stack_in_device_memory(twin: Twin, code: str) -> None:
    for shift in range(-8, 9):
        gpr = [0x0123_4567_89AB_CDEF] * 16
        gpr[RSP] = DEVICE + shift
        compare(twin.run(bytes.fromhex(code), Start(gpr)))


MODES_32 = {  # the address forms of 32-bit code, and 16-bit ones with 0x67, all with EBX, ESI and EDI
    "[ebx]": (b"", b"\x03"), "[esi+4]": (b"", b"\x46\x04"), "[ebx+esi*2-1]": (b"", b"\x44\x73\xff"),
    "[bx]": (b"\x67", b"\x07"), "[bx+si]": (b"\x67", b"\x00"), "[bx+di-2]": (b"\x67", b"\x41\xfe"),
}  # fmt: skip


@pytest.mark.parametrize("form", list(MODES_32))
@EXAMPLES
@given(st.data())
def test_addresses_of_32_bit_code(twin32: Twin, form: str, data: st.DataObject) -> None:
    prefix, address = MODES_32[form]
    gpr = [value & 0xFFFF_FFFF for value in registers(data)]
    above = 0xBAD << 16 if prefix else 0
    place = data.draw(PLACES)
    index = data.draw(st.integers(0, 0x1000))
    gpr[RSP] = STACK
    gpr[RBX] = {
        "[ebx]": place,
        "[esi+4]": 0,
        "[ebx+esi*2-1]": place + 1 - 2 * index & 0xFFFF_FFFF,
        "[bx]": place | above,
        "[bx+si]": place - index & 0xFFFF | above,
        "[bx+di-2]": place + 2 - index & 0xFFFF | above,
    }[form]
    gpr[RSI] = place - 4 if form == "[esi+4]" else index
    gpr[RDI] = index
    op = data.draw(st.sampled_from((0x01, 0x03, 0x11, 0x29, 0x31, 0x87, 0x89, 0x8B)))
    code = prefix + bytes((op, address[0] | RCX << 3)) + address[1:]
    start = Start(gpr, data.draw(st.sampled_from((0, CF))), memory_with(place, data.draw(WORDS)))
    compare(twin32.run(code, start))


@pytest.mark.parametrize("code", ["06", "66 0e", "0f a0", "ff 33", "66 ff 33", "8f 03", "66 8f 03",
                                  "8f 44 24 fc", "ff 74 24 04"])  # fmt: skip
def test_push_and_pop_in_32_bit_code(twin32: Twin, code: str) -> None:
    for place in range(DEVICE - 5, DEVICE + 2):
        gpr = [0x1234_5678] * 8 + [0] * 8
        gpr[RSP], gpr[RBX] = STACK, place
        start = Start(gpr, 0, memory_with(place, 0x1122_3344_5566_7788))
        compare(twin32.run(bytes.fromhex(code), start))


VECTOR_MOVES = {
    "movups": (b"", 0x10, 0x11, 1), "movaps": (b"", 0x28, 0x29, 16), "movupd": (b"\x66", 0x10, 0x11, 1),
    "movapd": (b"\x66", 0x28, 0x29, 16), "movdqu": (b"\xf3", 0x6F, 0x7F, 1),
    "movdqa": (b"\x66", 0x6F, 0x7F, 16), "movss": (b"\xf3", 0x10, 0x11, 1), "movsd": (b"\xf2", 0x10, 0x11, 1),
    "movd": (b"\x66", 0x6E, 0x7E, 1), "movq": (b"\x66\x48", 0x6E, 0x7E, 1),
    "movq-f3": (b"\xf3", 0x7E, None, 1), "movq-66": (b"\x66", None, 0xD6, 1),
    "movntdq": (b"\x66", None, 0xE7, 16), "movntps": (b"", None, 0x2B, 16), "lddqu": (b"\xf2", 0xF0, None, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", list(VECTOR_MOVES))
@settings(EXAMPLES, max_examples=30)
@given(st.data())
def test_sse_moves(twin: Twin, name: str, data: st.DataObject) -> None:
    prefix, load, store, alignment = VECTOR_MOVES[name]
    op = data.draw(st.sampled_from([one for one in (load, store) if one is not None]))
    place = data.draw(PLACES) // alignment * alignment
    gpr = [data.draw(WORDS)] * 16
    point_at(gpr, place, 0, 0)
    vector = data.draw(st.integers(0, (1 << 128) - 1))
    start = Start(gpr, 0, memory_with(place, data.draw(st.integers(0, (1 << 128) - 1))), vector)
    compare(twin.run(prefix + b"\x0f" + bytes((op, 0x1B)), start))


def test_a_program_goes_on_after_each_access() -> None:
    """The real exit and the stopped engine's registers: a program works on a page that is not there."""
    rig = Rig(
        mov(RBX, DEVICE)
        + b"\xc7\x03\x05\0\0\0"  # mov dword [rbx], 5
        + b"\xff\x0b\x75\xfc"  # dec dword [rbx]; jnz back to it
        + mov(RDI, DEVICE - 5000) + mov(RCX, 9096) + b"\xb0\x77\xf3\xaa"  # rep stosb over RAM and all of it
        + b"\x8b\x43\x10" + HLT  # mov eax, [rbx + 16]
    )  # fmt: skip
    rig.map(DEVICE, 0, 0)
    bus = MmioBus()
    bus.attach(DEVICE, PAGE_BYTES, MemoryDevice(rig.memory))
    space = AddressSpace(lambda address, write: address, Ram(rig.memory), bus)
    emulation = MmioEmulation(rig.vcpu, space)

    def serve(reason: ExitReason) -> None:
        assert reason is ExitReason.PAGE_FAULT and rig.exit.cr2 // PAGE_BYTES == DEVICE // PAGE_BYTES
        insn = decode(rig.insn(), 64)
        assert insn is not None
        rig.regs.rip = emulation.emulate(rig.exit, insn, rig.exit.rip + insn.n_bytes)

    n_exits = len(rig.run_to_hlt(serve))
    assert rig.regs.gpr[RAX] == 0x7777_7777
    assert rig.memory.read(DEVICE - 5001, 9098) == b"\0" + b"\x77" * 9096 + b"\0"
    assert n_exits == 1 + 5 + 4096 + 1
    rig.close()
