# SPDX-License-Identifier: GPL-2.0-or-later
"""Instructions that touch device memory, emulated: the CPU's half of memory-mapped I/O.

Device pages are not present in the shadow tables, so an access faults; the instruction is decoded and done
here, with its loads and stores going where they belong (address_space.py). Flags and results are those of the
manual; flags that it leaves undefined keep their values, but AF of logical instructions, which is cleared. An
instruction that is not known here ends the domain, with its name.

This room has no twin: a paravirtual guest asks by hypercall, and has no device memory.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType

from pvisor.cpu.decode import Instruction
from pvisor.cpu.vcpu import CS, RAX, RSP, SS, Exit, Vcpu
from pvisor.errors import DomainCrash
from pvisor.full import flags, vectors
from pvisor.full.address_space import AddressSpace
from pvisor.full.flags import CF, STATUS, ZF, mask_of, signed
from pvisor.full.operands import (
    NAMES,
    SEGMENTS,
    Operands,
    UnsupportedOperandError,
    read_register,
    write_register,
)
from pvisor.full.segments import DEFAULT_BIG
from pvisor.full.state import GuestFault
from pvisor.full.strings import is_string, run_string

Act = Callable[[Operands], None]


class MmioEmulation:
    """Emulates one vCPU's accesses to device memory."""

    def __init__(
        self, vcpu: Vcpu, space: AddressSpace, vector_registers: vectors.VectorRegisters | None = None
    ) -> None:
        self._vcpu = vcpu
        self._space = space
        self._vectors = vectors.VectorMoves(vector_registers) if vector_registers is not None else None

    def emulate(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        """Do the instruction at `exit.rip`; the RIP to go on at.

        That is `exit.rip` again where a repeated string instruction has done one element: the next is another
        exit, and an interrupt may come before it. Raises GuestFault, with every register as the CPU leaves
        it, and DomainCrash for an instruction that cannot be emulated.
        """
        run = Operands(self._vcpu, self._space, insn, next_rip)
        self._space.begin(run.mode64)
        try:
            if is_string(run):
                return next_rip if run_string(run, stepping=bool(exit.stepping)) else exit.rip
            act = _act_of(insn)
            if act is not None:
                act(run)
                return next_rip
            if self._vectors is not None and self._vectors.run(run):
                return next_rip
        except UnsupportedOperandError:
            pass
        code = bytes(exit.insn[0 : insn.n_bytes]).hex(" ")
        raise DomainCrash(
            f"access to device memory at {exit.cr2:#x} by an instruction that cannot be emulated there: "
            f"{insn.text} (bytes {code}) at {exit.rip:#x}"
        )


def _act_of(insn: Instruction) -> Act | None:
    name = insn.name
    if insn.opcode[0] == 0x0F:
        if insn.opcode[1] & 0xF0 == 0x90 and name.startswith("set"):
            return _set_on_condition
        if insn.opcode[1] & 0xF0 == 0x40 and name.startswith("cmov"):
            return _move_on_condition
    return _ACTS.get(name)


# --- moves


def _move(run: Operands) -> None:
    run.write(0, run.read(1, run.size_bytes(0)))


def _sign_extend(run: Operands) -> None:
    run.write(0, signed(run.read(1), run.size_bytes(1)) & mask_of(run.size_bytes(0)))


def _exchange(run: Operands) -> None:
    memory = 0 if run.is_memory(0) else 1
    run.reserve(memory, write=True)
    values = run.read(0), run.read(1)
    run.write(memory, values[1 - memory])
    run.write(1 - memory, values[memory])


def _set_on_condition(run: Operands) -> None:
    run.write(0, int(flags.holds(run.insn.opcode[1] & 15, run.flags)))


def _move_on_condition(run: Operands) -> None:
    """The source is read in any case, and a 32-bit destination loses its upper half in any case."""
    values = run.read(0), run.read(1)
    run.write(0, values[flags.holds(run.insn.opcode[1] & 15, run.flags)])


# --- arithmetic and logic


def _two_operands(
    compute: Callable[[int, int, int, int], tuple[int, int]], *, keeps: bool = False, carry: bool = False
) -> Act:
    """A destination and a source; `keeps`: only the flags change; `carry`: CF is a third operand."""

    def act(run: Operands) -> None:
        run.reserve(0, write=not keeps)
        size = run.size_bytes(0)
        result, status = compute(run.read(0), run.read(1, size), size, run.flags & CF if carry else 0)
        if not keeps:
            run.write(0, result)
        run.flags = status

    return act


def _logic(compute: Callable[[int, int], int], *, keeps: bool = False) -> Act:
    def with_flags(left: int, right: int, size_bytes: int, carry: int) -> tuple[int, int]:
        result = compute(left, right)
        return result, flags.of_result(result, size_bytes)

    return _two_operands(with_flags, keeps=keeps)


def _one_operand(compute: Callable[[int, int], tuple[int, int]], changed: int) -> Act:
    """A destination alone; `changed` are the flags that the instruction sets."""

    def act(run: Operands) -> None:
        run.reserve(0, write=True)
        result, status = compute(run.read(0), run.size_bytes(0))
        run.write(0, result)
        run.flags = run.flags & ~changed | status & changed

    return act


def _exchange_and_add(run: Operands) -> None:
    run.reserve(0, write=True)
    size = run.size_bytes(0)
    old = run.read(0)
    result, status = flags.add(old, run.read(1), size)
    run.write(0, result)
    run.write(1, old)
    run.flags = status


def _compare_and_exchange(run: Operands) -> None:
    """The destination is written in either case, as hardware does (SDM 2A)."""
    run.reserve(0, write=True)
    size = run.size_bytes(0)
    accumulator = NAMES[RAX, size]
    old, new = run.read(0), run.read(1)
    status = flags.subtract(read_register(run.vcpu, accumulator), old, size)[1]
    run.write(0, new if status & ZF else old)
    if not status & ZF:
        write_register(run.vcpu, accumulator, old)
    run.flags = status


def _bit(change: Callable[[int, int], int] | None) -> Act:
    """BT and its kin. A bit number in a register reaches beyond the operand, to either side."""

    def act(run: Operands) -> None:
        size = run.size_bytes(0)
        n_bits = 8 * size
        index = run.read(1)
        address = run.address(0)
        if run.insn.operands[1].register:
            index = signed(index, size)
            address += index // n_bits * size
        bit = 1 << index % n_bits
        run.space.reserve(address, size, write=change is not None)
        old = run.space.read(address, size)
        if change is not None:
            run.space.write(address, size, change(old, bit))
        run.flags = run.flags & ~CF | (CF if old & bit else 0)

    return act


# --- the stack


def _stack(run: Operands, pointer: int) -> tuple[str, int]:
    """The stack pointer's name at the stack's width, and the linear address that a value of it stands for."""
    if run.mode64:
        return "rsp", pointer
    segment = run.vcpu.segment(SS)
    name, mask = ("esp", mask_of(4)) if segment.flags & DEFAULT_BIG else ("sp", mask_of(2))
    return name, segment.base + (pointer & mask)


def _pushed_bytes(run: Operands) -> int:
    """Of a segment register, zeros fill what its 16 bits do not (SDM 2B, PUSH)."""
    if run.insn.operands[0].register not in SEGMENTS:
        return run.size_bytes(0)
    if run.mode64:
        return 2 if run.insn.has_operand_size_prefix else 8
    is_32bit = bool(run.vcpu.segment(CS).flags & DEFAULT_BIG)
    return 2 if run.insn.has_operand_size_prefix == is_32bit else 4


def _push(run: Operands) -> None:
    size = _pushed_bytes(run)
    pointer = run.vcpu.regs.gpr[RSP] - size
    name, address = _stack(run, pointer)
    run.reserve(0, write=False)
    run.space.reserve(address, size, write=True)
    run.space.write(address, size, run.read(0))
    write_register(run.vcpu, name, pointer)


def _pop(run: Operands) -> None:
    """A destination that is addressed by RSP is so by its new value (SDM 2B)."""
    size = run.size_bytes(0)
    before = run.vcpu.regs.gpr[RSP]
    name, address = _stack(run, before)
    run.space.reserve(address, size, write=False)
    write_register(run.vcpu, name, before + size)
    try:
        run.reserve(0, write=True)
    except GuestFault:
        run.vcpu.regs.gpr[RSP] = before
        raise
    run.write(0, run.space.read(address, size))


_ACTS: Mapping[str, Act] = MappingProxyType(
    {
        "mov": _move,
        "movabs": _move,
        "movnti": _move,
        "movzx": _move,
        "movsx": _sign_extend,
        "movsxd": _sign_extend,
        "xchg": _exchange,
        "add": _two_operands(flags.add),
        "adc": _two_operands(flags.add, carry=True),
        "sub": _two_operands(flags.subtract),
        "sbb": _two_operands(flags.subtract, carry=True),
        "cmp": _two_operands(flags.subtract, keeps=True),
        "and": _logic(operator.and_),
        "or": _logic(operator.or_),
        "xor": _logic(operator.xor),
        "test": _logic(operator.and_, keeps=True),
        "inc": _one_operand(lambda value, size: flags.add(value, 1, size), STATUS & ~CF),
        "dec": _one_operand(lambda value, size: flags.subtract(value, 1, size), STATUS & ~CF),
        "neg": _one_operand(lambda value, size: flags.subtract(0, value, size), STATUS),
        "not": _one_operand(lambda value, size: (value ^ mask_of(size), 0), 0),
        "xadd": _exchange_and_add,
        "cmpxchg": _compare_and_exchange,
        "bt": _bit(None),
        "bts": _bit(operator.or_),
        "btr": _bit(lambda value, bit: value & ~bit),
        "btc": _bit(operator.xor),
        "push": _push,
        "pop": _pop,
    }
)
