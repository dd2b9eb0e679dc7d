# SPDX-License-Identifier: GPL-2.0-or-later
"""The 8259 pair, as the 8259A and PIIX3 data sheets have it."""

from __future__ import annotations

import pytest

from pvisor.full.pic import ELCR, MASTER, SLAVE
from tests.full.pic_board import EOI, READ_ISR, SET_PRIORITY, PicBoard


@pytest.fixture
def board() -> PicBoard:
    return PicBoard()


# --- state at entry


def test_firmware_has_been_here() -> None:
    board = PicBoard(fresh=True)
    assert [board.bus.read(ioport, 1) for ioport in (0x21, 0xA1, 0x4D0, 0x4D1)] == [0xB8, 0x8E, 0x00, 0x0C]
    assert [board.bus.read(ioport, 1) for ioport in (0x20, 0xA0)] == [0, 0]  # IRR
    assert board.isr == (0, 0) and board.output == []
    board.raise_irq(8)
    assert board.pic.acknowledge() == 0x70
    board.raise_irq(0)
    assert board.pic.acknowledge() == 0x08


def test_what_firmware_masks_stays_quiet_until_it_is_unmasked() -> None:
    board = PicBoard(fresh=True)
    board.raise_irq(4)
    assert board.output == [] and board.irr == (0x10, 0)
    board.out(0x21, 0xA8)
    assert board.output == [True]


# --- the way of an interrupt


@pytest.mark.parametrize("irq", [irq for irq in range(16) if irq != 2])
def test_each_line_has_its_vector(board: PicBoard, irq: int) -> None:
    board.raise_irq(irq)
    assert board.output == [True]
    assert board.irr == ((1 << irq, 0) if irq < 8 else (4, 1 << irq - 8))
    assert board.pic.acknowledge() == 0x20 + irq
    assert board.output == [True, False]
    assert board.irr == (0, 0)
    assert board.isr == ((1 << irq, 0) if irq < 8 else (4, 1 << irq - 8))
    if irq >= 8:
        board.out(SLAVE, EOI)
    board.out(MASTER, EOI)
    assert board.isr == (0, 0) and board.output == [True, False]


def test_line_2_is_the_cascade_and_leads_nowhere(board: PicBoard) -> None:
    board.raise_irq(2)
    assert board.output == [] and board.irr == (0, 0)


def test_the_lowest_number_has_the_highest_priority_and_the_slave_counts_as_2(board: PicBoard) -> None:
    board.raise_irq(15, 7, 3, 8, 1, 0)
    assert board.take_all() == [0x20, 0x21, 0x28, 0x2F, 0x23, 0x27]


def test_a_higher_priority_interrupts_a_service_and_a_lower_waits_for_its_end(board: PicBoard) -> None:
    board.raise_irq(3)
    assert board.pic.acknowledge() == 0x23
    board.raise_irq(4)
    assert not board.has_interrupt
    board.raise_irq(1)
    assert board.has_interrupt and board.pic.acknowledge() == 0x21
    assert board.isr == (0x0A, 0)
    board.out(MASTER, EOI)  # of the highest in service: 1
    assert board.isr == (0x08, 0) and not board.has_interrupt
    board.out(MASTER, EOI)
    assert board.has_interrupt and board.pic.acknowledge() == 0x24


def test_nesting_in_the_slave_waits_for_the_masters_eoi(board: PicBoard) -> None:
    board.raise_irq(12)
    assert board.pic.acknowledge() == 0x2C
    board.raise_irq(8)
    assert not board.has_interrupt  # the master's input 2 is in service
    board.out(MASTER, EOI)
    assert board.has_interrupt and board.pic.acknowledge() == 0x28
    assert board.isr == (4, 0x11)


def test_the_special_fully_nested_mode_lets_the_slave_interrupt_itself(board: PicBoard) -> None:
    board.initialize(MASTER, 0x11, 0x20, 0x04, 0x11)
    board.raise_irq(12)
    assert board.pic.acknowledge() == 0x2C
    board.raise_irq(13, 3)
    assert not board.has_interrupt  # lower in the slave, and lower in the master
    board.raise_irq(8)
    assert board.has_interrupt and board.pic.acknowledge() == 0x28


# --- edge and level


def test_an_edge_counts_once_while_the_line_stays_high(board: PicBoard) -> None:
    board.raise_irq(4)
    assert board.take_all() == [0x24]
    board.raise_irq(4)  # the same level again
    assert not board.has_interrupt
    board.pic.lines[4](False)
    assert not board.has_interrupt
    board.raise_irq(4)
    assert board.take_all() == [0x24]


def test_an_edge_is_kept_until_it_is_acknowledged_as_in_qemu(board: PicBoard) -> None:
    board.pulse(6)
    assert board.has_interrupt and board.irr == (0x40, 0)
    assert board.take_all() == [0x26]


def test_a_level_asks_until_it_falls(board: PicBoard) -> None:
    board.out(0x4D0, 1 << 5)
    board.raise_irq(5)
    assert board.take_all(3) == [0x25] * 3
    assert board.irr == (1 << 5, 0)
    board.pic.lines[5](False)
    assert not board.has_interrupt and board.irr == (0, 0)


def test_a_level_at_the_slave_asks_again_after_each_end(board: PicBoard) -> None:
    board.out(0x4D1, 1 << 2)
    board.raise_irq(10)
    assert board.take_all(3) == [0x2A] * 3
    board.pic.lines[10](False)
    # The slave's INT made one more edge in the master: that is what a spurious interrupt is.
    assert board.pic.acknowledge() == 0x2F


def test_elcr_keeps_only_what_may_be_level_triggered(board: PicBoard) -> None:
    board.bus.write(ELCR, 2, 0xFFFF)
    assert board.bus.read(ELCR, 2) == 0xDEF8
    board.bus.write(ELCR, 2, 0x0000)
    assert board.bus.read(ELCR, 2) == 0


def test_elcr_takes_effect_on_a_line_that_is_high(board: PicBoard) -> None:
    board.raise_irq(11)
    assert board.take_all() == [0x2B]
    board.out(0x4D1, 1 << 3)
    assert board.has_interrupt
    board.out(0x4D1, 0)
    assert board.irr[1] == 0


def test_ltim_has_no_effect(board: PicBoard) -> None:
    board.initialize(MASTER, 0x19, 0x20, 0x04, 0x01)
    board.raise_irq(0)
    assert board.take_all(3) == [0x20]


# --- spurious interrupts


def test_a_request_that_is_masked_too_late_becomes_irq_7_without_service(board: PicBoard) -> None:
    board.raise_irq(3)
    board.out(0x21, 0xFF)
    assert board.output == [True, False]
    assert board.pic.acknowledge() == 0x27
    assert board.isr == (0, 0)


def test_a_slave_without_a_request_gives_irq_15_and_the_master_serves_input_2(board: PicBoard) -> None:
    board.raise_irq(8)
    board.out(0xA1, 0xFF)
    assert board.has_interrupt
    assert board.pic.acknowledge() == 0x2F
    assert board.isr == (4, 0)
    board.out(MASTER, EOI)
    assert not board.has_interrupt
    board.out(0xA1, 0x00)  # the edge of IRQ 8 is still there
    assert board.take_all() == [0x28]


def test_a_real_irq_7_is_in_service(board: PicBoard) -> None:
    board.raise_irq(7)
    assert board.pic.acknowledge() == 0x27 and board.isr == (0x80, 0)


# --- initialisation


def test_icw1_forgets_edges_services_mask_and_modes_but_not_elcr(board: PicBoard) -> None:
    board.out(0x4D0, 0x20)
    board.raise_irq(3, 4)
    board.pic.acknowledge()
    board.out(0x21, 0x0F)
    board.out(MASTER, SET_PRIORITY | 3)
    board.out(MASTER, READ_ISR)
    board.initialize(MASTER, 0x11, 0x40, 0x04, 0x01)
    assert board.bus.read(0x20, 1) == 0  # IRR is what is read, and the edge of 4 is gone
    assert board.bus.read(0x21, 1) == 0
    assert board.isr == (0, 0) and board.bus.read(0x4D0, 1) == 0x20
    board.raise_irq(4)  # high already: it must fall first
    assert not board.has_interrupt
    board.pic.lines[4](False)
    board.raise_irq(4, 1)
    assert board.pic.acknowledge() == 0x41  # priorities are as at first


def test_int_is_low_until_the_sequence_is_complete(board: PicBoard) -> None:
    board.out(MASTER, 0x11)
    board.raise_irq(1)
    for word in (0x20, 0x04):
        board.out(0x21, word)
        assert not board.has_interrupt
    board.out(0x21, 0x01)
    assert board.has_interrupt and board.pic.acknowledge() == 0x21


@pytest.mark.parametrize(("icw1", "n_words"), [(0x11, 3), (0x10, 2), (0x13, 2), (0x12, 1)])
def test_single_mode_leaves_out_icw3_and_ic4_adds_icw4(board: PicBoard, icw1: int, n_words: int) -> None:
    board.initialize(MASTER, icw1, *[0x50] + [0x01] * (n_words - 1))
    board.out(0x21, 0xFE)  # OCW1 now
    assert board.bus.read(0x21, 1) == 0xFE
    board.raise_irq(0)
    assert board.pic.acknowledge() == 0x50


def test_the_low_bits_of_icw2_do_not_matter(board: PicBoard) -> None:
    board.initialize(MASTER, 0x11, 0x27, 0x04, 0x01)
    board.raise_irq(1)
    assert board.pic.acknowledge() == 0x21


def test_a_sequence_can_be_begun_anew(board: PicBoard) -> None:
    board.initialize(MASTER, 0x11, 0x99)
    board.initialize(MASTER, 0x11, 0x30, 0x04, 0x01)
    board.raise_irq(0)
    assert board.pic.acknowledge() == 0x30


def test_a_level_pending_at_the_slave_survives_initialisation(board: PicBoard) -> None:
    board.out(0x4D1, 1 << 2)
    board.raise_irq(10)
    board.initialize(MASTER, 0x11, 0x20, 0x04, 0x01)
    board.initialize(SLAVE, 0x11, 0x28, 0x02, 0x01)
    assert board.take_all(1) == [0x2A]


def test_an_edge_pending_at_the_slave_leaves_nothing_behind(board: PicBoard) -> None:
    board.pulse(8)
    board.initialize(MASTER, 0x11, 0x20, 0x04, 0x01)
    board.initialize(SLAVE, 0x11, 0x28, 0x02, 0x01)
    assert not board.has_interrupt and board.irr == (0, 0)


def test_the_slave_is_heard_again_after_the_master_alone_was_initialised(board: PicBoard) -> None:
    board.raise_irq(8)
    board.initialize(MASTER, 0x11, 0x20, 0x04, 0x01)
    assert not board.has_interrupt  # the data sheet wants a new edge
    board.raise_irq(9)
    assert board.take_all() == [0x28, 0x29]
