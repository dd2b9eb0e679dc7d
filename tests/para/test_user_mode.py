# SPDX-License-Identifier: GPL-2.0-or-later
"""User code at CPL 3: whatever it does, its kernel gets to know by one frame, and the domain goes on."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pvisor.cpu.engine_start import native_names
from pvisor.domain.outcome import EndedBy, Ending
from pvisor.machine.console import ConsoleOutput, NoInput
from pvisor.toolchain.build import build_guest
from pvisor.vmm.builder import Machine, build
from pvisor.vmm.config import TRANSPORTS, DomainConfig
from pvisor.vmm.loop import RunLoop
from pvisor.vmm.run import run_domain
from tests.para.user_pages import give, symbol

pytestmark = pytest.mark.needs_gcc

GUESTS = Path(__file__).parent / "guests"
TIERS = ("native", "python")
EXPECTED = (GUESTS / "user_mode.txt").read_text()


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_guest([GUESTS / "user_mode.c"], tmp_path_factory.mktemp("user") / "user.elf", "para").path


@contextmanager
def user_machine(elf: Path, **settings: object) -> Iterator[tuple[Machine, ConsoleOutput]]:
    """A domain whose user code may use the pages that the guest has for it."""
    console = ConsoleOutput()
    config = DomainConfig(elf, "para", 8 << 20, max_insns=1_000_000, **settings)  # type: ignore[arg-type]
    machine = build(config, console, NoInput())
    give(machine, symbol(elf, "user_code"))
    give(machine, symbol(elf, "user_data"))
    try:
        yield machine, console
    finally:
        machine.close()


def run(machine: Machine) -> Ending:
    return RunLoop(machine.domain, machine.vcpu, on_kick=lambda: None, drain_trace=lambda: None).run()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("tier", TIERS)
def test_what_the_kernel_sees(elf: Path, tier: str, transport: str) -> None:
    with user_machine(elf, tier=tier, transport=transport) as (machine, console):
        ending = run(machine)
        assert (ending.ended_by, ending.status) == (EndedBy.GUEST, 0), ending.reason
        assert console.data.decode().splitlines() == EXPECTED.splitlines()


def trace_of(elf: Path, **settings: object) -> list[tuple[object, ...]]:
    """Every record, without host facts."""
    with user_machine(elf, **settings) as (machine, console):
        machine.vcpu.start_trace()
        assert run(machine).status == 0
        rows = [
            (r.virtual_ns, r.rip, r.reason, r.outcome, r.result, tuple(r.ops[0 : r.n_ops]))
            for r in machine.vcpu.trace_records()
        ]
        return [*rows, (machine.vcpu.n_instructions, console.data)]


@pytest.mark.parametrize("without", [None, *native_names("para")])
def test_removing_a_native_handler_changes_no_trace(elf: Path, without: str | None) -> None:
    wanted = trace_of(elf, tier="python")
    assert trace_of(elf, tier="native", without_natives=(without,) if without else ()) == wanted


def test_where_the_engine_cannot_raise_it_is_the_same() -> None:
    """By the other way to the CPU's state, no exception can be raised out of an intercept."""
    code = "from tests.para.test_user_mode import plain_run; plain_run()"
    environment = {**os.environ, "PVISOR_REPAIR": "context"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == EXPECTED.splitlines()


RESTS: tuple[tuple[int, tuple[tuple[int, ...], ...]], ...] = (
    *((op, ((), (0x80,))) for op in (0xE4, 0xE5, 0xE6, 0xE7, 0xEC, 0xED, 0xEE, 0xEF)),
    *((op, ((),)) for op in (0x6C, 0x6D, 0x6E, 0x6F, 0xCF, 0xCB, 0xCC, 0xF1)),
    *((op, ((),)) for op in (0xF4, 0xFA, 0xFB, 0x9C, 0x9D, 0x54, 0x50, 0x57)),
    (0xCD, ((3,), (13,), (14,), (0x80,), (0x82,), (6,))), (0xF3, ((0x6C,), (0x6F,), (0xA4,))),
    (0x0F, ((0x05,), (0x34,), (0x35,), (0x07,), (0x0B,), (0x01, 0xC1), (0x20, 0xD8), (0x22, 0xD8))),
    (0x0F, ((0xA2,), (0x31,), (0x01, 0xF8), (0x33,), (0x06,), (0x00, 0xD8), (0x01, 0x17))),
    (0x48, ((0xCF,), (0x0F, 0x07), (0x8B, 0x07), (0x89, 0x07), (0x89, 0xFC))), (0x66, ((0xCF,), (0x9D,))),
    (0x8E, ((0xD0,), (0xD8,), (0xE8,), (0xE0,))),
    (0xB8, ((0x1B, 0, 0, 0), (0x11, 0, 0, 0), (3, 0, 0, 0))),
    (0x68, ((0, 0, 2, 0), (0x23, 0, 0, 0), (0x2B, 0, 0, 0), (9, 0, 0, 0), (0, 0x33, 0, 0))),
    (0x6A, ((0x1B,), (0x23,), (0x2B,), (9,))),
)  # fmt: skip
INTERESTING = [bytes([first, *rest]) for first, rests in RESTS for rest in rests]
"""Instructions that mean something to a hypervisor, and what makes frames for them."""


@pytest.mark.parametrize("seed", range(60))
def test_no_user_code_ends_the_domain(elf: Path, seed: int) -> None:
    """Random code. It may loop until the budget is used up; but the kernel lives."""
    chance = random.Random(seed)
    with user_machine(elf, tier=TIERS[seed % 2], transport=TRANSPORTS[seed % 3]) as (machine, console):
        machine.vcpu.v.budget = 100_000
        code = b""
        while len(code) < 4096:
            code += chance.choice(INTERESTING) if chance.random() < 0.7 else chance.randbytes(3)
        machine.domain.memory.write(symbol(elf, "user_code"), code[:4096])
        ending = run(machine)
        assert ending.ended_by in (EndedBy.GUEST, EndedBy.BUDGET), ending.reason
        assert console.data.count(b"vector") > 0
        assert machine.vcpu.cpl in (1, 3)


@pytest.mark.parametrize("tier", TIERS)
def test_code_that_the_engine_cannot_translate(tmp_path: Path, tier: str) -> None:
    built = build_guest([GUESTS / "untranslatable.c"], tmp_path / "guest.elf", "para").path
    result = run_domain(DomainConfig(built, mode="para", tier=tier, max_insns=50_000_000))
    assert result.ending.ended_by is EndedBy.GUEST, result.ending.reason
    assert result.output == b"refused: 3000\n"


def plain_run() -> None:
    """For another process: build, run, print."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        built = build_guest([GUESTS / "user_mode.c"], Path(folder) / "user.elf", "para").path
        with user_machine(built) as (machine, console):
            ending = run(machine)
            print(console.data.decode(), end="")
            sys.exit(0 if ending.status == 0 else ending.reason)
