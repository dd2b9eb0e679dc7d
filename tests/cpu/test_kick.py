# SPDX-License-Identifier: GPL-2.0-or-later
"""Asking for the CPU back, from another thread or by a signal: at a block's start, and nothing is lost."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pvisor.cpu.exits import ExitReason as R
from pvisor.cpu.shim import lib
from tests.cpu.conftest import MakeRig
from tests.cpu.rig import CODE, DATA, HLT, NOP, le, repeat

INC_DATA = b"\x48\xff\x04\x25" + le(DATA, 4)  # inc qword [DATA]: a load, an addition and a store
LOOP = 6
"""Where `repeat` begins again."""
SAFETY = 2_000_000_000
"""A budget that ends the run, and the test, where a kick never comes."""


@pytest.fixture
def helper() -> Iterator[Callable[[Callable[[], object]], threading.Event]]:
    """Call something again and again on another thread until the event is set; the test's end sets it."""
    threads: list[tuple[threading.Thread, threading.Event]] = []

    def start(act: Callable[[], object]) -> threading.Event:
        over = threading.Event()

        def work() -> None:
            while not over.wait(0.0002):
                act()

        thread = threading.Thread(target=work, daemon=True)
        threads.append((thread, over))
        thread.start()
        return over

    yield start
    for thread, over in threads:
        over.set()
        thread.join()


def test_many_kicks_lose_and_repeat_nothing(
    rig: MakeRig, helper: Callable[[Callable[[], object]], threading.Event]
) -> None:
    n = 4_000_000
    code = repeat(n, INC_DATA + INC_DATA) + HLT
    r = rig(code)
    over = helper(r.vcpu.kick)
    n_kicks = 0
    while r.run() is R.KICK:
        n_kicks += 1
        assert r.exit.rip == r.regs.rip
        assert r.exit.rip - CODE in (0, LOOP, len(code) - 1), "where a block begins"
        r.v.kick = 0
        if n_kicks == 200:
            over.set()
    assert r.exit.reason == R.HLT
    assert n_kicks > 0
    assert r.word(DATA) == 2 * n
    assert r.vcpu.n_instructions == 1 + 4 * n


def test_the_guest_runs_without_pythons_lock(rig: MakeRig) -> None:
    """The thread that kicks could not even start otherwise; the budget ends the run where it did not."""
    r = rig(repeat(0, NOP))  # 2^32 times
    r.v.budget = SAFETY

    def kick_later() -> None:
        time.sleep(0.02)
        r.vcpu.kick()

    thread = threading.Thread(target=kick_later)
    thread.start()
    reason = r.run()
    thread.join()
    assert reason.name == R.KICK.name


def test_a_kick_before_the_run_is_not_lost(rig: MakeRig) -> None:
    r = rig(NOP + HLT)
    r.vcpu.kick()
    r.expect(R.KICK, 0)
    r.expect(R.KICK, 0)
    r.v.kick = 0
    r.expect(R.HLT, 1)
    assert r.vcpu.n_instructions == 1
    assert r.v.exits_total == 0, "a kick is our own wish, not an exit of the guest"


def test_a_kick_inside_a_hook_stops_at_the_next_block(rig: MakeRig) -> None:
    r = rig(b"\xe6\x80" + NOP + b"\xeb\x00" + NOP + HLT)
    r.in_hook(r.vcpu.kick)
    r.expect(R.KICK, 5)
    assert r.vcpu.n_instructions == 3
    r.v.kick = 0
    r.expect(R.HLT, 6)


class _Signals:
    """SIGINT and SIGTERM with handlers of the test's own; what they were told."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self._before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in self._before:
            signal.signal(number, lambda number, frame: self.told.append(number))

    def restore(self) -> None:
        lib.pv_signals_restore()
        for number, handler in self._before.items():
            signal.signal(number, handler)


@pytest.fixture
def signals() -> Iterator[_Signals]:
    """The process's handlers, put back when the test ends."""
    own = _Signals()
    yield own
    own.restore()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_kicks_the_guest(rig: MakeRig, signals: _Signals, number: signal.Signals) -> None:
    r = rig(repeat(0, INC_DATA))
    r.v.budget = SAFETY
    assert lib.pv_signals_install() == 0
    assert lib.pv_signal_seen() == 0
    timer = threading.Timer(0.02, os.kill, (os.getpid(), number))
    timer.start()
    reason = r.run()
    timer.join()
    assert reason.name == R.KICK.name
    assert lib.pv_signal_seen() == number
    n = r.vcpu.n_instructions
    assert r.exit.rip - CODE == (LOOP if n else 0)
    assert r.word(DATA) == max(0, n - 1) // 3, "each instruction that was counted has run once"
    lib.pv_signals_restore()
    assert signals.told == []


def test_a_signal_kicks_every_vcpu(rig: MakeRig, signals: _Signals) -> None:
    rigs = [rig(NOP + HLT) for _ in range(3)]
    lib.pv_signals_install()
    os.kill(os.getpid(), signal.SIGINT)
    for r in rigs:
        r.expect(R.KICK, 0)


def test_restore_gives_the_handlers_back(signals: _Signals) -> None:
    lib.pv_signals_install()
    signal.raise_signal(signal.SIGINT)
    assert signals.told == []
    assert lib.pv_signal_seen() == signal.SIGINT
    lib.pv_signals_restore()
    signal.raise_signal(signal.SIGTERM)
    assert signals.told == [signal.SIGTERM]
    lib.pv_signals_install()
    assert lib.pv_signal_seen() == 0, "a new installation begins anew"


def test_restoring_twice_does_no_harm(signals: _Signals) -> None:
    lib.pv_signals_install()
    lib.pv_signals_restore()
    lib.pv_signals_restore()
    signal.raise_signal(signal.SIGINT)
    assert signals.told == [signal.SIGINT]


def test_a_closed_vcpu_is_not_kicked(rig: MakeRig, signals: _Signals) -> None:
    r = rig(HLT)
    lib.pv_signals_install()
    r.vcpu.close()
    r.vcpu.close()
    signal.raise_signal(signal.SIGINT)
    assert lib.pv_signal_seen() == signal.SIGINT


def test_two_vcpus_run_on_two_threads(rig: MakeRig) -> None:
    rigs = [rig(repeat(1_000_000, INC_DATA) + HLT) for _ in range(2)]
    ends: list[str] = []
    threads = [threading.Thread(target=lambda r=r: ends.append(r.run().name)) for r in rigs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == ["HLT", "HLT"]
    assert [(r.word(DATA), r.vcpu.n_instructions) for r in rigs] == [(1_000_000, 3_000_001)] * 2
