# SPDX-License-Identifier: GPL-2.0-or-later
"""What is drawn on a terminal, and what is kept off it. On a real terminal: test_screen.py."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from rich.text import Text

from pvisor.cli.screen import MAX_LINE, drawing, harmless, style_of, whole_lines
from pvisor.full.screen import CHARACTERS, PALETTE, Cursor, Picture


def picture(cursor: Cursor | None = None, *, n_columns: int = 80, attribute: int = 7) -> Picture:
    """A letter at the beginning of each line."""
    rest = bytes((0x20, attribute)) * (n_columns - 1)
    return Picture(tuple(bytes((0x41 + row, attribute)) + rest for row in range(25)), True, cursor)


def lines(text: Text) -> str:
    """The first character of each line."""
    return "".join(line[0] for line in text.plain.split("\n"))


ALL = "ABCDEFGHIJKLMNOPQRSTUVWXY"


@pytest.mark.parametrize("height", [26, 40, 100])
def test_a_title_where_there_is_room(height: int) -> None:
    drawn = drawing(picture(), "kernel.elf", height)
    assert lines(drawn) == "─" + ALL
    title = drawn.plain.split("\n")[0]
    assert title.startswith("── kernel.elf ── Ctrl-C ends the run ─") and len(title) == 80


def test_the_title_says_what_ends_the_run() -> None:
    drawn = drawing(picture(), "kernel.elf", 40, "Ctrl-A x").plain
    assert drawn.startswith("── kernel.elf ── Ctrl-A x ends the run ─")


def test_a_long_name_is_cut() -> None:
    assert len(drawing(picture(), "k" * 300, 30).plain.split("\n")[0]) == 80


@pytest.mark.parametrize(
    ("height", "row", "seen"),
    [(25, 0, ALL), (24, 0, ALL[:24]), (24, 23, ALL[:24]), (24, 24, ALL[1:]), (10, 12, ALL[3:13]),
     (1, 7, "H"), (5, 2, "ABCDE")],
)  # fmt: skip
def test_a_small_terminal_shows_what_is_around_the_cursor(height: int, row: int, seen: str) -> None:
    assert lines(drawing(picture(Cursor(row, 0, 6, 7)), "x", height)) == seen


def test_a_small_terminal_without_a_cursor_shows_the_end() -> None:
    assert lines(drawing(picture(), "x", 3)) == "WXY"


def test_colours_and_cursor() -> None:
    drawn = drawing(picture(Cursor(0, 2, 6, 7), attribute=0x9E), "x", 25)
    at_cursor = [span for span in drawn.spans if span.start <= 2 < span.end]
    assert [str(span.style) for span in at_cursor] == [str(style_of(14, 1, True, True))]
    assert str(style_of(14, 1, True, True)) == f"blink reverse {PALETTE[14]} on {PALETTE[1]}"
    assert len(drawn.spans) == 3 + 24


def test_forty_columns() -> None:
    assert {len(line) for line in drawing(picture(n_columns=40), "x", 25).plain.split("\n")} == {40}


def test_every_character_is_one_place_wide() -> None:
    assert {cell_len(character) for character in CHARACTERS} == {1}


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("plain ünicode", "plain ünicode"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\tb", "a       b"),
        ("\x1b[2J\x1b[1;1H\x1b[?25lx", "x"),
        ("\x1bcreset\x1b(Bx\x1b7", "resetx"),
        ("\x07\x08\r\x00bell\x9b2J\u202e", "bell2J"),
        ("\x1b", ""),
        ("[red]markup[/red]", "[red]markup[/red]"),
    ],
)
def test_what_the_terminal_gets_of_a_serial_line(line: str, seen: str) -> None:
    assert harmless(line) == seen


def test_lines_are_printed_when_they_are_whole() -> None:
    assert whole_lines("") == ([], "")
    assert whole_lines("one\ntwo\n\nthr") == (["one", "two", ""], "thr")
    assert whole_lines("x" * (2 * MAX_LINE + 5)) == (["x" * MAX_LINE] * 2, "x" * 5)
