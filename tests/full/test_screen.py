# SPDX-License-Identifier: GPL-2.0-or-later
"""The CGA's CRTC, its status bits by the beam's place, and what a viewer sees of the text memory. No CPU."""

from __future__ import annotations

import pytest

from pvisor.full.screen import (
    CHARACTERS,
    DOT_HZ,
    FRAME_LINES,
    LINE_DOTS,
    PALETTE,
    TEXT_GPA,
    Cell,
    Cursor,
    Screen,
)
from pvisor.machine.memory import GuestMemory

INDEX, REGISTER, MODE, COLOUR, STATUS = 4, 5, 8, 9, 0xA
FRAME_NS = FRAME_LINES * LINE_DOTS * 10**9 / DOT_HZ


class Rig:
    """A screen, its memory, and a clock to set."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.screen = Screen(lambda: self.now_ns)
        self.memory = GuestMemory(1 << 20)
        self.screen.clear(self.memory)

    def set(self, index: int, value: int) -> None:
        """A CRTC register."""
        self.screen.write(INDEX, 1, index)
        self.screen.write(REGISTER, 1, value)

    def get(self, index: int) -> int:
        """A CRTC register."""
        self.screen.write(INDEX, 1, index)
        return self.screen.read(REGISTER, 1)

    def show(self, row: int, column: int, text: bytes, attribute: int = 7, start: int = 0) -> None:
        """What a guest does."""
        data = b"".join(bytes((character, attribute)) for character in text)
        self.memory.write(TEXT_GPA + (2 * (start + 80 * row + column)) % 0x4000, data)

    def text(self) -> list[str]:
        """What a viewer sees, without the blanks at the end."""
        return [line.rstrip() for line in self.screen.text(self.memory)]


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_at_entry_the_screen_is_blank(rig: Rig) -> None:
    lines = rig.screen.text(rig.memory)
    assert lines == [" " * 80] * 25
    assert rig.screen.cells(rig.memory)[24][79] == Cell(" ", 7, 0, False)
    assert rig.screen.cursor == Cursor(0, 0, 6, 7)
    assert (rig.screen.is_text, rig.screen.n_columns, rig.screen.border) == (True, 80, 0)


def test_text_is_where_it_was_written(rig: Rig) -> None:
    rig.show(0, 0, b"top left")
    rig.show(24, 72, b"the end!")
    assert rig.text()[0] == "top left"
    assert rig.text()[24] == " " * 72 + "the end!"


def test_characters_of_code_page_437(rig: Rig) -> None:
    rig.show(0, 0, bytes((1, 0x13, 0x7F, 0x81, 0xC9, 0xCD, 0xDB, 0xE1, 0xFE)))
    assert rig.text()[0] == "☺‼⌂ü╔═█ß■"
    assert len(CHARACTERS) == 256
    assert CHARACTERS[0] == CHARACTERS[0x20] == CHARACTERS[0xFF] == " "
    assert all(c.isprintable() for c in CHARACTERS)


def test_attributes(rig: Rig) -> None:
    rig.show(0, 0, b"x", 0x1E)
    rig.show(0, 1, b"y", 0xC4)
    row = rig.screen.cells(rig.memory)[0]
    assert row[0] == Cell("x", 14, 1, False)
    assert row[1] == Cell("y", 4, 4, True)
    rig.screen.write(MODE, 1, 0x09)
    assert rig.screen.cells(rig.memory)[0][1] == Cell("y", 4, 12, False), "not blinking: a bright background"
    assert (PALETTE[6], PALETTE[14]) == ("#aa5500", "#ffff55")


def test_what_was_written(rig: Rig) -> None:
    """Without blanks at the ends of lines, nor empty lines below; those above stay."""
    assert rig.screen.picture(rig.memory).written() == ()
    rig.show(2, 3, b"two  words  ")
    rig.show(4, 0, b"\0\xff ")
    assert rig.screen.picture(rig.memory).written() == ("", "", "   two  words")


def test_pictures_are_equal_when_they_look_the_same(rig: Rig) -> None:
    before = rig.screen.picture(rig.memory)
    rig.memory.write(TEXT_GPA + 4000, b"beyond")
    assert rig.screen.picture(rig.memory) == before
    rig.set(0x0F, 1)
    assert rig.screen.picture(rig.memory) != before


def test_the_start_address_scrolls_and_wraps(rig: Rig) -> None:
    rig.show(0, 0, b"first")
    rig.show(1, 0, b"second")
    rig.set(0x0D, 80)
    assert rig.text()[0] == "second"
    start = 0x2000 - 80
    rig.set(0x0C, start >> 8)
    rig.set(0x0D, start & 0xFF)
    assert rig.text()[1:3] == ["first", "second"]
    rig.set(0x0C, 0xFF)
    rig.set(0x0D, 0xFF)
    assert len(rig.screen.text(rig.memory)) == 25


def test_the_cursor_moves_with_its_registers(rig: Rig) -> None:
    rig.set(0x0E, (80 * 3 + 5) >> 8)
    rig.set(0x0F, (80 * 3 + 5) & 0xFF)
    assert rig.screen.cursor == Cursor(3, 5, 6, 7)
    rig.set(0x0A, 0x00)
    rig.set(0x0B, 0x0F)
    assert rig.screen.cursor == Cursor(3, 5, 0, 15)
    rig.set(0x0D, 80)
    assert rig.screen.cursor == Cursor(2, 5, 0, 15), "places are counted from the start address"
    rig.set(0x0A, 0x20)
    assert rig.screen.cursor is None
    rig.set(0x0A, 0x06)
    rig.set(0x0E, 0x08)
    assert rig.screen.cursor is None, "below the last line"
    rig.set(0x0E, 0)
    rig.set(0x0B, 0x05)
    assert rig.screen.cursor is None, "it would end before it begins"


def test_registers_can_be_read(rig: Rig) -> None:
    assert [rig.get(i) for i in range(16)] == list(
        bytes.fromhex("71 50 5a 0a 1f 06 19 1c 02 07 06 07 00 00 00 00")
    )
    for index in range(0x19):
        rig.set(index, 0xA0 | index & 0xF)
    assert [rig.get(i) for i in range(0x19)] == [0xA0 | i & 0xF for i in range(0x19)]
    assert rig.screen.read(INDEX, 1) == 0x18


@pytest.mark.parametrize("index", [0x19, 0x20, 0x80, 0xFF])
def test_there_are_25_registers(rig: Rig, index: int) -> None:
    before = [rig.get(i) for i in range(0x19)]
    rig.set(index, 0x55)
    assert rig.screen.read(REGISTER, 1) == 0
    assert [rig.get(i) for i in range(0x19)] == before


@pytest.mark.parametrize("offset", [0, 2, 6])
def test_the_crtc_has_eight_addresses(rig: Rig, offset: int) -> None:
    rig.screen.write(offset, 1, 0x0F)
    rig.screen.write(offset + 1, 1, 0x77)
    assert rig.get(0x0F) == 0x77
    assert rig.screen.read(offset + 1, 1) == 0x77


def test_what_cannot_be_read_is_all_ones(rig: Rig) -> None:
    assert [rig.screen.read(offset, 1) for offset in (8, 9, 0xB, 0xC, 0xD, 0xE, 0xF)] == [0xFF] * 7
    for offset in (0xA, 0xB, 0xC, 0xD, 0xE, 0xF):
        rig.screen.write(offset, 1, 0xFF)
    assert rig.screen.is_text


def test_the_beam(rig: Rig) -> None:
    line_ns = LINE_DOTS * 10**9 / DOT_HZ
    assert rig.screen.read(STATUS, 1) == 0x04
    rig.now_ns = round(0.8 * line_ns)
    assert rig.screen.read(STATUS, 1) == 0x05, "behind the line's end"
    rig.now_ns = round(199.5 * line_ns)
    assert rig.screen.read(STATUS, 1) == 0x04
    rig.now_ns = round(210.5 * line_ns)
    assert rig.screen.read(STATUS, 1) == 0x05, "below the picture"
    rig.now_ns = round(230 * line_ns)
    assert rig.screen.read(STATUS, 1) == 0x0D, "vertical sync"
    rig.now_ns = round(250 * line_ns)
    assert rig.screen.read(STATUS, 1) == 0x05
    rig.now_ns = round(10 * FRAME_NS) + 100
    assert rig.screen.read(STATUS, 1) == 0x04


def test_polling_loops_end(rig: Rig) -> None:
    """A guest waits for each bit to go and to come; a read is some instructions after the last."""
    for bit in (1, 8):
        for level in (0, bit, 0, bit):
            for _ in range(200_000):
                if rig.screen.read(STATUS, 1) & bit == level:
                    break
                rig.now_ns += 100
            else:
                pytest.fail(f"bit {bit} never becomes {level}")
    frame_hz = 1e9 / FRAME_NS
    assert 59.9 < frame_hz < 60


def test_other_modes(rig: Rig) -> None:
    rig.show(0, 0, b"seen")
    rig.show(0, 40, b"next line")
    rig.screen.write(MODE, 1, 0x28)
    assert rig.screen.n_columns == 40
    assert rig.text()[:2] == ["seen", "next line"]
    assert len(rig.screen.text(rig.memory)[0]) == 40
    for mode in (0x21, 0x2A, 0x1E, 0x00):
        rig.screen.write(MODE, 1, mode)
        assert not rig.screen.is_text
        assert rig.text() == [""] * 25
        assert rig.screen.cursor is None
    rig.screen.write(MODE, 1, 0xFF & ~2)
    assert rig.text()[0].startswith("seen")
    rig.screen.write(COLOUR, 1, 0x15)
    assert rig.screen.border == 5


def test_reset(rig: Rig) -> None:
    rig.set(0x0C, 1)
    rig.screen.write(MODE, 1, 0)
    rig.screen.reset()
    assert rig.get(0x0C) == 0
    assert rig.screen.is_text
