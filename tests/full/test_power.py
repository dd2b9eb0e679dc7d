# SPDX-License-Identifier: GPL-2.0-or-later
"""Power management registers by ACPI 6.5, 4.8.3, and PIIX4's APM control port."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvisor.domain.outcome import EndedBy, Ending
from pvisor.full import power
from pvisor.machine.ioports import IoPortBus
from tests.machine.hand_clock import HandClock

TIMER_HZ = 3_579_545
HALF = 1 << 23
STATUS, ENABLE, CONTROL, TIMER = 0x600, 0x602, 0x604, 0x608


class Board:
    """The registers on a bus, with a clock by hand."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.endings: list[Ending] = []
        self.sci: list[bool] = []
        self.bus = IoPortBus()
        control = power.PowerControl(self.endings.append)
        timer = power.PmTimer(self.clock.timers.now)
        self.bus.attach(power.PM1A_EVT, 4, power.PowerEvents(self.clock.timers, timer, self.sci.append))
        self.bus.attach(power.PM1A_CNT, 2, control)
        self.bus.attach(power.PM_TMR, 4, timer)
        self.bus.attach(power.APM_CONTROL, 2, power.ApmControl(control))

    def pass_ticks(self, ticks: int) -> None:
        """Let the PM timer count to at least this many ticks from the start."""
        self.clock.advance(-(-ticks * 1_000_000_000 // TIMER_HZ) - self.clock.now_ns)


@pytest.fixture
def board() -> Board:
    return Board()


def test_the_state_at_the_start(board: Board) -> None:
    assert [board.bus.read(at, 2) for at in (STATUS, ENABLE, CONTROL)] == [0, 0, 0]
    assert board.bus.read(TIMER, 4) == 0


def test_power_off(board: Board) -> None:
    board.bus.write(CONTROL, 2, 1 << 13 | 1 << 10)  # S1: nothing happens
    assert not board.endings
    assert board.bus.read(CONTROL, 2) == 1 << 10
    board.bus.write(CONTROL, 2, 1 << 13)
    assert [ending.ended_by for ending in board.endings] == [EndedBy.GUEST]


def test_power_off_by_the_upper_byte(board: Board) -> None:
    board.bus.write(CONTROL + 1, 1, 0x20)
    assert [ending.status for ending in board.endings] == [0]


def test_acpi_is_switched_by_the_apm_control_port(board: Board) -> None:
    board.bus.write(0xB2, 1, 0x55)
    assert board.bus.read(CONTROL, 2) == 0
    board.bus.write(0xB2, 1, 0xF1)
    assert (board.bus.read(CONTROL, 2), board.bus.read(0xB2, 1)) == (1, 0xF1)
    board.bus.write(0xB3, 1, 0xF0)
    assert (board.bus.read(CONTROL, 2), board.bus.read(0xB3, 1)) == (1, 0xF0)
    board.bus.write(0xB2, 1, 0xF0)
    assert board.bus.read(CONTROL, 2) == 0


def test_the_timer_counts_at_its_rate_and_wraps_at_24_bits(board: Board) -> None:
    board.clock.advance(1_000_000_000)
    assert board.bus.read(TIMER, 4) == TIMER_HZ
    board.pass_ticks((1 << 24) + 5)
    assert board.bus.read(TIMER, 4) == 5
    board.bus.write(TIMER, 4, 0xFFFF_FFFF)
    assert board.bus.read(TIMER, 4) == 5
    board.pass_ticks((1 << 24) + 0x12_3456)
    assert [board.bus.read(TIMER + i, 1) for i in range(4)] == [0x56, 0x34, 0x12, 0]


def test_the_timer_status_is_set_by_each_change_of_the_highest_bit(board: Board) -> None:
    board.pass_ticks(HALF - 1)
    assert board.bus.read(STATUS, 2) == 0
    board.pass_ticks(HALF)
    assert board.bus.read(STATUS, 2) == 1
    board.bus.write(STATUS, 2, 0xFFFE)
    assert board.bus.read(STATUS, 2) == 1, "a zero clears nothing"
    board.bus.write(STATUS, 2, 1)
    assert board.bus.read(STATUS, 2) == 0
    board.pass_ticks(2 * HALF)
    assert board.bus.read(STATUS, 2) == 1
    assert not any(board.sci), "not enabled"


def test_the_sci_is_held_while_an_enabled_status_is_set(board: Board) -> None:
    board.bus.write(ENABLE, 2, 1)
    board.pass_ticks(HALF - 1)
    assert not any(board.sci)
    board.pass_ticks(HALF)
    assert board.sci[-1] is True
    board.bus.write(STATUS, 2, 1)
    assert board.sci[-1] is False
    board.pass_ticks(2 * HALF)
    assert board.sci[-1] is True
    board.bus.write(ENABLE, 2, 0)
    assert board.sci[-1] is False
    board.bus.write(ENABLE, 2, 1)
    assert board.sci[-1] is True, "the status is still set"


def test_enabling_late_raises_at_once(board: Board) -> None:
    board.pass_ticks(HALF + 7)
    board.bus.write(ENABLE, 2, 1)
    assert board.sci[-1] is True


def test_status_and_enable_by_bytes_and_at_once(board: Board) -> None:
    board.bus.write(ENABLE + 1, 1, 0x05)
    board.bus.write(ENABLE, 1, 0x20)
    assert board.bus.read(ENABLE, 2) == 0x0520
    board.pass_ticks(HALF)
    assert board.bus.read(STATUS, 4) == 0x0520_0001
    board.bus.write(STATUS, 4, 0x0001_0001)
    assert board.bus.read(STATUS, 4) == 0x0001_0000
    assert board.clock.timers.next_due_ns is not None


ACCESS = st.tuples(
    st.integers(0x5FD, 0x60E), st.sampled_from((1, 2, 4)), st.integers(0, 0xFFFF_FFFF), st.booleans()
)


@given(st.lists(ACCESS, max_size=40), st.integers(0, 10_000_000_000))
def test_nonsense_does_no_harm(accesses: list[tuple[int, int, int, bool]], pause_ns: int) -> None:
    board = Board()
    for ioport, size, value, is_write in accesses:
        if is_write:
            board.bus.write(ioport, size, value & ((1 << 8 * size) - 1))
        else:
            assert 0 <= board.bus.read(ioport, size) < 1 << 8 * size
        board.clock.advance(pause_ns)
    assert board.bus.read(CONTROL, 2) >> 13 & 1 == 0
