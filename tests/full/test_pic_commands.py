# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands to the 8259s: automatic EOI, OCW2, OCW3, and nonsense. From the 8259A data sheet."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvisor.full.pic import ELCR, MASTER, SLAVE
from tests.full.pic_board import (
    EOI,
    NO_OPERATION,
    POLL,
    READ_IRR,
    READ_ISR,
    ROTATE_EOI,
    ROTATE_IN_AUTO_EOI_CLEAR,
    ROTATE_IN_AUTO_EOI_SET,
    ROTATE_SPECIFIC_EOI,
    SET_PRIORITY,
    SPECIAL_MASK_RESET,
    SPECIAL_MASK_SET,
    SPECIFIC_EOI,
    PicBoard,
)


@pytest.fixture
def board() -> PicBoard:
    return PicBoard()


# --- automatic end of interrupt


def test_aeoi_never_has_a_service(board: PicBoard) -> None:
    board.initialize(MASTER, 0x11, 0x20, 0x04, 0x03)
    board.raise_irq(3, 5)
    assert board.pic.acknowledge() == 0x23
    assert board.isr == (0, 0)
    assert board.has_interrupt and board.pic.acknowledge() == 0x25
    assert not board.has_interrupt


def test_aeoi_in_both_serves_all_of_the_slave(board: PicBoard) -> None:
    board.initialize(MASTER, 0x11, 0x20, 0x04, 0x03)
    board.initialize(SLAVE, 0x11, 0x28, 0x02, 0x03)
    board.raise_irq(9, 14, 15)
    assert [board.pic.acknowledge() for _ in range(3)] == [0x29, 0x2E, 0x2F]
    assert not board.has_interrupt and board.isr == (0, 0)


def test_rotation_in_aeoi_gives_turns(board: PicBoard) -> None:
    board.initialize(MASTER, 0x11, 0x20, 0x04, 0x03)
    board.out(MASTER, ROTATE_IN_AUTO_EOI_SET)
    board.pulse(0)
    board.pulse(1)
    assert board.pic.acknowledge() == 0x20
    board.pulse(0)
    assert [board.pic.acknowledge(), board.pic.acknowledge()] == [0x21, 0x20]
    board.out(MASTER, ROTATE_IN_AUTO_EOI_CLEAR)
    board.pulse(1)
    assert board.pic.acknowledge() == 0x21
    board.pulse(0)
    board.pulse(1)
    assert board.pic.acknowledge() == 0x21  # 1 has been highest since the rotation ended


# --- OCW2


def test_specific_eoi_ends_the_one_it_names(board: PicBoard) -> None:
    board.raise_irq(5)
    board.pic.acknowledge()
    board.raise_irq(1)
    board.pic.acknowledge()
    board.out(MASTER, SPECIFIC_EOI | 5)
    assert board.isr == (0x02, 0)
    board.out(MASTER, SPECIFIC_EOI | 6)  # not in service
    assert board.isr == (0x02, 0)


def test_rotate_on_eoi_makes_it_the_lowest(board: PicBoard) -> None:
    board.raise_irq(4)
    board.pic.acknowledge()
    board.out(MASTER, ROTATE_EOI)
    assert board.isr == (0, 0)
    board.pic.lines[4](False)
    board.raise_irq(3, 4, 5)
    assert board.take_all() == [0x25, 0x23, 0x24]


def test_rotate_on_specific_eoi_and_set_priority(board: PicBoard) -> None:
    board.raise_irq(6)
    board.pic.acknowledge()
    board.out(MASTER, ROTATE_SPECIFIC_EOI | 2)
    assert board.isr == (0x40, 0)
    board.out(MASTER, SPECIFIC_EOI | 6)
    board.raise_irq(1, 3)
    assert board.take_all() == [0x23, 0x21]
    board.out(MASTER, SET_PRIORITY | 7)  # as at first
    board.pic.lines[1](False)
    board.pic.lines[3](False)
    board.raise_irq(1, 3)
    assert board.take_all() == [0x21, 0x23]


@pytest.mark.parametrize("word", [NO_OPERATION, NO_OPERATION | 7, EOI, ROTATE_EOI])
def test_words_without_an_object_change_nothing(board: PicBoard, word: int) -> None:
    board.out(MASTER, word)
    board.raise_irq(0, 7)
    assert board.take_all() == [0x20, 0x27]


# --- OCW3


def test_the_register_to_read_stays_chosen(board: PicBoard) -> None:
    board.raise_irq(4)
    board.pic.acknowledge()
    board.raise_irq(6)
    assert board.register(MASTER, READ_ISR) == board.bus.read(0x20, 1) == 0x10
    board.out(MASTER, 0x08)  # RR clear: as before
    assert board.bus.read(0x20, 1) == 0x10
    assert board.register(MASTER, READ_IRR) == 0x40
    assert board.bus.read(0x21, 1) == 0  # the mask, whatever is chosen


def test_a_poll_is_an_acknowledge(board: PicBoard) -> None:
    board.out(MASTER, POLL)
    assert board.bus.read(0x20, 1) == 0
    board.raise_irq(5)
    assert board.register(MASTER, POLL) == 0x85
    assert not board.has_interrupt and board.isr == (0x20, 0)
    assert board.register(MASTER, READ_IRR) == 0


def test_a_poll_answers_at_the_mask_register_too_and_once(board: PicBoard) -> None:
    board.out(0x21, 0x0F)
    board.raise_irq(6)
    board.out(MASTER, POLL)
    assert board.bus.read(0x21, 1) == 0x86
    assert board.bus.read(0x21, 1) == 0x0F


def test_polling_both_finds_the_slaves_request(board: PicBoard) -> None:
    board.raise_irq(9)
    assert board.register(MASTER, POLL) == 0x82
    assert board.register(SLAVE, POLL) == 0x81
    assert board.isr == (4, 2) and not board.has_interrupt


def test_the_special_mask_mode_lets_lower_priorities_through(board: PicBoard) -> None:
    board.raise_irq(1)
    board.pic.acknowledge()
    board.raise_irq(5)
    assert not board.has_interrupt
    board.out(0x21, 0x02)
    assert not board.has_interrupt
    board.out(MASTER, SPECIAL_MASK_SET)
    assert board.has_interrupt and board.pic.acknowledge() == 0x25
    board.out(MASTER, EOI)  # of 5: a masked service is not ended by it
    assert board.isr == (0x02, 0)
    board.out(MASTER, EOI)
    assert board.isr == (0x02, 0)
    board.out(MASTER, 0x28)  # SMM without ESMM: no effect
    board.out(MASTER, SPECIAL_MASK_RESET)
    board.out(MASTER, EOI)
    assert board.isr == (0, 0)


# --- nonsense

IOPORTS = (0x20, 0x21, 0xA0, 0xA1, 0x4D0, 0x4D1)
STEPS = st.one_of(
    st.tuples(st.just("out"), st.sampled_from(IOPORTS), st.integers(0, 255)),
    st.tuples(st.just("in"), st.sampled_from(IOPORTS), st.just(0)),
    st.tuples(st.just("line"), st.integers(0, 15), st.integers(0, 1)),
    st.tuples(st.just("acknowledge"), st.just(0), st.just(0)),
)


@given(st.lists(STEPS, max_size=60))
def test_whatever_is_written_gives_bytes_and_a_true_output(steps: Sequence[tuple[str, int, int]]) -> None:
    board = PicBoard()
    for what, where, value in steps:
        if what == "out":
            board.out(where, value)
        elif what == "in":
            assert 0 <= board.bus.read(where, 1) <= 0xFF
        elif what == "line":
            board.pic.lines[where](bool(value))
        else:
            assert 0 <= board.pic.acknowledge() <= 0xFF
        assert board.has_interrupt == (board.pic.master.wanted() is not None)


@given(st.lists(STEPS, max_size=40))
def test_after_initialisation_nothing_is_stuck(steps: Sequence[tuple[str, int, int]]) -> None:
    board = PicBoard()
    for what, where, value in steps:
        if what == "out":
            board.out(where, value)
        elif what == "line":
            board.pic.lines[where](bool(value))
        elif what == "acknowledge":
            board.pic.acknowledge()
    for irq in range(16):
        board.pic.lines[irq](False)
    board.out(ELCR, 0)
    board.out(ELCR + 1, 0)
    board.initialize(MASTER, 0x11, 0x20, 0x04, 0x01)
    board.initialize(SLAVE, 0x11, 0x28, 0x02, 0x01)
    board.raise_irq(1, 9, 14)
    vectors = [vector for vector in board.take_all(8) if vector != 0x2F]
    assert vectors == [0x21, 0x29, 0x2E] and not board.has_interrupt
