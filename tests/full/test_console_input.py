# SPDX-License-Identifier: GPL-2.0-or-later
"""The 16550A's receiver: bytes of the host, FIFO, trigger levels, the time-out of four characters. No CPU."""

from __future__ import annotations

import pytest

from pvisor.full.console import BAUD_CLOCK_HZ
from pvisor.machine.console import POLL_NS
from tests.full.uart_rig import FCR, IER, IIR, LCR, LSR, MCR, MSR, RBR, THR, TIMEOUT_NS, Rig
from tests.machine.typed import Live, Typed


def test_bytes_are_seen_at_their_times() -> None:
    rig = Rig(Typed(b"ab"))
    rig.clock.advance(999)
    assert rig.get(LSR) == 0x60
    rig.clock.advance(1)
    assert rig.get(LSR) == 0x61
    assert rig.get(RBR) == ord("a")
    assert rig.get(LSR) == 0x60
    assert rig.get(RBR) == ord("a"), "the single register keeps what it gave"
    rig.clock.advance(100)
    assert rig.get(RBR) == ord("b")


def test_nothing_is_lost_that_was_not_seen() -> None:
    rig = Rig(Typed(b"abc"))
    rig.clock.advance(10_000)
    rig.set_8n1(0xC7)
    rig.put(MCR, 0x1B)
    rig.put(THR, 0xAE)
    assert rig.get(RBR) == 0xAE, "a kernel that tests its UART does not meet the host's bytes"
    rig.put(MCR, 0x0B)
    assert rig.receive(3) == b"abc"
    assert rig.get(RBR) == 0, "an empty FIFO"


def test_switching_the_fifos_loses_what_was_received() -> None:
    rig = Rig(Typed(b"ab"))
    rig.clock.advance(1000)
    assert rig.get(LSR) & 1
    rig.put(FCR, 1)
    assert not rig.get(LSR) & 1
    rig.clock.advance(100)
    assert rig.get(LSR) & 1
    rig.put(FCR, 0)
    assert not rig.get(LSR) & 1


def begin_as_linux_does(rig: Rig) -> None:
    """Its 8250 driver: is there a UART, what can it; then the start, which empties and reads the receiver."""
    rig.put(IER, 0, 0x0F, 0)
    rig.put(MCR, 0x1A, 0x0B)
    rig.put(FCR, 1, 7, 0)
    for register in (LSR, RBR, IIR, MSR):
        rig.get(register)
    rig.put(LCR, 0x03)
    rig.put(IER, 5)
    rig.put(FCR, 1, 0x81)


@pytest.mark.parametrize("awaits_driver", (False, True))
def test_a_driver_that_begins(awaits_driver: bool) -> None:
    """Unlike the host of another kernel, that of one with such a driver waits for it."""
    rig = Rig(Typed(b"abcdef"), awaits_driver=awaits_driver)
    rig.clock.advance(10_000)
    if awaits_driver:
        assert not rig.get(LSR) & 1 and rig.get(RBR) == 0
    begin_as_linux_does(rig)
    rig.clock.advance(10_000_000)
    assert rig.irq
    assert rig.receive(6).rstrip(b"\0") == (b"abcdef" if awaits_driver else b"def")


def test_it_is_heard_once_and_for_all() -> None:
    """A driver masks interrupts while it prints; what has come meanwhile can be read. A reset begins anew."""
    rig = Rig(Typed(b"abc"), awaits_driver=True)
    begin_as_linux_does(rig)
    rig.put(IER, 0)
    rig.clock.advance(1000)
    assert rig.get(LSR) & 1
    assert rig.get(RBR) == ord("a")
    rig.uart.reset()
    rig.clock.advance(1000)
    assert not rig.get(LSR) & 1
    begin_as_linux_does(rig)
    assert rig.receive(2) == b"bc"


def test_a_full_receiver_holds_the_host_back() -> None:
    data = bytes(range(40))
    rig = Rig(Typed(data))
    rig.put(FCR, 1)
    rig.clock.advance(1_000_000)
    assert rig.get(LSR) == 0x61
    assert rig.uart._input.n_taken == 16  # type: ignore[attr-defined]
    assert rig.receive(40) == data
    assert rig.get(LSR) == 0x60, "no overrun"


def test_received_data_interrupt_without_fifos() -> None:
    rig = Rig(Typed(b"ab"))
    rig.put(IER, 1)
    rig.clock.advance(999)
    assert not rig.irq
    rig.clock.advance(1)
    assert rig.irq
    assert rig.get(IIR) == 4
    assert rig.irq, "reading IIR does not take it away"
    assert rig.get(RBR) == ord("a")
    assert not rig.irq
    rig.clock.advance(100)
    assert rig.levels == [False, True, False, True]


def test_data_that_waits_interrupts_when_that_is_enabled() -> None:
    rig = Rig(Typed(b"a"))
    rig.clock.advance(5000)
    assert not rig.irq
    rig.put(IER, 1)
    assert rig.irq
    rig.put(IER, 0)
    assert not rig.irq
    assert rig.get(IIR) == 1


@pytest.mark.parametrize(("fcr", "trigger"), [(0x01, 1), (0x41, 4), (0x81, 8), (0xC1, 14)])
def test_trigger_levels(fcr: int, trigger: int) -> None:
    rig = Rig(Typed(bytes(16)))
    rig.set_8n1(fcr)
    rig.put(IER, 1)
    rig.clock.advance(1000 + 100 * (trigger - 2))
    assert not rig.irq
    assert rig.get(IIR) == 0xC1
    rig.clock.advance(100)
    assert rig.irq
    assert rig.get(IIR) == 0xC4
    rig.get(RBR)
    assert not rig.irq, "below the level again"


def test_character_timeout() -> None:
    rig = Rig(Typed(b"abc"))
    rig.set_8n1(0x81)
    rig.put(IER, 1)
    last_ns = 1200
    rig.clock.advance(last_ns + TIMEOUT_NS - 1)
    assert not rig.irq
    rig.clock.advance(1)
    assert rig.irq
    assert rig.get(IIR) == 0xCC
    assert rig.irq, "only reading a byte takes it away"
    assert rig.get(RBR) == ord("a")
    assert rig.get(IIR) == 0xC1
    rig.clock.advance(TIMEOUT_NS)
    assert rig.get(IIR) == 0xCC, "reading restarts it while something is left"
    assert rig.receive(2) == b"bc"
    rig.clock.advance(10 * TIMEOUT_NS)
    assert rig.get(IIR) == 0xC1, "an empty FIFO has no time-out"


@pytest.mark.parametrize(("lcr", "n_bits"), [(0x00, 7), (0x03, 10), (0x07, 11), (0x0F, 12)])
def test_a_characters_time_is_that_of_the_line(lcr: int, n_bits: int) -> None:
    rig = Rig(Typed(b"a"))
    rig.put(LCR, 0x80)
    rig.put(0, 0x00)
    rig.put(1, 0x03)
    rig.put(LCR, lcr)
    rig.put(FCR, 0x41)
    rig.put(IER, 1)
    rig.clock.advance(1000 + 4 * n_bits * 16 * 0x300 * 10**9 // BAUD_CLOCK_HZ - 1)
    assert not rig.irq
    rig.clock.advance(1)
    assert rig.irq


def test_a_divisor_of_zero_hurts_nobody() -> None:
    rig = Rig(Typed(b"a"))
    rig.put(LCR, 0x80)
    rig.put(0, 0)
    rig.put(LCR, 3)
    rig.put(FCR, 0x41)
    rig.put(IER, 1)
    rig.clock.advance(1_000_000)
    assert rig.get(IIR) == 0xCC


def test_clearing_the_receiver_takes_data_and_timeout_away() -> None:
    rig = Rig(Typed(b"ab"))
    rig.set_8n1(0x41)
    rig.put(IER, 1)
    rig.clock.advance(1_000_000)
    assert rig.get(IIR) == 0xCC
    rig.put(FCR, 0x43)
    assert not rig.irq
    assert rig.get(LSR) == 0x60


def test_without_its_first_bit_fcr_has_no_effect() -> None:
    rig = Rig(Typed(b"a"))
    rig.clock.advance(1000)
    assert rig.get(LSR) == 0x61
    rig.put(FCR, 0xC6)
    assert rig.get(LSR) == 0x61
    assert rig.get(IIR) == 1
    assert rig.get(RBR) == ord("a")


def test_a_terminal_is_polled_at_a_measured_pace() -> None:
    live = Live()
    rig = Rig(live)
    for _ in range(1000):
        rig.get(LSR)
        rig.clock.advance(1000)
    assert live.n_polls == 1
    rig.clock.advance(POLL_NS)
    live.data = b"xy"
    assert rig.get(LSR) == 0x61
    assert rig.receive(2) == b"xy"


def test_a_terminal_is_polled_unasked_only_for_the_interrupt() -> None:
    live = Live()
    rig = Rig(live)
    rig.clock.advance(10 * POLL_NS)
    assert live.n_polls == 0
    rig.put(IER, 1)
    rig.clock.advance(10 * POLL_NS)
    assert 10 <= live.n_polls <= 12
    live.data = b"x"
    rig.clock.advance(POLL_NS)
    assert rig.irq
    n_polls = live.n_polls
    rig.clock.advance(10 * POLL_NS)
    assert live.n_polls == n_polls, "no room"
    assert rig.get(RBR) == ord("x")
    live.is_open = False
    rig.clock.advance(2 * POLL_NS)
    assert rig.clock.timers.next_due_ns is None


def test_an_idle_guest_is_woken_by_a_terminal() -> None:
    live = Live()
    rig = Rig(live)
    rig.put(IER, 1)
    rig.clock.advance(POLL_NS // 2)
    assert rig.uart.watch.hold()
    assert rig.clock.timers.next_due_ns is None
    live.data = b"x"
    rig.uart.watch.release()
    assert rig.irq


def test_a_guest_that_changes_its_mind_leaves_no_timers_behind() -> None:
    rig = Rig(Typed(b"abc", start_ns=10**9))
    rig.put(FCR, 0x81)
    for _ in range(1000):
        rig.put(IER, 1)
        rig.put(IER, 0)
    assert len(rig.clock.timers._heap) < 5
