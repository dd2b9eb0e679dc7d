# SPDX-License-Identifier: GPL-2.0-or-later
"""Page tables by real guests: random calls, with all tables looked at as they go; both tiers do the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from pvisor.abi.areas import power
from pvisor.abi.layout import sizeof, unpack
from pvisor.cpu.engine_start import native_names
from pvisor.cpu.exits import ExitReason
from pvisor.cpu.vcpu import RDI, Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.domain.outcome import EndedBy, Outcome
from pvisor.machine.console import ConsoleOutput, NoInput
from pvisor.machine.memory import PAGE_BYTES
from pvisor.para.frames import FrameTable
from pvisor.toolchain.build import build_guest
from pvisor.vmm.builder import Machine, build
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.loop import RunLoop
from pvisor.vmm.run import run_domain
from tests.domain.fakes import FakeInput
from tests.para.isolation import check

pytestmark = pytest.mark.needs_gcc

GUESTS = Path(__file__).parent / "guests"
TIERS = ("native", "python")
SEEDS = range(1, 7)
N_CALLS = 1500
NATIVES = ("root_set", "entry_set", "table_update", "tlb_flush")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Build a guest once."""
    folder = tmp_path_factory.mktemp("paging")
    return lru_cache(None)(
        lambda name: build_guest([GUESTS / f"{name}.c"], folder / f"{name}.elf", "para").path
    )


def config(elf: Path, cmdline: str = "", tier: str = "native", **more: object) -> DomainConfig:
    return DomainConfig(
        elf, "para", 4 << 20, cmdline=cmdline, tier=tier, max_insns=50_000_000, **more  # type: ignore[arg-type]
    )  # fmt: skip


def frames_of(machine: Machine) -> FrameTable:
    """The domain's frames."""
    assert machine.balloon is not None
    return machine.balloon.frames


def check_machine(machine: Machine, shared: int) -> None:
    """The isolation proof: only the shared page is held by anybody else."""
    frames = frames_of(machine)
    state = frames.state
    roots = [root for i in range(len(machine.vcpus)) for root in (state.roots[i].kernel, state.roots[i].user)]
    check(frames, [(shared // PAGE_BYTES, True)], [root for root in roots if root])


@contextmanager
def watched(elf: Path, cmdline: str, tier: str, **more: object) -> Iterator[tuple[Machine, list[int]]]:
    """A machine whose tables are looked at whenever its guest yields; the list has how often."""
    console = ConsoleOutput()
    machine = build(config(elf, cmdline, tier, **more), console, NoInput())
    info = machine.domain.memory.read(machine.vcpu.regs.gpr[RDI], sizeof("pv_start_info"))
    shared = unpack("pv_start_info", info)["shared_info_gpa"]
    n_looks = [0]
    wing = machine.domain.wing
    serve = wing.handlers[ExitReason.HYPERCALL]

    def serve_and_look(domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        outcome = serve(domain, vcpu, exit)
        if exit.number == power.YIELD.nr:
            check_machine(machine, shared)
            n_looks[0] += 1
        return outcome

    handlers = list(wing.handlers)
    handlers[ExitReason.HYPERCALL] = serve_and_look
    wing.handlers = tuple(handlers)  # type: ignore[misc]
    try:
        yield machine, n_looks
    finally:
        machine.close()


def run(machine: Machine) -> None:
    ending = RunLoop(machine.domain, machine.vcpus, on_kick=lambda: None, drain_trace=lambda: None).run()
    assert (ending.ended_by, ending.status) == (EndedBy.GUEST, 0), ending.reason


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_a_guest_asks_it_stays_in_its_memory(
    built: Callable[[str], Path], seed: int, tier: str
) -> None:
    with watched(built("paging_storm"), f"{seed} {N_CALLS}", tier) as (machine, n_looks):
        run(machine)
        assert n_looks[0] > N_CALLS // 8


def trace_of(elf: Path, cmdline: str, tier: str, without: tuple[str, ...] = ()) -> list[object]:
    """Every record, without host facts, and what was printed."""
    rows: list[object] = []

    def note(records: Sequence[Any]) -> None:
        rows.extend(
            (r.virtual_ns, r.rip, r.reason, r.outcome, r.result, tuple(r.ops[0 : r.n_ops])) for r in records
        )

    result = run_domain(config(elf, cmdline, tier, without_natives=without), trace=note)
    assert result.ending.status == 0, result.ending.reason
    return [*rows, result.output, result.n_instructions]


@pytest.mark.parametrize("without", [None, *NATIVES])
def test_removing_a_native_handler_changes_no_trace(
    built: Callable[[str], Path], without: str | None
) -> None:
    storm = built("paging_storm")
    left_out = (without,) if without else ()
    assert trace_of(storm, "11 1000", "native", left_out) == trace_of(storm, "11 1000", "python")


def test_the_natives_are_there() -> None:
    assert set(NATIVES) <= set(native_names("para"))


@pytest.mark.parametrize("tier", TIERS)
def test_code_that_changes_unseen(built: Callable[[str], Path], tier: str) -> None:
    typed = FakeInput(b"\xb8\x4d\0\0\0\xc3")
    result = run_domain(config(built("changing_code"), tier=tier), input=typed)
    assert result.ending.status == 0, result.ending.reason
    assert result.output.decode() == (GUESTS / "changing_code.txt").read_text()


@pytest.mark.parametrize("tier", TIERS)
def test_what_another_vcpu_changes(built: Callable[[str], Path], tier: str) -> None:
    result = run_domain(config(built("two_vcpus"), tier=tier, n_vcpus=2))
    assert result.ending.status == 0, result.ending.reason
    assert result.output.decode() == "code: 300 of 300, pages: 300 of 300\nafter the flush: 2, then 1\n"


def test_without_a_flush_of_one_page(built: Callable[[str], Path]) -> None:
    """Where the engine has none (shim/tlb.c) all translations go instead; guests see no difference."""
    source = (
        "from pathlib import Path; from pvisor.vmm.run import run_domain;"
        "from pvisor.vmm.config import DomainConfig;"
        f"print(run_domain(DomainConfig(Path({str(built('paging_storm'))!r}), 'para', 4 << 20,"
        " cmdline='11 1000')).output.decode(), end='')"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", source], env={**os.environ, "PVISOR_REPAIR": repair},
            capture_output=True, check=True, cwd=Path(__file__).parents[2],
        ).stdout
        for repair in ("state", "context")
    ]  # fmt: skip
    assert outputs[0].startswith(b"sum ")
    assert outputs[0] == outputs[1]
