# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a PC's CPU and paravirtual I/O meet: what one does to memory and interrupts, the other knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.domain.outcome import EndedBy
from pvisor.machine.console import ConsoleOutput, NoInput
from pvisor.para.grants import HostMapping
from pvisor.toolchain.build import build_guest
from pvisor.vmm.builder import build
from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.loop import RunLoop
from pvisor.vmm.run import run_domain
from pvisor.vmm.world import World

pytestmark = pytest.mark.needs_gcc

GUESTS = Path(__file__).parents[1] / "guests" / "hybrid"
TIERS = pytest.mark.parametrize("tier", ["native", "python"])


def run(name: str, tier: str, folder: Path) -> RunResult:
    elf = build_guest([GUESTS / f"{name}.c"], folder / f"{name}.elf", "hybrid").path
    result = run_domain(DomainConfig(elf, mode="hybrid", tier=tier, max_insns=20_000_000))
    assert (result.ending.ended_by, result.ending.status) == (EndedBy.GUEST, 0), result.ending
    return result


@TIERS
def test_code_that_the_host_has_written_over(tier: str, tmp_path: Path) -> None:
    said = run("written_code", tier, tmp_path).output.split(b"\n")
    assert said == [b"1", b"1", b"copied: 1 0", b"2", b"copied: 1 0", b"3", b""]


@TIERS
def test_an_upcall_that_nobody_wants_is_no_interrupt(tier: str, tmp_path: Path) -> None:
    assert run("waiting", tier, tmp_path).output == b"block: 0\npoll: 0\n" * 3


class Onlooker:
    """Maps a page of the guest, looks at it and writes to it, when the guest says so on its console."""

    def __init__(self, world: World, *, writable: bool) -> None:
        self._world = world
        self._writable = writable
        self._mapping: HostMapping | None = None
        self.said = b""
        self.seen: list[bytes] = []

    def watch(self, name: str, mode: str, tier: str, folder: Path) -> None:
        """Run a guest to its end."""
        elf = build_guest([GUESTS / f"{name}.c"], folder / f"{name}.elf", mode).path
        config = DomainConfig(elf, mode=mode, tier=tier, max_insns=20_000_000)
        machine = build(config, ConsoleOutput(self.hear), NoInput(), world=self._world)
        try:
            loop = RunLoop(machine.domain, machine.vcpus, on_kick=lambda: None, drain_trace=lambda: None)
            assert loop.run().ended_by is EndedBy.GUEST
        finally:
            machine.close()

    def hear(self, data: bytes) -> None:
        self.said += data
        word, _, number = data.partition(b" ")
        if word == b"map":
            self._mapping = self._world.grants.host_map(1, int(number), writable=self._writable)
        elif self._mapping is None:
            return
        elif word == b"look\n":
            self.seen.append(bytes(self._mapping.page[:8]))
        elif word == b"write\n" and self._writable:
            self._mapping.page[:4] = b"\x9c\x58\xb8\x02"
        elif word == b"entry":
            at, entry = map(int, number.split())
            self._mapping.page[at : at + 8] = entry.to_bytes(8, "little")
        elif word == b"unmap\n":
            self._mapping.close()


@TIERS
@pytest.mark.parametrize("mode", ["hybrid", "para"])
@pytest.mark.parametrize("writable", [False, True], ids=["read", "write"])
def test_code_that_others_look_at_is_as_the_guest_wrote_it(
    tier: str, mode: str, writable: bool, tmp_path: Path
) -> None:
    onlooker = Onlooker(World(), writable=writable)
    onlooker.watch("shown_code", mode, tier, tmp_path)
    lines = onlooker.said.split(b"\n")
    last = b"ran 2" if writable else b"ran 1"
    assert lines[:4] == [b"ran 1", b"copied 9c", b"ran 1", b"written \x9c\x58"]
    assert lines[5:] == [b"ran 1", b"look", b"ran 1", b"write", last, b"look", b"unmap", last, b""]
    now = "9c58b802000000c3" if writable else "9c58b801000000c3"
    assert [code.hex() for code in onlooker.seen] == ["9c58b801000000c3", now]


@TIERS
def test_a_table_that_others_write_to_holds_from_the_next_load_of_cr3_on(tier: str, tmp_path: Path) -> None:
    onlooker = Onlooker(World(), writable=True)
    onlooker.watch("shown_table", "hybrid", tier, tmp_path)
    lines = onlooker.said.split(b"\n")
    assert (lines[0], lines[2], lines[4:]) == (b"read 1", b"read 1", [b"read 2", b""])


@TIERS
def test_an_event_before_there_is_a_vector_keeps_no_later_one_away(tier: str, tmp_path: Path) -> None:
    assert run("late_upcall", tier, tmp_path).output == b"calls: 3\n"


@TIERS
def test_a_poll_with_interrupts_off_ends_when_its_time_comes(tier: str, tmp_path: Path) -> None:
    assert run("poll_masked", tier, tmp_path).output == b"poll: -62 after 1000 us\n"
