# SPDX-License-Identifier: GPL-2.0-or-later
"""STOS, LODS, MOVS, CMPS and SCAS, once or repeated, emulated element by element (SDM 2B, REP).

Each element is an exit, and each counts as an instruction, as those do that the engine runs itself. So time
goes on, an endless count ends with the budget, and a fault or an interrupt in the middle finds the registers
as hardware leaves them there. The last look, at a count of 0, is the engine's. This room has no twin: a
paravirtual guest has no device memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pvisor.cpu.vcpu import RCX, RDI, RSI
from pvisor.full.flags import DF, ZF, subtract
from pvisor.full.operands import NAMES, Operands, read_register, write_register

REPNE = 0xF2


def _store(run: Operands) -> None:
    run.write(0, run.read(1))


def _load(run: Operands) -> None:
    run.write(0, run.read(1))


def _move(run: Operands) -> None:
    run.reserve(1, write=False)
    run.reserve(0, write=True)  # before a device's register is read: a fault must not read it twice
    run.write(0, run.read(1))


def _compare(run: Operands) -> None:
    run.reserve(0, write=False)
    run.reserve(1, write=False)
    run.flags = subtract(run.read(0), run.read(1), run.size_bytes(0))[1]


_STRINGS: Mapping[int, tuple[Callable[[Operands], None], tuple[int, ...], bool]] = MappingProxyType(
    {
        0xA4: (_move, (RSI, RDI), False),
        0xA6: (_compare, (RSI, RDI), True),
        0xAA: (_store, (RDI,), False),
        0xAC: (_load, (RSI,), False),
        0xAE: (_compare, (RDI,), True),
    }
)
"""By opcode without its size bit: what one element does, its index registers, does REP watch ZF."""
_NAMES = ("movs", "cmps", "stos", "lods", "scas")


def is_string(run: Operands) -> bool:
    """Is it one of these? SSE has moves of the same names, and AVX the same opcodes."""
    return run.insn.opcode[0] & 0xFE in _STRINGS and run.insn.name.startswith(_NAMES)


def run_string(run: Operands, *, stepping: bool) -> bool:
    """Do one element; False when the engine shall look at the instruction again. Raises GuestFault.

    `stepping`: the guest single-steps, and there is a #DB behind each element, but none behind a last look.
    """
    act, indices, watches_zf = _STRINGS[run.insn.opcode[0] & 0xFE]
    width = run.insn.address_bytes
    size = run.size_bytes(0)
    rflags = run.flags
    step = -size if rflags & DF else size
    counter = NAMES[RCX, width]
    is_repeated = bool(run.insn.repeat)
    left = read_register(run.vcpu, counter) if is_repeated else 1
    if not left:
        return True
    act(run)
    for index in indices:
        name = NAMES[index, width]
        write_register(run.vcpu, name, read_register(run.vcpu, name) + step)
    if not is_repeated:
        return True
    write_register(run.vcpu, counter, left - 1)
    if watches_zf and bool(run.flags & ZF) == (run.insn.repeat == REPNE):
        return True
    return left == 1 and stepping
