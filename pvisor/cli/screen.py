# SPDX-License-Identifier: GPL-2.0-or-later
"""A PC's screen on a terminal, as long as it runs; what its serial port sends scrolls by above it.

A thread draws, some times a second and only what has changed, so a guest that idles costs the host nothing.
The last picture stays on the terminal.
"""

from __future__ import annotations

import codecs
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from itertools import groupby

from rich.console import Console
from rich.live import Live
from rich.style import Style
from rich.text import Text

from pvisor.full.screen import N_ROWS, PALETTE, Cell, Picture

REDRAW_S = 0.1
MAX_WAITING = 1 << 16
"""Characters of the serial port that wait to be drawn at most; then the guest waits instead."""
MAX_LINE = 4096
"""A line that is longer is shown in pieces."""
WAY_OUT = "Ctrl-C"
TITLE_COLUMNS = 80
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[ -/]*[0-~])")
"""Control sequences (ECMA-48): a guest shall not move the cursor of a terminal that we draw on."""


class LiveScreen:
    """Draws on stdout, which is a terminal. Used as the `viewer` of a run, for one run.

    `write` takes what the serial port sends; `serial` gets that instead of the terminal, where it is given.
    `way_out` is what the title says to end the run.
    """

    def __init__(
        self, name: str, serial: Callable[[bytes], object] | None = None, *, way_out: str = WAY_OUT
    ) -> None:
        self._name, self._way_out = name, way_out
        self._serial = serial
        self._console = Console(highlight=False, markup=False, emoji=False, force_terminal=True)
        self._live = Live(
            console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._lock = threading.RLock()
        self._waiting = ""
        self._drawn: object = None

    def __call__(self, look: Callable[[], Picture]) -> AbstractContextManager[None]:
        """Show what `look` sees, inside."""
        return self._shown(look)

    def write(self, data: bytes) -> None:
        """Take bytes of the serial port; they are drawn soon."""
        if self._serial is not None:
            self._serial(data)
            return
        with self._lock:
            self._waiting += self._decoder.decode(data)
            if len(self._waiting) > MAX_WAITING:
                self._print_waiting()

    @contextmanager
    def _shown(self, look: Callable[[], Picture]) -> Iterator[None]:
        over = threading.Event()

        def draw_until_over() -> None:
            while not over.wait(REDRAW_S):
                try:
                    self._draw(look())
                except OSError:  # the terminal is gone: the guest's end will show it
                    return

        with self._live:
            self._draw(look())
            thread = threading.Thread(target=draw_until_over, daemon=True)
            thread.start()
            try:
                yield
            finally:
                over.set()
                thread.join()
                self._print_waiting(to_the_end=True)
                self._draw(look()._replace(cursor=None))

    def _draw(self, picture: Picture) -> None:
        with self._lock:
            self._print_waiting()
            wanted = (picture, self._console.size)
            if wanted != self._drawn:
                self._drawn = wanted
                drawn = drawing(picture, self._name, self._console.height, self._way_out)
                self._live.update(drawn, refresh=True)

    def _print_waiting(self, *, to_the_end: bool = False) -> None:
        """Put whole lines above the screen; at the end, the rest too."""
        with self._lock:
            lines, rest = whole_lines(self._waiting)
            if to_the_end and rest:
                lines, rest = [*lines, rest], ""
            self._waiting = rest
            if lines:
                text = Text("\n".join(map(harmless, lines)))
                self._console.print(text, soft_wrap=True)


def whole_lines(text: str) -> tuple[list[str], str]:
    """The lines that are ended, or too long to wait for, and the beginning of the next one."""
    *lines, rest = text.split("\n")
    while len(rest) > MAX_LINE:
        lines.append(rest[:MAX_LINE])
        rest = rest[MAX_LINE:]
    return lines, rest


def harmless(line: str) -> str:
    """A line without control sequences and control characters."""
    line = _ESCAPES.sub("", line).expandtabs()
    return "".join(character for character in line if character.isprintable())


def drawing(picture: Picture, name: str, height: int, way_out: str = WAY_OUT) -> Text:
    """A picture for a terminal of this height. Where that has less than 25 lines, those around the cursor."""
    rows = picture.cells()
    first, last = 0, N_ROWS
    if height < N_ROWS:
        bottom = picture.cursor.row + 1 if picture.cursor else N_ROWS
        last = max(height, bottom)
        first = last - height
    drawn = Text(no_wrap=True, overflow="crop", end="")
    if height > N_ROWS:
        title = f"── {name} ── {way_out} ends the run "
        drawn.append(title.ljust(TITLE_COLUMNS, "─")[:TITLE_COLUMNS] + "\n", "dim")
    for number in range(first, last):
        at = picture.cursor.column if picture.cursor and picture.cursor.row == number else None
        _append_row(drawn, rows[number], at)
        if number < last - 1:
            drawn.append("\n")
    return drawn


def _append_row(drawn: Text, row: list[Cell], cursor_at: int | None) -> None:
    """One line: neighbours of the same colours together, the cursor's place with its colours exchanged."""
    places = [(style_of(*cell[1:], column == cursor_at), cell.character) for column, cell in enumerate(row)]
    for style, run in groupby(places, key=lambda place: place[0]):
        drawn.append("".join(character for _, character in run), style)


@cache
def style_of(foreground: int, background: int, blinks: bool, is_cursor: bool) -> Style:
    """Colours as the CGA shows them."""
    return Style(color=PALETTE[foreground], bgcolor=PALETTE[background], blink=blinks, reverse=is_cursor)
