# SPDX-License-Identifier: GPL-2.0-or-later
"""System control ports A and B, as the PIIX3 data sheet has them."""

from __future__ import annotations

import pytest

from pvisor.full.platform import CONTROL_A, CONTROL_B, SystemControlA, SystemControlB, new_board_state
from pvisor.full.timer import IOPORT, N_IOPORTS, Pit
from pvisor.machine.ioports import IoPortBus
from pvisor.machine.lines import unconnected
from tests.machine.hand_clock import HandClock

REFRESH_NS = 15_086


class Board:
    """Both on a bus, with an 8254."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.a20: list[bool] = []
        self.n_resets = 0
        self.pit = Pit(self.clock.timers, unconnected)
        self.bus = IoPortBus()
        self.bus.attach(CONTROL_A, 1, SystemControlA(self.a20.append, self._reset))
        control_b = SystemControlB(
            self.pit.set_gate, self.pit.output, self.clock.timers.now, new_board_state()
        )
        self.bus.attach(CONTROL_B, 1, control_b)
        self.bus.attach(IOPORT, N_IOPORTS, self.pit)

    def _reset(self) -> None:
        self.n_resets += 1

    def out(self, ioport: int, *values: int) -> None:
        for value in values:
            self.bus.write(ioport, 1, value)

    def b(self, mask: int = 0xFF) -> int:
        return self.bus.read(CONTROL_B, 1) & mask


@pytest.fixture
def board() -> Board:
    return Board()


def test_firmware_has_switched_a20_on(board: Board) -> None:
    assert board.bus.read(CONTROL_A, 1) == 0x02
    assert board.a20 == [] and board.n_resets == 0


def test_a20_follows_bit_1(board: Board) -> None:
    board.out(CONTROL_A, 0x00, 0x02, 0xFE)
    assert board.a20 == [False, True, True]
    assert board.bus.read(CONTROL_A, 1) == 0xFE and board.n_resets == 0


def test_bit_0_resets_when_it_goes_from_0_to_1(board: Board) -> None:
    board.out(CONTROL_A, 0x03)
    assert board.n_resets == 1
    board.out(CONTROL_A, 0x03)
    assert board.n_resets == 1
    board.out(CONTROL_A, 0x02, 0x03)
    assert board.n_resets == 2


def test_port_b_begins_with_all_off(board: Board) -> None:
    assert board.b() == 0x20  # a stopped counter 2 in mode 3 has its output high


def test_what_is_written_reads_back_in_bits_0_to_3_only(board: Board) -> None:
    board.out(CONTROL_B, 0xFF)
    assert board.b(0xCF) == 0x0F
    board.out(CONTROL_B, 0xF0)
    assert board.b(0xCF) == 0


def test_refresh_turns_over_every_18_ticks_of_the_8254(board: Board) -> None:
    seen = []
    for _ in range(6):
        board.clock.advance(REFRESH_NS)
        seen.append(board.b(0x10))
        assert board.b(0x10) == seen[-1]  # reading does not turn it over
    assert seen == [0x10, 0, 0x10, 0, 0x10, 0]


def test_counter_2_is_gated_by_bit_0_and_seen_in_bit_5(board: Board) -> None:
    board.out(0x43, 0xB0)
    board.out(0x42, 100, 0)
    board.clock.advance(1_000_000)
    assert board.b(0x20) == 0
    board.out(CONTROL_B, 0x01)
    board.clock.advance(83_000)
    assert board.b(0x21) == 0x01
    board.clock.advance(1_000)
    assert board.b(0x21) == 0x21
