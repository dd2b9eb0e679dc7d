# SPDX-License-Identifier: GPL-2.0-or-later
"""The switch: who gets a frame, when, and what is dropped."""

from __future__ import annotations

from typing import Any

import pytest

from pvisor.machine import switch as switch_module
from pvisor.machine.switch import AGEING_NS, LATENCY_NS, MAX_IN_FLIGHT, Port, Switch
from tests.machine.hand_clock import HandClock

BROADCAST = b"\xff" * 6
GROUP = bytes.fromhex("01005e000001")


def address(n: int) -> bytes:
    return bytes((2, 0, 0, 0, n >> 8, n & 0xFF))


def frame(destination: bytes, source: bytes, n_bytes: int = 60) -> bytes:
    return (destination + source + b"\x88\xb5").ljust(n_bytes, b"x")[:n_bytes]


class Bench:
    """A switch with stations; each notes what it hears, and when. Station n has address(n)."""

    def __init__(self, n_stations: int = 3, **options: Any) -> None:
        self.clock = HandClock()
        self.switch = Switch(**options)
        self.heard: list[tuple[int, int, bytes]] = []
        self.ports = [self.add(i) for i in range(n_stations)]

    def add(self, i: int, clock: HandClock | None = None) -> Port:
        mine = clock or self.clock

        def hear(data: bytes) -> None:
            self.heard.append((i, mine.now_ns, data))

        return self.switch.attach(mine.timers, hear)

    def send(self, i: int, destination: bytes, n_bytes: int = 60) -> set[int]:
        """Let station i send; who hears it?"""
        self.heard.clear()
        self.ports[i].send(frame(destination, address(i), n_bytes))
        assert self.heard == [], "nothing arrives inside send"
        self.clock.advance(LATENCY_NS)
        return {who for who, _, _ in self.heard}


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("destination", [BROADCAST, GROUP, address(77)])
def test_groups_and_strangers_go_to_all_others(bench: Bench, destination: bytes) -> None:
    assert bench.send(0, destination) == {1, 2}


def test_addresses_are_learnt_from_senders(bench: Bench) -> None:
    assert bench.send(0, address(1)) == {1, 2}
    assert bench.send(1, address(0)) == {0}
    assert bench.send(2, address(1)) == {1}
    assert bench.send(0, BROADCAST) == {1, 2}


def test_no_frame_goes_back_to_its_port(bench: Bench) -> None:
    bench.send(0, BROADCAST)
    assert bench.send(0, address(0)) == set()


def test_an_address_that_moves_is_followed(bench: Bench) -> None:
    bench.send(0, BROADCAST)
    bench.ports[2].send(frame(BROADCAST, address(0)))
    bench.clock.advance(LATENCY_NS)
    assert bench.send(1, address(0)) == {2}


def test_a_group_is_never_learnt(bench: Bench) -> None:
    bench.ports[0].send(frame(BROADCAST, GROUP))
    bench.clock.advance(LATENCY_NS)
    assert bench.send(1, GROUP) == {0, 2}


def test_a_frame_arrives_after_the_latency_whole(bench: Bench) -> None:
    bench.clock.advance(5)
    sent = frame(address(1), address(0), 1514)
    bench.ports[0].send(sent)
    bench.clock.advance(LATENCY_NS - 1)
    assert bench.heard == []
    bench.clock.advance(1)
    assert bench.heard == [(1, 5 + LATENCY_NS, sent), (2, 5 + LATENCY_NS, sent)]


def test_frames_arrive_in_the_order_of_sending(bench: Bench) -> None:
    bench.send(1, BROADCAST)
    bench.heard.clear()
    sent = [frame(address(1), address(i % 3 * 2), 60 + i) for i in range(9) if i % 3 != 2]
    for i, data in enumerate(sent):
        bench.ports[i % 2 * 2].send(data)
    bench.clock.advance(LATENCY_NS)
    assert [data for who, _, data in bench.heard if who == 1] == sent


@pytest.mark.parametrize(
    ("n_bytes", "fits"), [(0, 0), (13, 0), (14, 1), (59, 1), (60, 1), (1514, 1), (1515, 0), (70000, 0)]
)
def test_sizes(bench: Bench, n_bytes: int, fits: int) -> None:
    bench.ports[0].send(frame(BROADCAST, address(0), n_bytes))
    bench.clock.advance(LATENCY_NS)
    assert len(bench.heard) == 2 * fits
    assert (bench.ports[0].n_sent, bench.ports[0].n_refused) == (fits, 1 - fits)


def test_a_port_has_only_so_many_frames_on_their_way(bench: Bench) -> None:
    for _ in range(MAX_IN_FLIGHT + 5):
        bench.ports[0].send(frame(BROADCAST, address(0)))
    bench.clock.advance(LATENCY_NS)
    assert [port.n_lost for port in bench.ports] == [0, 5, 5]
    assert [port.n_received for port in bench.ports] == [0, MAX_IN_FLIGHT, MAX_IN_FLIGHT]
    assert bench.send(0, BROADCAST) == {1, 2}


def test_a_silent_address_is_forgotten(bench: Bench) -> None:
    bench.send(0, BROADCAST)
    bench.clock.advance(AGEING_NS - LATENCY_NS)
    assert bench.send(1, address(0)) == {0}
    assert bench.send(1, address(0)) == {0, 2}


def test_one_that_speaks_is_not(bench: Bench) -> None:
    bench.send(0, BROADCAST)
    bench.clock.advance(AGEING_NS // 2)
    bench.send(0, BROADCAST)
    bench.clock.advance(AGEING_NS // 2 + LATENCY_NS)
    assert bench.send(1, address(0)) == {0}


def test_the_table_is_bounded_and_the_most_silent_goes_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switch_module, "MAX_ADDRESSES", 4)
    for i in (10, 11, 12, 13, 10, 14):  # 11 is the one unheard for longest when 14 comes
        bench.ports[0].send(frame(BROADCAST, address(i)))
    bench.clock.advance(LATENCY_NS)
    known = {i for i in range(10, 15) if bench.send(1, address(i)) == {0}}
    assert known >= {10, 13, 14} and 11 not in known


def test_each_frame_is_seen_once_with_its_time() -> None:
    seen: list[tuple[int, bytes]] = []
    bench = Bench(on_frame=lambda at_ns, data: seen.append((at_ns, data)))
    bench.clock.advance(7)
    bench.send(0, BROADCAST)
    bench.send(1, address(0), 13)
    bench.send(0, address(0))
    assert seen == [
        (7, frame(BROADCAST, address(0))),
        (7 + 2 * LATENCY_NS, frame(address(0), address(0))),
    ]


def test_two_clocks(bench: Bench) -> None:
    """What is sent at t is due at t + LATENCY_NS by the receiver's clock; at once when that is over."""
    other = HandClock()
    bench.ports.append(bench.add(3, other))
    bench.clock.advance(500)
    bench.ports[0].send(frame(BROADCAST, address(0)))
    other.advance(500 + LATENCY_NS - 1)
    assert bench.heard == []
    other.advance(1)
    assert [(who, at_ns) for who, at_ns, _ in bench.heard] == [(3, 500 + LATENCY_NS)]
    other.advance(1_000_000)
    bench.ports[0].send(frame(BROADCAST, address(0)))
    bench.heard.clear()
    other.timers.run_due()
    assert [(who, at_ns) for who, at_ns, _ in bench.heard] == [(3, other.now_ns)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_turns_no_longer_than_the_latency_may_have_any_order(order: tuple[int, int]) -> None:
    """Two domains that send by their own clocks see the same, whoever has its turn first."""
    clocks = (HandClock(), HandClock())
    switch = Switch()
    heard: list[list[tuple[int, bytes]]] = [[], []]

    def join(i: int) -> Port:
        return switch.attach(clocks[i].timers, lambda data: heard[i].append((clocks[i].now_ns, data)))

    ports = [join(0), join(1)]
    for i, clock in enumerate(clocks):
        for n in range(20):
            data = frame(BROADCAST, address(i), 60 + n)
            clock.timers.at(n * 7_001 + i, lambda port=ports[i], data=data: port.send(data))  # type: ignore[misc]
    for _ in range(20):
        for i in order:
            clocks[i].advance(LATENCY_NS)
    for i in (0, 1):
        expected = [
            (n * 7_001 + (1 - i) + LATENCY_NS, frame(BROADCAST, address(1 - i), 60 + n)) for n in range(20)
        ]
        assert heard[i] == expected


def test_a_pulled_plug(bench: Bench) -> None:
    bench.send(1, BROADCAST)
    bench.ports[0].send(frame(address(1), address(0)))
    bench.switch.detach(bench.ports[1])
    bench.heard.clear()
    bench.clock.advance(LATENCY_NS)
    assert bench.heard == []
    assert bench.send(0, address(1)) == {2}
    assert bench.send(1, BROADCAST) == set()
    assert bench.ports[1].n_refused == 1
