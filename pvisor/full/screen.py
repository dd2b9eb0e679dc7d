# SPDX-License-Identifier: GPL-2.0-or-later
"""The PC's screen: CGA text, 80 (or 40) columns of 25 lines, its CRTC and status at I/O ports 0x3d0-0x3df.

Source: IBM Color/Graphics Monitor Adapter, Technical Reference; the CRTC: the MC6845 data sheet, but all its
registers can be read, and there are 25, as guests that know the VGA expect. The text itself is plain RAM at
0xb8000 (character, attribute, character, ...); graphics modes can be set, and show nothing here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pvisor.machine.memory import GuestMemory

IOPORT_BASE, N_IOPORTS = 0x3D0, 16
TEXT_GPA, TEXT_BYTES = 0xB8000, 16 << 10
"""The adapter's memory; the start address wraps within it."""
N_ROWS = 25

N_REGISTERS = 0x19
MAX_SCAN_LINE, CURSOR_START, CURSOR_END, START_HIGH, START_LOW, CURSOR_HIGH, CURSOR_LOW = (
    0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F)  # fmt: skip
AT_ENTRY = bytes.fromhex("71 50 5a 0a 1f 06 19 1c 02 07 06 07 00 00 00 00").ljust(N_REGISTERS, b"\0")
"""What the BIOS sets for 80 columns (Technical Reference, "6845 initialization parameters")."""

MODE_80_COLUMNS, MODE_GRAPHICS, MODE_ON, MODE_BLINK = 0x01, 0x02, 0x08, 0x20
MODE_AT_ENTRY = MODE_80_COLUMNS | MODE_ON | MODE_BLINK
COLOUR_AT_ENTRY = 0x30

STATUS_NO_DISPLAY, STATUS_PEN_SWITCH_OPEN, STATUS_VERTICAL_SYNC = 0x01, 0x04, 0x08

DOT_HZ = 14_318_180
LINE_DOTS, SHOWN_DOTS = 912, 640
FRAME_LINES, SHOWN_LINES = 262, 200
SYNC_LINES = range(224, 240)
"""Register 7 times 8 lines, for the 16 lines that the 6845's vertical sync lasts."""

BLANK_CELL = b" \x07"
CHARACTERS = (
    " ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼"
    + bytes(range(0x20, 0x7F)).decode("ascii")
    + "⌂"
    + bytes(range(0x80, 0xFF)).decode("cp437")
    + " "
)
"""Code page 437 as the character generator draws it."""

PALETTE = (
    "#000000", "#0000aa", "#00aa00", "#00aaaa", "#aa0000", "#aa00aa", "#aa5500", "#aaaaaa",
    "#555555", "#5555ff", "#55ff55", "#55ffff", "#ff5555", "#ff55ff", "#ffff55", "#ffffff",
)  # fmt: skip
"""The colours by their four bits (intensity, red, green, blue) as the IBM 5153 shows them: 6 is brown."""


class Cell(NamedTuple):
    """One place on the screen; colours are indices into PALETTE."""

    character: str
    foreground: int
    background: int
    blinks: bool


class Cursor(NamedTuple):
    """Where the cursor is, and from which to which scan line of the place it is drawn."""

    row: int
    column: int
    first_line: int
    last_line: int


class Picture(NamedTuple):
    """What is to be seen at one moment. Two are equal when they look the same."""

    rows: tuple[bytes, ...]
    """25 lines: character, attribute, character, ..."""
    blinking: bool
    """Is bit 7 of an attribute blinking? Otherwise it is intensity of the background."""
    cursor: Cursor | None

    def text(self) -> list[str]:
        """The lines, each of full width."""
        return ["".join(CHARACTERS[character] for character in row[::2]) for row in self.rows]

    def written(self) -> tuple[str, ...]:
        """The lines without the blanks at their ends, up to the last one that is not empty."""
        lines = [line.rstrip(" ") for line in self.text()]
        while lines and not lines[-1]:
            lines.pop()
        return tuple(lines)

    def cells(self) -> list[list[Cell]]:
        """The lines with their colours."""
        look = [
            (a & 0x0F, a >> 4 & 7 if self.blinking else a >> 4, self.blinking and a >= 0x80)
            for a in range(256)
        ]
        return [
            [Cell(CHARACTERS[row[i]], *look[row[i + 1]]) for i in range(0, len(row), 2)] for row in self.rows
        ]


class Screen:
    """A CGA without its memory. `now` gives the virtual time in nanoseconds."""

    widest_bytes = 1

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self.reset()

    def reset(self) -> None:
        """As the BIOS leaves it: 80 columns, sixteen colours, blinking, the cursor at the top left."""
        self._registers = bytearray(AT_ENTRY)
        self._index = 0
        self._mode = MODE_AT_ENTRY
        self._colour = COLOUR_AT_ENTRY

    @staticmethod
    def clear(memory: GuestMemory) -> None:
        """Fill the text memory with blanks, light grey on black, as the BIOS does before a guest starts."""
        memory.write(TEXT_GPA, BLANK_CELL * (TEXT_BYTES // 2))

    # --- registers

    def read(self, offset: int, size_bytes: int) -> int:
        """Index and register of the CRTC (at every even and odd address up to 0x3d7), and the status."""
        if offset < 8:
            if not offset & 1:
                return self._index
            return self._registers[self._index] if self._index < N_REGISTERS else 0
        return self._status() if offset == 0xA else 0xFF

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """The same; mode control at 0x3d8, colour select at 0x3d9. The light pen's latch is not there."""
        if offset < 8:
            if not offset & 1:
                self._index = value
            elif self._index < N_REGISTERS:
                self._registers[self._index] = value
        elif offset == 8:
            self._mode = value & 0x3F
        elif offset == 9:
            self._colour = value & 0x3F

    def _status(self) -> int:
        """Where the beam is at this virtual time: at 59.9 frames a second, whatever the CRTC is told."""
        dot = self._now() * DOT_HZ // 1_000_000_000
        line = dot // LINE_DOTS % FRAME_LINES
        is_shown = line < SHOWN_LINES and dot % LINE_DOTS < SHOWN_DOTS
        value = STATUS_PEN_SWITCH_OPEN | (0 if is_shown else STATUS_NO_DISPLAY)
        return value | (STATUS_VERTICAL_SYNC if line in SYNC_LINES else 0)

    # --- what is seen

    @property
    def is_text(self) -> bool:
        """Is it on, and in a text mode?"""
        return bool(self._mode & MODE_ON) and not self._mode & MODE_GRAPHICS

    @property
    def n_columns(self) -> int:
        """80 or 40."""
        return 80 if self._mode & MODE_80_COLUMNS else 40

    @property
    def border(self) -> int:
        """The colour around the text."""
        return self._colour & 0x0F

    @property
    def cursor(self) -> Cursor | None:
        """The cursor, or None where it is hidden or outside (6845: bits 5 and 6 of register 10 are 01)."""
        first, last = self._registers[CURSOR_START], self._registers[CURSOR_END] & 0x1F
        at = (self._word(CURSOR_HIGH) - self._word(START_HIGH)) % (TEXT_BYTES // 2)
        row, column = divmod(at, self.n_columns)
        if first & 0x60 == 0x20 or first & 0x1F > last or row >= N_ROWS or not self.is_text:
            return None
        return Cursor(row, column, first & 0x1F, last)

    def text(self, memory: GuestMemory) -> list[str]:
        """The 25 lines, each of full width; blank where the screen is off or shows graphics."""
        return self.picture(memory).text()

    def cells(self, memory: GuestMemory) -> list[list[Cell]]:
        """The same with colours."""
        return self.picture(memory).cells()

    def picture(self, memory: GuestMemory) -> Picture:
        """What is to be seen now. Another thread than the guest's may ask, too."""
        return Picture(tuple(self._rows(memory)), bool(self._mode & MODE_BLINK), self.cursor)

    def _rows(self, memory: GuestMemory) -> list[bytes]:
        """What the beam passes over: from the start address on, around the end of the memory."""
        n_bytes = 2 * self.n_columns
        if not self.is_text:
            return [BLANK_CELL * self.n_columns] * N_ROWS
        shown = memory.read(TEXT_GPA, TEXT_BYTES)
        start = 2 * self._word(START_HIGH) % TEXT_BYTES
        shown = shown[start:] + shown[:start]
        return [shown[i * n_bytes : (i + 1) * n_bytes] for i in range(N_ROWS)]

    def _word(self, high: int) -> int:
        """A register pair, high byte first."""
        return self._registers[high] << 8 | self._registers[high + 1]
