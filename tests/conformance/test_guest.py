# SPDX-License-Identifier: GPL-2.0-or-later
"""The rows again, by a real guest through the real hypercall page: every transport, both tiers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pvisor.abi import constants
from pvisor.abi.areas import itself
from pvisor.abi.layout import unpack
from pvisor.cpu.vcpu import R8, R10, R11, RAX, RCX, RDI, RDX, RSI, RSP
from pvisor.domain.outcome import EndedBy, Ending
from pvisor.machine.console import ConsoleOutput
from pvisor.machine.elf import ElfImage
from pvisor.machine.memory import PAGE_BYTES
from pvisor.para.cpu import ParaWing
from pvisor.para.tables import HYPERCALL_PAGE_GVA
from pvisor.vmm.builder import Machine, build
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.loop import RunLoop
from tests.conformance.rows import ROWS, C, Raw, Row, initial
from tests.domain.fakes import FakeInput

pytestmark = pytest.mark.needs_gcc

GUESTS = Path(__file__).resolve().parent.parent / "para" / "guests"
PAGES, PAGES_GPA = 0xFFFF_8800_0000_0000, 0x12_0000
PATTERN = 0x5A5A_5A5A_A5A5_A5A5
POISON = constants.POISON.number
SHUTDOWN = 0x32
TRANSPORTS = ("syscall", "vmcall", "int")


@dataclass(frozen=True)
class Runner:
    """The guest, and where its parts lie."""

    elf: Path
    row: int
    raw: int


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    elf = tmp_path_factory.mktemp("runner") / "runner.elf"
    include = GUESTS.parent.parent.parent / "guest_sdk" / "include"
    flags = "-nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack"
    sources = ["-T", str(GUESTS / "runner.lds"), str(GUESTS / "runner.S")]
    subprocess.run(["gcc", *flags.split(), f"-I{include}", *sources, "-o", str(elf)], check=True)
    names = subprocess.run(["nm", str(elf)], check=True, capture_output=True, text=True).stdout.split("\n")
    at = {line.split()[2]: int(line.split()[0], 16) for line in names if line}
    return Runner(elf, at["row"], at["raw"])


@contextmanager
def machine_for(runner: Runner, typed: FakeInput, **settings: object) -> Iterator[Machine]:
    config = DomainConfig(runner.elf, "para", 4 << 20, max_insns=10_000, **settings)  # type: ignore[arg-type]
    machine = build(config, ConsoleOutput(), typed)
    try:
        yield machine
    finally:
        machine.close()


def stub(number: int) -> int:
    return HYPERCALL_PAGE_GVA + 32 * number


def call(machine: Machine, runner: Runner, target: int, args: list[int], number: int = 0) -> Ending:
    """Let the guest make one call."""
    memory = machine.domain.memory
    for i, word in enumerate([target, *args, number, stub(SHUTDOWN)]):
        memory.write_u64(runner.row + 8 * i, word)
    memory.write(PAGES_GPA, initial())
    return RunLoop(machine.domain, machine.vcpu, on_kick=lambda: None, drain_trace=lambda: None).run()


def arguments(row: Row) -> list[int]:
    values = [arg.address if isinstance(arg, Raw) else arg for arg in row.args]
    if row.pointer and not isinstance(row.args[0], Raw):
        values[0] += PAGES
    return values + [0x77] * (5 - len(values))


def check_registers(
    machine: Machine, runner: Runner, args: list[int], result: int, *, poisoned: bool
) -> None:
    """RAX holds the result, RCX and R11 may be lost, everything else is as it was."""
    memory = machine.domain.memory
    seen = [memory.read_u64(runner.row + 64 + 8 * i) for i in range(19)]
    wanted = [PATTERN] * 16
    for register, value in zip((RDI, RSI, RDX, R10, R8), args, strict=True):
        wanted[register] = value
    wanted[RAX] = result & (1 << 64) - 1
    wanted[RSP] = memory.read_u64(runner.row + 232)
    for clobbered in (RCX, R11):
        if poisoned:
            wanted[clobbered] = POISON
        else:
            wanted[clobbered] = seen[clobbered]
    assert [hex(value) for value in seen[:16]] == [hex(value) for value in wanted]
    assert seen[16] & 0xCD7 == 0xCD7, "RFLAGS"
    assert seen[16] & ~0xCD7 == 0, "RFLAGS"
    assert seen[17] == 0xFFFF, "XMM7"
    assert seen[18] & 0xFFFF_FFFF == 0x1F80, "MXCSR"


def check_memory(machine: Machine, row: Row) -> None:
    memory = machine.domain.memory
    now = bytearray(memory.read(PAGES_GPA, 2 * PAGE_BYTES))
    if row.changes is not None:
        offset, length = row.changes
        changed = bytes(now[offset : offset + length])
        if row.id.startswith("read"):
            assert changed == row.typed[:length]
        else:
            time = unpack("pv_time", changed)
            assert 0 < time["system_ns"] < 100 and time["wall_ns"] == time["system_ns"]
            assert time["wall_s"] == 1_767_225_600 and time["reserved"] == 0
        now[offset : offset + length] = initial()[offset : offset + length]
    assert bytes(now) == initial()
    assert memory.read(PAGES_GPA + C, PAGE_BYTES) == b"c" * PAGE_BYTES


def offered(machine: Machine) -> int:
    """The features of its domain."""
    wing = machine.domain.wing
    assert isinstance(wing, ParaWing)
    return wing.offered_features


def asks_features(row: Row) -> bool:
    """Is its result what this domain is offered, which is more than the bare handlers offer?"""
    return row.call is itself.FEATURES and row.args == (0,)


def offers(transport: str) -> int:
    return 3 if transport == "vmcall" else 2


ALL = [(row, transport) for row in ROWS for transport in TRANSPORTS if row.offered == offers(transport)
       or (row.offered == 2 and row.id != "features")]  # fmt: skip


@pytest.mark.parametrize("tier", ["native", "python"])
@pytest.mark.parametrize(("row", "transport"), ALL, ids=[f"{row.id}-{transport}" for row, transport in ALL])
def test_row(runner: Runner, row: Row, transport: str, tier: str) -> None:
    typed = FakeInput(row.typed)
    with machine_for(runner, typed, transport=transport, tier=tier, debug_abi=tier == "python") as machine:
        args = arguments(row)
        ending = call(machine, runner, stub(row.number), args)
        assert machine.domain.console.data == row.prints
        if row.ends is not None:
            assert ending.status == row.ends
            return
        assert (ending.ended_by, ending.status) == (EndedBy.GUEST, 42 << 1 | 1), ending.reason
        assert typed.data == row.left
        result = offered(machine) if asks_features(row) else row.result
        check_registers(machine, runner, args, result, poisoned=tier == "python")
        check_memory(machine, row)


@pytest.mark.parametrize("number", [0x02, 0x7F])
def test_poison_is_the_same_in_both_tiers(runner: Runner, number: int) -> None:
    for tier in ("native", "python"):
        with machine_for(runner, FakeInput(b""), tier=tier, debug_abi=True) as machine:
            args = [1, 2, 3, 4, 5]
            call(machine, runner, stub(number), args)
            check_registers(machine, runner, args, 0 if number == 2 else -38, poisoned=True)


@pytest.mark.parametrize("tier", ["native", "python"])
@pytest.mark.parametrize("number", [0x00, 0x02, 0x7F, 0xFF, 0x100, 0x1000, 0xFFFF_FFFF])
def test_raw_vmcall_where_it_is_offered(runner: Runner, number: int, tier: str) -> None:
    with machine_for(runner, FakeInput(b""), transport="vmcall", tier=tier) as machine:
        args = [1, 2, 3, 4, 5]
        ending = call(machine, runner, runner.raw, args, number)
        assert ending.status == 85, ending.reason
        check_registers(machine, runner, args, {0: 1, 2: 0}.get(number, -38), poisoned=False)


@pytest.mark.parametrize("transport", ["syscall", "int"])
def test_raw_vmcall_where_it_is_not_offered(runner: Runner, transport: str) -> None:
    with machine_for(runner, FakeInput(b""), transport=transport) as machine:
        ending = call(machine, runner, runner.raw, [0] * 5, 2)
        assert (ending.ended_by, ending.status) == (EndedBy.CRASH, 134)
        assert "VMCALL" in ending.reason and "RAW_VMCALL" in ending.reason
        assert machine.vcpu.exit.rip == runner.raw + 7


def test_the_runner_is_found_in_its_file(runner: Runner) -> None:
    image = ElfImage(runner.elf)
    assert {segment.vaddr for segment in image.segments} >= {PAGES, PAGES + C}
