# SPDX-License-Identifier: GPL-2.0-or-later
"""Real guests: the SDK's headers by one domain, and two domains that share a channel and the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from pvisor.abi.areas.events import VIRQ_STORE
from pvisor.abi.layout import unpack
from pvisor.cpu.vcpu import RDI
from pvisor.domain.outcome import EndedBy, Ending
from pvisor.machine.console import ConsoleOutput, NoInput
from pvisor.para.cpu import ParaWing
from pvisor.para.events import EventHub
from pvisor.para.shared import SharedPage
from pvisor.para.store import Store
from pvisor.toolchain.build import build_guest
from pvisor.vmm.builder import Machine, build
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.loop import RunLoop
from pvisor.vmm.run import run_domain
from tests.guests.elves import FOLDER

pytestmark = pytest.mark.needs_gcc

tiers = pytest.mark.parametrize("tier", ["native", "python"])


@tiers
@pytest.mark.parametrize("name", ["event", "store"])
def test_a_header_is_kept(name: str, tier: str, tmp_path: Path) -> None:
    elf = build_guest([FOLDER / "sdk" / f"{name}.c"], tmp_path / "guest.elf", "para").path
    result = run_domain(DomainConfig(elf, tier=tier, max_insns=10_000_000))
    assert (result.ending.ended_by, result.ending.status) == (EndedBy.GUEST, 0), result.ending.reason
    assert result.output.decode() == (FOLDER / "sdk" / f"{name}.txt").read_text()


class Pair:
    """Two machines on the same hubs; each runs until it waits."""

    def __init__(self, elf: Path, tier: str, owned: ExitStack) -> None:
        self.events, self.store = EventHub(), Store()
        self.machines: dict[int, Machine] = {}
        for domid in (1, 2):
            config = DomainConfig(elf, "para", 4 << 20, cmdline=str(domid), tier=tier, max_insns=10_000_000)
            machine = build(config, ConsoleOutput(), NoInput(), domid=domid)
            owned.callback(machine.close)
            self._join(machine)
            self.machines[domid] = machine

    def _join(self, machine: Machine) -> None:
        domain = machine.domain
        info = unpack("pv_start_info", domain.memory.read(machine.vcpu.regs.gpr[RDI], 128))
        table = self.events.add(domain, SharedPage(domain.memory, info["shared_info_gpa"]))
        client = self.store.add(domain.domid, partial(table.raise_virq, VIRQ_STORE.number))
        domain.wing = ParaWing(info["features"], (table.served, client.served))

    def run(self, domid: int) -> Ending | None:
        """Let a domain run. None: it waits."""
        machine = self.machines[domid]
        ending = RunLoop(machine.domain, machine.vcpu, on_kick=lambda: None, drain_trace=lambda: None).run()
        if ending.ended_by is EndedBy.IDLE:
            machine.domain.ending = None
            return None
        return ending

    def waits_for_nothing(self, domid: int) -> bool:
        """Is no event pending that would let it go on?"""
        return not self.events.tables[domid].shared.upcall_pending(0)

    def run_all(self, order: tuple[int, ...]) -> dict[int, Ending]:
        """Let them take turns until nothing moves; how they ended."""
        endings: dict[int, Ending] = {}
        has_run = dict.fromkeys(order, False)
        while True:
            ready = [d for d in order if d not in endings and not (has_run[d] and self.waits_for_nothing(d))]
            if not ready:
                return endings
            for domid in ready:
                has_run[domid] = True
                ending = self.run(domid)
                if ending is not None:
                    endings[domid] = ending

    def remove_all(self) -> None:
        """The domains go."""
        for domid in self.machines:
            self.events.remove(domid)
            self.store.remove(domid)


@contextmanager
def pair(elf: Path, tier: str) -> Iterator[Pair]:
    """Two domains, ready to run."""
    with ExitStack() as owned:
        yield Pair(elf, tier, owned)


@tiers
@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_two_domains_play(tier: str, order: tuple[int, ...], tmp_path: Path) -> None:
    """Each wakes the other two hundred times, and no signal is lost, whoever begins."""
    elf = build_guest([FOLDER / "pingpong.c"], tmp_path / "guest.elf", "para").path
    with pair(elf, tier) as both:
        endings = both.run_all(order)
        assert {domid: (end.ended_by, end.status) for domid, end in endings.items()} == dict.fromkeys(
            (1, 2), (EndedBy.GUEST, 0)
        )
        said = {domid: machine.domain.console.data for domid, machine in both.machines.items()}
        assert said == {1: b"198\n", 2: b"199\n"}
        both.remove_all()
        assert not both.events.tables and not both.store.clients
        assert both.store.n_nodes == 2, "the root, and the folder of homes"
