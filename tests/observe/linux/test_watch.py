# SPDX-License-Identifier: GPL-2.0-or-later
"""A panic is noticed by the kernel's own state, when the guest does nothing else; others are left alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pvisor.cpu.exits import N_REASONS, ExitReason
from pvisor.domain.outcome import GUEST_RESET, STATUS_CRASH, EndedBy, Ending
from pvisor.observe.linux import watch
from pvisor.observe.linux.kernel import Kernel
from pvisor.observe.linux.symbols import Symbols
from tests.observe.linux import image

PANIC_CPU, PANIC_TIMEOUT, PRB = 0x100, 0x108, 0x1_0000
POWERED_OFF = Ending(EndedBy.GUEST, 0)


class Guest:
    """A machine with a kernel in it, as far as a watch looks at one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        view, base = image.kernel_view(), image.BASE_64
        rows = [(base + PANIC_CPU, "D", "panic_cpu"), (base + PANIC_TIMEOUT, "B", "panic_timeout")]
        rows.append((base, "d", "prb"))
        why = "Kernel panic - not syncing: why"
        messages = [(0, why), (1, f"---[ end {why} ]---")]
        image.printk_ring(view, base + PRB, messages, word_more=True)
        image.put(view, base, (base + PRB).to_bytes(8, "little"))
        self.view = view
        self.counters = [SimpleNamespace(count=0) for _ in range(N_REASONS)]
        vcpu = SimpleNamespace(v=SimpleNamespace(counters=self.counters), vcpu_id=0)
        machine: Any = SimpleNamespace(vcpu=vcpu)
        self.n_searches = 0
        self.kernel: Kernel | None = Kernel(view, Symbols(rows, "a test"), "Linux version 6")
        monkeypatch.setattr(watch, "find_kernel", self.find)
        monkeypatch.setattr(watch, "hold_inquest", lambda machine, kernel: "facts")
        self.set(PANIC_CPU, 0xFFFF_FFFF)
        self.watch = watch.KernelWatch()
        self.watch.begin(machine)

    def find(self, machine: object, symbols: object) -> Kernel | None:
        self.n_searches += 1
        return self.kernel

    def set(self, at: int, value: int) -> None:
        image.put(self.view, image.BASE_64 + at, value.to_bytes(4, "little"))

    def looks(self, n: int, reason: ExitReason | None = None, n_exits: int = 0) -> Ending | None:
        """So many looks with exits of a reason between them; the first ending."""
        for _ in range(n):
            if reason is not None:
                self.counters[reason].count += n_exits
            ending = self.watch.look()
            if ending is not None:
                return ending
        return None


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> Guest:
    return Guest(monkeypatch)


def test_a_kernel_that_delays_after_its_panic_has_crashed(guest: Guest) -> None:
    guest.set(PANIC_CPU, 0)
    ending = guest.looks(4, ExitReason.RDTSC, 2_000_000)
    assert ending == Ending(EndedBy.CRASH, STATUS_CRASH, "Kernel panic - not syncing: why")
    assert guest.watch.end(ending) == ending and guest.watch.facts is not None


def test_without_a_clock_it_takes_longer(guest: Guest) -> None:
    guest.set(PANIC_CPU, 0)
    assert guest.looks(watch.N_IDLE) is None
    assert guest.looks(1) is not None


@pytest.mark.parametrize("reason", watch.WORK)
def test_a_guest_that_works_is_not_even_examined(guest: Guest, reason: ExitReason) -> None:
    guest.set(PANIC_CPU, 0)
    assert guest.looks(200, reason, 1) is None and guest.n_searches == 0


def test_a_guest_that_delays_and_has_not_panicked_goes_on(guest: Guest) -> None:
    assert guest.looks(200, ExitReason.RDTSC, 2_000_000) is None
    assert guest.n_searches == 1, "it is searched once"


def test_one_that_will_reboot_by_itself_is_let(guest: Guest) -> None:
    guest.set(PANIC_CPU, 0)
    guest.set(PANIC_TIMEOUT, 10)
    assert guest.looks(200) is None
    ended = guest.watch.end(GUEST_RESET)
    assert (ended.ended_by, ended.status) == (EndedBy.CRASH, STATUS_CRASH)


def test_one_without_a_kernel_is_searched_ever_more_rarely(guest: Guest) -> None:
    guest.kernel = None
    assert guest.looks(1000) is None
    assert guest.n_searches < 12


def test_ends(guest: Guest) -> None:
    budget = Ending(EndedBy.BUDGET, 124, "time is over")
    assert guest.watch.end(POWERED_OFF) == POWERED_OFF and guest.n_searches == 0
    assert guest.watch.end(GUEST_RESET) == GUEST_RESET and guest.watch.facts is None
    assert guest.watch.end(budget) == budget and guest.watch.facts is not None
    guest.set(PANIC_CPU, 0)
    assert guest.watch.end(budget).status == STATUS_CRASH
