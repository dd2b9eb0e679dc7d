# SPDX-License-Identifier: GPL-2.0-or-later
"""PCI configuration I/O ports and reset control, and the diagnostic I/O ports, on a real bus."""

from __future__ import annotations

import pytest

from pvisor.full.diagnostics import DEBUG_CONSOLE, POST_CODE, DebugConsole, PostCode
from pvisor.full.pci import CONFIG, N_IOPORTS, PciConfig
from pvisor.full.platform import new_board_state
from pvisor.machine.console import ConsoleOutput
from pvisor.machine.ioports import IoPortBus


class Board:
    """A bus with the PCI I/O ports, which counts resets."""

    def __init__(self) -> None:
        self.n_resets = 0
        self.bus = IoPortBus()
        self.bus.attach(CONFIG, N_IOPORTS, PciConfig(self.reset))

    def reset(self) -> None:
        self.n_resets += 1


@pytest.fixture
def board() -> Board:
    return Board()


def test_the_address_register_shows_that_mechanism_1_is_there(board: Board) -> None:
    board.bus.write(0xCF8, 4, 0x8000_0000)
    assert board.bus.read(0xCF8, 4) == 0x8000_0000


def test_reserved_bits_of_the_address_register(board: Board) -> None:
    board.bus.write(0xCF8, 4, 0xFFFF_FFFF)
    assert board.bus.read(0xCF8, 4) == 0x80FF_FFFC


@pytest.mark.parametrize(
    ("ioport", "size_bytes"), [(0xCF8, 1), (0xCF8, 2), (0xCFA, 1), (0xCFA, 2), (0xCFB, 1), (0xCFA, 4)]
)
def test_narrow_accesses_go_past_the_address_register(board: Board, ioport: int, size_bytes: int) -> None:
    board.bus.write(0xCF8, 4, 0x8012_3440)
    board.bus.write(ioport, size_bytes, 0)
    assert board.bus.read(ioport, size_bytes) == (1 << 8 * size_bytes) - 1
    assert (board.bus.read(0xCF8, 4), board.n_resets) == (0x8012_3440, 0)


@pytest.mark.parametrize("address", [0, 0x8000_0000, 0x8000_F800, 0x80FF_FFFC])
@pytest.mark.parametrize(
    ("ioport", "size_bytes"), [(0xCFC, 4), (0xCFC, 2), (0xCFE, 2), (0xCFC, 1), (0xCFF, 1)]
)
def test_nobody_is_at_any_address(board: Board, address: int, ioport: int, size_bytes: int) -> None:
    board.bus.write(0xCF8, 4, address)
    board.bus.write(ioport, size_bytes, 0x1234)
    assert board.bus.read(ioport, size_bytes) == (1 << 8 * size_bytes) - 1
    assert not board.bus.unclaimed


def test_reset_control_resets_by_bit_2(board: Board) -> None:
    assert board.bus.read(0xCF9, 1) == 0
    board.bus.write(0xCF9, 1, 0xFB)
    assert (board.bus.read(0xCF9, 1), board.n_resets) == (0x02, 0)
    board.bus.write(0xCF9, 1, 0x06)
    assert (board.bus.read(0xCF9, 1), board.n_resets) == (0x02, 1)


def test_a_32_bit_write_over_reset_control_is_the_address(board: Board) -> None:
    board.bus.write(0xCF8, 4, 0x8000_0600)
    assert board.n_resets == 0


def test_a_wider_access_at_0xcf9_begins_with_reset_control(board: Board) -> None:
    board.bus.write(0xCF9, 2, 0x0002)
    assert board.bus.read(0xCF9, 2) == 0xFF02
    board.bus.write(0xCF9, 4, 0x0000_0004)
    assert board.n_resets == 1


def test_the_post_code(board: Board) -> None:
    post = PostCode(new_board_state())
    board.bus.attach(POST_CODE, 1, post)
    assert [post.code] == [None]
    board.bus.write(0x80, 1, 0x42)
    assert [post.code, board.bus.read(0x80, 1)] == [0x42, 0xFF]
    board.bus.write(0x80, 4, 0x1234_5678)
    assert post.code == 0x78


def test_the_debug_console(board: Board) -> None:
    output = ConsoleOutput()
    board.bus.attach(DEBUG_CONSOLE, 1, DebugConsole(output))
    for byte in b"hi\n":
        board.bus.write(0xE9, 1, byte)
    assert (board.bus.read(0xE9, 1), output.data) == (0xE9, b"hi\n")
