# SPDX-License-Identifier: GPL-2.0-or-later
"""Further virtual CPUs: the calls on bare handlers, and a real second one that goes up and down."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pvisor.abi.areas import power as rows
from pvisor.abi.errnos import EBUSY, EFAULT, EINVAL, ENOENT
from pvisor.abi.layout import pack, unpack
from pvisor.abi.model import Errno
from pvisor.cpu.vcpu import RDI, RSP, Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.domain.outcome import EndedBy, Outcome
from pvisor.domain.scheduling import VcpuState, VcpuTimes
from pvisor.para.hypercalls import HypercallTable
from pvisor.para.vcpus import VcpusRoom
from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.run import run_domain
from tests.domain.fakes import FakeExit, FakeVcpu, para_domain

GUEST = Path(__file__).resolve().parent / "guests" / "second_cpu.c"
AT = 0x2_0000
ALL_FEATURES = (1 << 63) - 1


@dataclass
class Hand:
    """Scheduling that says what it was made to say, and remembers what it was told."""

    vcpus: list[VcpuTimes]
    told: list[str] = field(default_factory=list)

    def wake(self, vcpu_id: int) -> None:
        self.told.append(f"wake {vcpu_id}")

    def up(self, vcpu_id: int) -> None:
        self.told.append(f"up {vcpu_id}")
        self.vcpus[vcpu_id] = VcpuTimes(VcpuState.RUNNABLE)

    def down(self, vcpu_id: int) -> None:
        self.told.append(f"down {vcpu_id}")
        self.vcpus[vcpu_id] = VcpuTimes(VcpuState.DOWN)

    def times(self, vcpu_id: int) -> VcpuTimes:
        return self.vcpus[vcpu_id]


class Trial:
    """A domain of three: 0 runs, 1 is down, 2 sleeps."""

    def __init__(self, *states: VcpuState) -> None:
        self.domain: Domain
        self.domain, _ = para_domain()
        self.vcpus = [FakeVcpu(self.domain.memory) for _ in range(3)]
        for vcpu_id, vcpu in enumerate(self.vcpus):
            vcpu.vcpu_id = vcpu_id
        self.domain.vcpus[:] = self.vcpus
        wanted = states or (VcpuState.RUNNING, VcpuState.DOWN, VcpuState.BLOCKED)
        self.hand = self.domain.scheduling = Hand([VcpuTimes(s, 10 * i, 7 * i) for i, s in enumerate(wanted)])
        self.log: list[str] = []
        room = VcpusRoom(self._begin, self._end)
        self.table = HypercallTable(ALL_FEATURES, [room.served])

    def _begin(self, new: Vcpu, caller: Vcpu) -> None:
        self.log.append(f"begin {new.vcpu_id} on {caller.vcpu_id}")
        new.regs.rip = new.regs.gpr[RDI] = 0x5EED

    def _end(self, vcpu: Vcpu) -> None:
        self.log.append(f"end {vcpu.vcpu_id}")

    def call(self, number: int, *args: int) -> tuple[Outcome, int]:
        exit: Exit = FakeExit(number=number, args=[*args, 0, 0, 0, 0, 0][:5])
        return self.table.serve(self.domain, self.vcpus[0], exit), exit.result

    def up(self, vcpu_id: int, **fields: int) -> int:
        context = {"rip": 0x40_0000, "rsp": 0x50_0000, "argument": 77, **fields}
        self.domain.memory.write(AT, pack("pv_vcpu_context", **context))
        outcome, result = self.call(rows.VCPU_UP.nr, vcpu_id, AT)
        assert outcome is Outcome.RESUME
        return result


def test_up() -> None:
    trial = Trial()
    assert trial.up(1) == 0
    assert (trial.log, trial.hand.told) == (["begin 1 on 0"], ["up 1"])
    regs = trial.vcpus[1].regs
    assert (regs.rip, regs.gpr[RSP], regs.gpr[RDI]) == (0x40_0000, 0x50_0000, 77)


@pytest.mark.parametrize(
    ("vcpu_id", "fields", "result"),
    [(0, {}, EBUSY), (2, {}, EBUSY), (3, {}, ENOENT), (0xFFFF_FFFF, {}, ENOENT), (1 << 32, {}, EINVAL),
     (1, {"rip": 1 << 47}, EINVAL), (1, {"rsp": 0xFFFF_8000_0000_1000}, EINVAL),
     (1, {"reserved": 1}, EINVAL)],
)  # fmt: skip
def test_up_refused_changes_nothing(vcpu_id: int, fields: dict[str, int], result: Errno) -> None:
    trial = Trial()
    assert trial.up(vcpu_id, **fields) == -result.number
    assert not trial.log and not trial.hand.told


def test_the_context_is_copied_once() -> None:
    trial = Trial()
    trial.up(1)
    assert [line for line in trial.vcpus[0].log if line.startswith("copy_in")] == [f"copy_in {AT:#x} 32"]


def test_down() -> None:
    trial = Trial()
    assert trial.call(rows.VCPU_DOWN.nr, 2) == (Outcome.RESUME, 0)
    assert (trial.log, trial.hand.told) == (["end 2"], ["down 2"])
    assert trial.call(rows.VCPU_DOWN.nr, 1) == (Outcome.RESUME, 0)
    assert trial.call(rows.VCPU_DOWN.nr, 0) == (Outcome.RESUME, -EBUSY.number)
    assert trial.call(rows.VCPU_DOWN.nr, 3) == (Outcome.RESUME, -ENOENT.number)
    assert trial.log == ["end 2"], "one that is down, the last one and none: nothing happens"


def test_down_of_oneself_does_not_go_on() -> None:
    trial = Trial()
    assert trial.call(rows.VCPU_DOWN.nr, 0) == (Outcome.BLOCK, 0)
    assert trial.hand.told == ["down 0"]


@pytest.mark.parametrize("vcpu_id", [0, 1, 2])
def test_query(vcpu_id: int) -> None:
    trial = Trial()
    assert trial.call(rows.VCPU_QUERY.nr, vcpu_id, AT) == (Outcome.RESUME, 0)
    state = (VcpuState.RUNNING, VcpuState.DOWN, VcpuState.BLOCKED)[vcpu_id]
    told = unpack("pv_vcpu_status", trial.domain.memory.read(AT, 24))
    assert told == {"state": state, "reserved": 0, "run_ns": 10 * vcpu_id, "steal_ns": 7 * vcpu_id}


def test_query_refused() -> None:
    trial = Trial()
    assert trial.call(rows.VCPU_QUERY.nr, 3, AT)[1] == -ENOENT.number
    assert trial.call(rows.VCPU_QUERY.nr, 0, 0)[1] == -EFAULT.number


# --- a real one


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_guest([GUEST], tmp_path_factory.mktemp("vcpus") / "guest.elf", "para").path


def config(guest: Path, **settings: object) -> DomainConfig:
    limits = {"memory_bytes": 16 << 20, "max_insns": 50_000_000, "n_vcpus": 2, **settings}
    return DomainConfig(guest, "para", **limits)  # type: ignore[arg-type]


@pytest.mark.needs_gcc
@pytest.mark.parametrize("debug_abi", [False, True])
@pytest.mark.parametrize("tier", ["native", "python"])
@pytest.mark.parametrize("transport", ["syscall", "vmcall", "int"])
def test_a_second_cpu(guest: Path, transport: str, tier: str, debug_abi: bool) -> None:
    result = run_domain(config(guest, transport=transport, tier=tier, debug_abi=debug_abi))
    assert (result.ending.ended_by, result.ending.status) == (EndedBy.GUEST, 0), result.ending.reason
    assert result.output.decode() == GUEST.with_suffix(".txt").read_text()


@pytest.mark.needs_gcc
def test_two_runs_and_two_tiers_have_the_same_trace(guest: Path) -> None:
    traces = []
    for tier in ("native", "native", "python"):
        records: list[tuple[object, ...]] = []
        run_domain(
            config(guest, tier=tier),
            trace=lambda rows, into=records: into.extend(  # type: ignore[misc]
                (r.virtual_ns, r.vcpu_id, r.rip, r.reason, r.outcome, r.result, *r.ops[0 : r.n_ops])
                for r in rows
            ),
        )
        traces.append(records)
    assert traces[0] == traces[1] == traces[2]
    assert len(traces[0]) > 20


@pytest.mark.needs_gcc
def test_without_a_second_cpu_there_is_none(guest: Path) -> None:
    result = run_domain(config(guest, n_vcpus=1, max_insns=100_000))
    assert re.match(r"up -2\n", result.output.decode())
