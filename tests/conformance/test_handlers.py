# SPDX-License-Identifier: GPL-2.0-or-later
"""The rows on the bare handlers: no CPU, no guest."""

from __future__ import annotations

import pytest

from pvisor.abi.calls import CALLS
from pvisor.abi.errnos import ENOSYS
from pvisor.abi.layout import unpack
from pvisor.cpu.exits import ExitReason
from pvisor.domain.domain import handle_exit
from pvisor.domain.outcome import Ending, Outcome
from pvisor.errors import DomainCrash
from pvisor.machine.memory import PAGE_BYTES
from pvisor.vmm.loop import IDLE
from tests.conformance.rows import READ_MAX, ROWS, WRITE_MAX, A, C, D, Raw, Row, initial
from tests.domain.fakes import FakeExit, FakeInput, FakeVcpu, para_domain

BASE = 0x1_0000

rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)


def paint(vcpu: FakeVcpu) -> None:
    """Pages A to D at BASE."""
    vcpu.memory.write(BASE, initial())
    vcpu.memory.write(BASE + C, b"c" * PAGE_BYTES)
    vcpu.read_only.add(BASE + C)
    vcpu.absent.add(BASE + D)


def arguments(row: Row) -> list[int]:
    """The row's arguments, offsets made addresses."""
    values = [arg.address if isinstance(arg, Raw) else arg for arg in row.args]
    if row.pointer and not isinstance(row.args[0], Raw):
        values[0] += BASE
    return values + [0] * (5 - len(values))


@rows
def test_row(row: Row) -> None:
    typed = FakeInput(row.typed)
    domain, vcpu = para_domain(row.offered, typed)
    paint(vcpu)
    vcpu.exit = FakeExit(reason=ExitReason.HYPERCALL, number=row.number, args=arguments(row), virtual_ns=77)
    registers = list(vcpu.regs.gpr)
    ending: Ending | None = None
    if row.ends == 134:
        with pytest.raises(DomainCrash, match="reported its own failure"):
            handle_exit(domain, vcpu, vcpu.exit)
        return
    outcome = handle_exit(domain, vcpu, vcpu.exit)
    if row.ends is None:
        assert vcpu.exit.result == row.result
        assert outcome in (Outcome.RESUME, Outcome.YIELD)
        assert domain.ending is None
    else:
        assert outcome is (Outcome.BLOCK if row.ends == 124 else Outcome.STOP)
        ending = IDLE if outcome is Outcome.BLOCK else domain.ending
        assert ending is not None
        assert ending.status == row.ends
    assert list(vcpu.regs.gpr) == registers
    assert domain.console.data == row.prints
    assert typed.data == row.left
    check_memory(row, vcpu)


def check_memory(row: Row, vcpu: FakeVcpu) -> None:
    """What the row says, and nothing else, has changed."""
    now = bytearray(vcpu.memory.read(BASE, 2 * PAGE_BYTES))
    if row.changes is not None:
        offset, length = row.changes
        changed = bytes(now[offset : offset + length])
        if row.id.startswith("read"):
            assert changed == row.typed[:length]
        else:
            seconds = 1_767_225_600  # 2026-01-01T00:00:00Z
            wanted = {"system_ns": 77, "wall_s": seconds, "wall_ns": 77, "reserved": 0}
            assert unpack("pv_time", changed) == wanted
        now[offset : offset + length] = initial()[offset : offset + length]
    assert bytes(now) == initial()
    assert vcpu.memory.read(BASE + C, PAGE_BYTES) == b"c" * PAGE_BYTES


def test_ids_are_unique() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS)


UNUSED = sorted(set(range(256)) - {call.nr for call in CALLS})


@pytest.mark.parametrize("number", [*UNUSED, 0x1000, (1 << 32) - 1])
def test_every_other_number_is_unknown(number: int) -> None:
    domain, vcpu = para_domain()
    exit = FakeExit(reason=ExitReason.HYPERCALL, number=number, args=[BASE] * 5)
    assert handle_exit(domain, vcpu, exit) is Outcome.RESUME
    assert exit.result == -ENOSYS.number
    assert not vcpu.log


def test_one_write_takes_at_most_its_maximum() -> None:
    domain, vcpu = para_domain()
    exit = FakeExit(reason=ExitReason.HYPERCALL, number=0x10, args=[BASE, WRITE_MAX + 1, 0, 0, 0])
    vcpu.absent.add(BASE + WRITE_MAX)  # the byte behind the last one taken is not looked at
    handle_exit(domain, vcpu, exit)
    assert exit.result == WRITE_MAX == domain.console.n_bytes


def test_one_read_takes_at_most_its_maximum() -> None:
    domain, vcpu = para_domain(input=FakeInput(bytes(READ_MAX + 5)))
    exit = FakeExit(reason=ExitReason.HYPERCALL, number=0x11, args=[BASE, (1 << 64) - 1, 0, 0, 0])
    vcpu.absent.add(BASE + READ_MAX)
    handle_exit(domain, vcpu, exit)
    assert exit.result == READ_MAX


@pytest.mark.parametrize("number", [0x10, 0x11, 0x20])
def test_a_pointer_is_copied_once(number: int) -> None:
    domain, vcpu = para_domain(input=FakeInput(b"x"))
    exit = FakeExit(reason=ExitReason.HYPERCALL, number=number, args=[BASE + A, 1, 0, 0, 0])
    handle_exit(domain, vcpu, exit)
    reads = [line for line in vcpu.log if line.startswith("copy_in")]
    assert len(reads) <= 1


def test_input_that_has_not_arrived_is_not_there() -> None:
    domain, vcpu = para_domain(input=FakeInput(b"late", at_ns=100))
    for now, result in ((99, 0), (100, 4)):
        exit = FakeExit(reason=ExitReason.HYPERCALL, number=0x11, args=[BASE, 9, 0, 0, 0], virtual_ns=now)
        handle_exit(domain, vcpu, exit)
        assert exit.result == result
