# SPDX-License-Identifier: GPL-2.0-or-later
"""Domains on threads of the host: the same as alone, or the same in each run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pvisor.machine.stepped_switch import MAX_PUT_ASIDE, SteppedSwitch
from pvisor.machine.switch import LATENCY_NS, MAX_IN_FLIGHT
from pvisor.machine.timers import Timers
from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.hypervisor import HostedDomain, Hypervisor
from pvisor.vmm.step import STEP_NS
from tests.guests.elves import FOLDER

DEMOS = Path(__file__).parents[2] / "demos"

needs_gcc = pytest.mark.needs_gcc
MODES = ("full", "para", "hybrid")
Frames = list[tuple[int, bytes]]


@pytest.fixture(scope="module")
def elves(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The guest for each mode."""
    folder = tmp_path_factory.mktemp("threads")
    return {
        mode: build_guest([FOLDER / "pinger.c"], folder / f"{mode}.elf", mode).path for mode in MODES
    }  # fmt: skip


def facts(domain: HostedDomain) -> tuple[object, ...]:
    """What must be equal: all that is virtual."""
    stats = domain.stats
    exits = {label: row.count for label, row in stats.exits.items()}
    return domain.status, stats.output, stats.n_instructions, stats.virtual_ns, stats.idle_ns, exits


def talk(
    elves: dict[str, Path], modes: Sequence[str], n_threads: int, groups: Sequence[str] = ("", "")
) -> tuple[list[tuple[object, ...]], Frames, list[bytes]]:
    """One asks, one answers: the facts of both, the frames, the traces."""
    frames: Frames = []
    traces = [bytearray(), bytearray()]
    with Hypervisor(n_threads) as hv:
        hv.add_network("lan", lambda virtual_ns, frame: frames.append((virtual_ns, frame)))
        for i, (mode, words) in enumerate(zip(modes, ("ask 5", "answer 5"), strict=True)):
            config = DomainConfig(
                elves[mode], mode=mode, cmdline=words, net=True, network="lan", group=groups[i],
                max_insns=200_000_000,
            )  # fmt: skip

            def keep(records: Sequence[Any], into: bytearray = traces[i]) -> None:
                for record in records:
                    into += repr((record.virtual_ns, record.rip, record.reason, record.result)).encode()

            hv.create(config, trace=keep)
        hv.run()
        return [facts(domain) for domain in hv.domains], frames, [bytes(trace) for trace in traces]


@needs_gcc
@pytest.mark.parametrize("modes", [("para", "para"), ("hybrid", "para"), ("para", "full")])
def test_who_talks_over_a_network_meets_in_steps(elves: dict[str, Path], modes: tuple[str, str]) -> None:
    one, other, third = (talk(elves, modes, n_threads) for n_threads in (2, 2, 3))
    assert one == other == third
    found, frames, _ = one
    assert [fact[0] for fact in found] == [0, 0]
    assert str(found[0][1]).count("answer") == 5
    assert [virtual_ns for virtual_ns, _ in frames] == sorted(virtual_ns for virtual_ns, _ in frames)


@needs_gcc
def test_a_group_shares_a_cpu(elves: dict[str, Path]) -> None:
    grouped = talk(elves, ("para", "para"), 2, ("pair", "pair"))
    assert [fact[0] for fact in grouped[0]] == [0, 0]
    assert grouped == talk(elves, ("para", "para"), 2, ("pair", "pair"))


@needs_gcc
def test_who_talks_to_nobody_is_as_alone(elves: dict[str, Path], tmp_path: Path) -> None:
    guests = ("chatter.c", "run_data.c", "write_text.c")
    built = [
        (build_guest([FOLDER / name], tmp_path / f"{name}-{mode}.elf", mode).path, mode)
        for name in guests
        for mode in ("full", "para")
    ]

    def run(n_threads: int, which: Sequence[tuple[Path, str]]) -> list[tuple[object, ...]]:
        with Hypervisor(n_threads) as hv:
            for elf, mode in which:
                hv.create(DomainConfig(elf, mode=mode, max_insns=50_000_000))
            hv.run()
            return [facts(domain) for domain in hv.domains]

    alone = [run(1, [one])[0] for one in built]
    assert run(2, built) == alone
    assert run(4, built) == alone


@needs_gcc
@pytest.mark.parametrize("tier", ["native", "python"])
def test_several_vcpus_are_as_alone_beside_others(tmp_path: Path, tier: str) -> None:
    """Their turns are cut by the steps, and go on where they were."""
    two = build_guest(sorted((DEMOS / "04-events").glob("*.c")), tmp_path / "two.elf", "para").path
    store = build_guest([FOLDER / "sdk" / "store.c"], tmp_path / "store.elf", "para").path

    def run(n_threads: int, *elves: Path) -> list[tuple[object, ...]]:
        with Hypervisor(n_threads) as hv:
            for elf in elves:
                hv.create(DomainConfig(elf, "para", n_vcpus=2, tier=tier, max_insns=50_000_000))
            hv.run()
            return [facts(domain) for domain in hv.domains]

    alone = run(1, two)[0]
    beside = run(3, two, store, two)
    assert beside == run(2, two, store, two)
    assert beside[0] == beside[2] == alone
    assert beside[1][0] == 0


@pytest.fixture(scope="module")
def circle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guest that shares signals and pages with others."""
    return build_guest(
        [FOLDER / "para" / "circle.c"], tmp_path_factory.mktemp("circle") / "circle.elf", "para"
    ).path  # fmt: skip


def go_round(
    circle: Path, n_threads: int, groups: Sequence[str], tier: str = "native", max_insns: int = 50_000_000
) -> tuple[list[tuple[object, ...]], list[bytes]]:
    """One domain for each group: their facts and traces. Nothing is left in the hubs."""
    traces = [bytearray() for _ in groups]
    with Hypervisor(n_threads) as hv:
        for i, group in enumerate(groups):

            def keep(records: Sequence[Any], into: bytearray = traces[i]) -> None:
                for record in records:
                    into += repr((record.virtual_ns, record.rip, record.reason, record.result)).encode()

            words = f"{i + 1} {len(groups)}"
            config = DomainConfig(circle, "para", cmdline=words, group=group, tier=tier, max_insns=max_insns)
            hv.create(config, trace=keep)
        hv.run()
        world = hv._world
        assert not world.events.tables and not world.grants._tables and not world.store.clients
        assert not +world.meeting.ties and world.store.names("/domain") == ()
        return [facts(domain) for domain in hv.domains], [bytes(trace) for trace in traces]


@needs_gcc
@pytest.mark.parametrize("groups", [("", "", ""), ("pair", "", "pair"), ("", "")], ids=str)
def test_signals_pages_and_the_store_between_threads(circle: Path, groups: Sequence[str]) -> None:
    together, _ = go_round(circle, 1, groups)
    apart, traces = go_round(circle, 2, groups)
    assert [fact[0] for fact in apart] == [0] * len(groups)
    assert [fact[1] for fact in apart] == [fact[1] for fact in together], "they print the same"
    for n_threads in (2, 3, 4):
        assert go_round(circle, n_threads, groups) == (apart, traces)
    in_python, python_traces = go_round(circle, 2, groups, "python")
    assert (python_traces, [fact[:4] for fact in in_python]) == (traces, [fact[:4] for fact in apart])


@needs_gcc
@pytest.mark.parametrize("max_insns", [1_000, 3_000, 5_000, 8_000, 10_000, 12_000, 14_000])
def test_one_that_ends_in_the_middle_lets_go_at_a_meeting(circle: Path, max_insns: int) -> None:
    """The others hear of it, or wait for ever and are ended; `go_round` looks at what is left."""
    found = go_round(circle, 2, ("", "", ""), max_insns=max_insns)
    assert 124 in [fact[0] for fact in found[0]]
    assert found == go_round(circle, 3, ("", "", ""), max_insns=max_insns)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.timers = Timers(lambda: self.now_ns)
        self.came: list[tuple[int, bytes]] = []

    def receive(self, frame: bytes) -> None:
        self.came.append((self.now_ns, frame))

    def go_to(self, now_ns: int) -> None:
        while (due_ns := self.timers.next_due_ns) is not None and due_ns <= now_ns:
            self.now_ns = max(self.now_ns, due_ns)
            self.timers.run_due()
        self.now_ns = now_ns


def test_the_order_of_frames_is_that_of_virtual_time_whoever_was_first() -> None:
    def heard(order: Sequence[int]) -> Frames:
        seen: Frames = []
        switch = SteppedSwitch(lambda virtual_ns, frame: seen.append((virtual_ns, frame)))
        clocks = [Clock() for _ in range(3)]
        ports = [switch.attach(clock.timers, clock.receive) for clock in clocks]
        for who in order:
            for at_ns in (10, 20, 20, 30):
                clocks[who].now_ns = at_ns
                ports[who].send(b"\xff" * 6 + bytes([2, 0, 0, 0, 0, who]) + b"\x88\xb5" + bytes([at_ns]) * 50)
        assert not seen and switch.has_frames
        for clock in clocks:
            clock.now_ns = STEP_NS
        switch.pass_on(STEP_NS)
        assert not switch.has_frames
        for clock in clocks:
            clock.go_to(2 * STEP_NS)
            assert len(clock.came) == 8
            assert all(at_ns == max(STEP_NS, 30 + LATENCY_NS) for at_ns, _ in clock.came)
        return seen

    first = heard((0, 1, 2))
    assert first == heard((2, 0, 1)) == heard((1, 2, 0))
    assert [virtual_ns for virtual_ns, _ in first] == [10] * 3 + [20] * 6 + [30] * 3
    assert [frame[11] for _, frame in first] == [0, 1, 2, 0, 0, 1, 1, 2, 2, 0, 1, 2]


def test_what_is_put_aside_in_a_step_is_bounded_and_is_frames() -> None:
    switch = SteppedSwitch()
    clocks = [Clock() for _ in range(2)]
    sender, receiver = (switch.attach(clock.timers, clock.receive) for clock in clocks)
    frame = b"\xff" * 6 + bytes([2, 0, 0, 0, 0, 1]) + b"\x88\xb5" + bytes(46)
    for wrong in (b"", frame[:13], frame.ljust(1515, b"x")):
        sender.send(wrong)
    assert sender.n_refused == 3 and not switch.has_frames
    for _ in range(2):
        for _ in range(MAX_PUT_ASIDE + 2):
            sender.send(frame)
        switch.pass_on(STEP_NS)
    assert (sender.n_sent, sender.n_refused) == (2 * MAX_PUT_ASIDE, 3 + 2 * 2)
    assert receiver.n_lost == 2 * MAX_PUT_ASIDE - MAX_IN_FLIGHT
    switch.detach(sender)
    sender.send(frame)
    assert sender.n_refused == 8 and not switch.has_frames


def test_who_has_gone_is_not_remembered_by_a_frame_of_its_last_step() -> None:
    """Its address may be another's soon: a frame for it goes to all, not to nobody."""
    switch, clocks = SteppedSwitch(), [Clock() for _ in range(3)]
    ports = [switch.attach(clock.timers, clock.receive) for clock in clocks]
    gone = bytes([2, 0, 0, 0, 0, 7])
    ports[0].send(bytes([2, 0, 0, 0, 0, 8]) + gone + bytes(48))
    switch.detach(ports[0])
    switch.pass_on(STEP_NS)
    ports[1].send(gone + bytes([2, 0, 0, 0, 0, 9]) + bytes(48))
    switch.pass_on(STEP_NS)
    clocks[2].go_to(2 * STEP_NS)
    assert len(clocks[2].came) == 2, "the last of who has gone, and the one for it"
