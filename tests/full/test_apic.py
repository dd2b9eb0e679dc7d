# SPDX-License-Identifier: GPL-2.0-or-later
"""The local APIC by SDM 3A chapter 10, with no CPU: by register offset. Its timer: test_apic_timer.py."""

from __future__ import annotations

import pytest

from pvisor.full.apic_registers import Message
from tests.full.apic_board import ENABLED, MASKED, Board


@pytest.fixture
def board() -> Board:
    return Board()


# --- registers


def test_power_up_state(board: Board) -> None:
    board.reset()
    zero = (0x20, 0x80, 0x90, 0xA0, 0xB0, 0xC0, 0xD0, 0x280, 0x300, 0x310, 0x380, 0x390, 0x3E0)
    assert all(board[offset] == 0 for offset in zero)
    assert (board[0x30], board[0xE0], board[0xF0]) == (0x0005_0014, 0xFFFF_FFFF, 0xFF)
    assert all(board[0x320 + 16 * i] == MASKED for i in range(6))
    assert not (board.requested() | board.requested(0x100) | board.requested(0x180))


def test_entry_state_is_what_seabios_leaves(board: Board) -> None:
    assert (board[0xF0], board[0x350], board[0x360]) == (0x1FF, 0x8700, 0x8400)
    assert board.apic.read_base() == ENABLED


@pytest.mark.parametrize(
    ("offset", "reads"),
    [
        (0x20, 0xFF00_0000), (0x30, 0x0005_0014), (0x80, 0xFF), (0x90, 0), (0xA0, 0), (0xC0, 0),
        (0xD0, 0xFF00_0000), (0xE0, 0xFFFF_FFFF), (0xF0, 0x1FF), (0x100, 0), (0x180, 0), (0x270, 0),
        (0x310, 0xFF00_0000), (0x320, 0x3_00FF), (0x330, 0x1_07FF), (0x340, 0x1_07FF), (0x350, 0x1_A7FF),
        (0x360, 0x1_A7FF), (0x370, 0x1_00FF), (0x390, 0), (0x3E0, 0xB),
    ],
)  # fmt: skip
def test_writable_bits(board: Board, offset: int, reads: int) -> None:
    if offset == 0xA0:
        board[0x80] = 0
    board[offset] = 0xFFFF_FFFF
    assert board[offset] == reads


def test_icr_keeps_no_status_and_no_reserved_bits(board: Board) -> None:
    board.ipi(0xFFFF_FFFF)
    assert board[0x300] == 0x000C_CFFF


@pytest.mark.parametrize("size_bytes", [1, 2])
def test_only_32_bit_accesses_count(board: Board, size_bytes: int) -> None:
    board[0x80] = 0x55
    board.apic.write(0x80, size_bytes, 0x11)
    assert board.apic.read(0x80, size_bytes) == 0
    assert board[0x80] == 0x55


@pytest.mark.parametrize("offset", [0x84, 0x88, 0x8C, 0x81])
def test_only_aligned_accesses_count(board: Board, offset: int) -> None:
    board[0x80] = 0x55
    board[offset] = 0x11
    assert board[offset] == 0
    assert board[0x80] == 0x55
    assert board.errors() == 0


@pytest.mark.parametrize("offset", [0x00, 0x10, 0x40, 0x70, 0x290, 0x2F0, 0x3A0, 0x3D0, 0x3F0, 0x400, 0xFF0])
def test_reserved_addresses_are_errors(board: Board, offset: int) -> None:
    assert board[offset] == 0
    assert board.errors() == 0x80
    board[offset] = 0xFFFF_FFFF
    assert board.errors() == 0x80
    assert board.errors() == 0


# --- priorities, acknowledge, end of interrupt


def test_a_fixed_interrupt_from_request_to_end(board: Board) -> None:
    assert board.apic.receive(Message(0x41))
    assert board.asked and board.requested() == {0x41}
    assert board.apic.acknowledge() == 0x41
    assert not board.asked
    assert (board.requested(), board.requested(0x100)) == (set(), {0x41})
    assert board[0xA0] == 0x40
    board[0xB0] = 0
    assert (board.requested(0x100), board[0xA0], board.ended) == (set(), 0, [])


def test_the_highest_vector_is_first_and_nests(board: Board) -> None:
    for vector in (0x31, 0x52, 0x51):
        board.apic.receive(Message(vector))
    assert board.apic.acknowledge() == 0x52
    assert not board.asked, "0x51 is of the same class"
    board.apic.receive(Message(0x60))
    assert board.asked
    assert board.apic.acknowledge() == 0x60
    board[0xB0] = 0
    assert not board.asked
    assert board.requested(0x100) == {0x52}
    board[0xB0] = 0
    assert board.asked
    assert board.apic.acknowledge() == 0x51
    board[0xB0] = 0
    assert board.apic.acknowledge() == 0x31


def test_a_vector_can_wait_while_it_is_in_service(board: Board) -> None:
    board.apic.receive(Message(0x41))
    board.apic.acknowledge()
    board.apic.receive(Message(0x41))
    board.apic.receive(Message(0x41))
    assert not board.asked
    board[0xB0] = 0
    assert board.apic.acknowledge() == 0x41
    board[0xB0] = 0
    assert not board.asked


@pytest.mark.parametrize(
    ("tpr", "in_service", "ppr"),
    [(0x00, None, 0x00), (0x35, None, 0x35), (0x35, 0x41, 0x40), (0x47, 0x41, 0x47), (0x52, 0x41, 0x52)],
)
def test_processor_priority(board: Board, tpr: int, in_service: int | None, ppr: int) -> None:
    if in_service is not None:
        board.apic.receive(Message(in_service))
        board.apic.acknowledge()
    board[0x80] = tpr
    assert board[0xA0] == ppr


def test_task_priority_holds_its_class_and_those_below(board: Board) -> None:
    board[0x80] = 0x40
    board.apic.receive(Message(0x4F))
    assert not board.asked
    board.apic.receive(Message(0x50))
    assert board.asked
    board.apic.acknowledge()
    board[0xB0] = 0
    board[0x80] = 0x3F
    assert board.asked


def test_cr8_is_the_upper_half_of_tpr(board: Board) -> None:
    board[0x80] = 0x5A
    assert board.apic.cr8 == 5
    board.apic.receive(Message(0x61))
    board.apic.cr8 = 6
    assert board[0x80] == 0x60 and not board.asked
    board.apic.cr8 = 0
    assert board.asked


def test_a_request_that_went_away_is_the_spurious_vector(board: Board) -> None:
    board[0xF0] = 0x1EF
    board.apic.receive(Message(0x41))
    board[0x80] = 0x40
    assert board.apic.acknowledge() == 0xEF
    assert not board.requested(0x100), "it wants no EOI"
    assert board.requested() == {0x41}


def test_eoi_with_nothing_in_service_does_nothing(board: Board) -> None:
    board[0xB0] = 0
    assert board.ended == []


def test_a_level_interrupt_ends_with_a_broadcast(board: Board) -> None:
    board.apic.receive(Message(0x71, is_level=True))
    board.apic.receive(Message(0x72))
    assert board.requested(0x180) == {0x71}
    board.apic.acknowledge()
    board[0xB0] = 0
    assert board.ended == []
    board.apic.acknowledge()
    board[0xB0] = 0
    assert board.ended == [0x71]
    board.apic.receive(Message(0x71))
    assert board.requested(0x180) == set(), "TMR is set anew by each interrupt"


# --- messages


@pytest.mark.parametrize(
    ("destination", "is_logical", "ldr", "dfr", "accepted"),
    [
        (0, False, 0, 0xF, True), (1, False, 0, 0xF, False), (0xFF, False, 0, 0xF, True),
        (1, True, 0x01, 0xF, True), (6, True, 0x04, 0xF, True), (8, True, 0x04, 0xF, False),
        (1, True, 0x00, 0xF, False), (0xFF, True, 0x00, 0xF, True),
        (0x21, True, 0x21, 0x0, True), (0x23, True, 0x21, 0x0, True), (0x22, True, 0x21, 0x0, False),
        (0x31, True, 0x21, 0x0, False), (0xF1, True, 0x21, 0x0, True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("by_ipi", [False, True])
def test_destinations(
    board: Board, destination: int, is_logical: bool, ldr: int, dfr: int, accepted: bool, by_ipi: bool
) -> None:
    board[0xD0], board[0xE0] = ldr << 24, dfr << 28
    if by_ipi:
        board.ipi(0x41 | is_logical << 11, destination)
    else:
        message = Message(0x41, destination=destination, is_logical=is_logical)
        assert board.apic.receive(message) is accepted
    assert (board.requested() == {0x41}) is accepted


def test_the_id_can_be_changed(board: Board) -> None:
    board[0x20] = 0x0300_0000
    assert not board.apic.receive(Message(0x41))
    assert board.apic.receive(Message(0x41, destination=3))


@pytest.mark.parametrize("mode", [0, 1])
@pytest.mark.parametrize("level", [0, 1 << 14, 1 << 15, 3 << 14])
def test_an_ipi_is_an_edge_whatever_it_says(board: Board, mode: int, level: int) -> None:
    board.ipi(0x41 | mode << 8 | level)
    assert (board.requested(), board.requested(0x180)) == ({0x41}, set())


@pytest.mark.parametrize(("shorthand", "received"), [(1, True), (2, True), (3, False)])
def test_shorthands(board: Board, shorthand: int, received: bool) -> None:
    board.ipi(0x41 | shorthand << 18, destination=0x77)
    assert (board.requested() == {0x41}) is received


@pytest.mark.parametrize("shorthand", [1, 2])
@pytest.mark.parametrize("mode", [1, 2, 4, 5, 6])
def test_shorthands_with_self_are_for_fixed_interrupts(board: Board, shorthand: int, mode: int) -> None:
    board.ipi(0x41 | mode << 8 | shorthand << 18)
    assert not board.requested() and board.n_nmis == 0


def test_nmi_to_self(board: Board) -> None:
    board.ipi(0x400)
    assert board.n_nmis == 1
    assert not board.asked and board.errors() == 0


@pytest.mark.parametrize("mode", [2, 3, 5, 6, 7])
def test_smi_init_and_start_up_vanish(board: Board, mode: int) -> None:
    before = [board[offset] for offset in range(0x20, 0x3F0, 16) if offset not in (0x300, 0x310)]
    board.ipi(0x41 | mode << 8 | 1 << 14)
    assert not board.apic.receive(Message(0x41, mode))
    after = [board[offset] for offset in range(0x20, 0x3F0, 16) if offset not in (0x300, 0x310)]
    assert before == after and not board.asked


# --- errors


@pytest.mark.parametrize("vector", [0, 15])
def test_illegal_vectors(board: Board, vector: int) -> None:
    board.ipi(vector)
    assert board.errors() == 0x20
    assert not board.apic.receive(Message(vector))
    assert board.errors() == 0x40
    board[0x320], board[0x3E0], board[0x380] = vector, 0xB, 1
    board.clock.advance(1)
    assert board.errors() == 0x40
    assert not board.requested()


def test_esr_shows_what_was_collected_before_it_was_written(board: Board) -> None:
    board.ipi(0)
    assert board[0x280] == 0
    board[0x280] = 0
    board.apic.receive(Message(1))
    assert board[0x280] == 0x20
    board[0x280] = 0
    assert board[0x280] == 0x40


def test_the_error_interrupt_is_armed_by_writing_esr(board: Board) -> None:
    board[0x370] = 0xE1
    board.ipi(3)
    assert board.apic.acknowledge() == 0xE1
    board[0xB0] = 0
    board.ipi(3)
    assert not board.asked
    board[0x280] = 0
    board.ipi(3)
    assert board.asked


def test_an_error_interrupt_with_an_illegal_vector_ends(board: Board) -> None:
    board[0x370] = 0x05
    board.ipi(3)
    assert board.errors() == 0x60
    assert not board.asked
