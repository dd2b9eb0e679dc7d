# SPDX-License-Identifier: GPL-2.0-or-later
"""The keyboard behind the i8042: commands, replies and scan codes, one byte at a time.

Source: IBM PS/2 Hardware Interface Technical Reference, "Keyboards (101- and 102-key)". Keys come at the pace
at which they are fetched, so its buffer never holds more than a few strokes; keys are not repeated, and
lights are kept, not shown.
"""

from __future__ import annotations

from collections import deque

from pvisor.full.keys import Stroke, encode

SET_LEDS, ECHO, SCAN_SET, IDENTIFY, TYPEMATIC, ENABLE, DISABLE, DEFAULTS, RESEND, RESET = (
    0xED, 0xEE, 0xF0, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xFE, 0xFF)  # fmt: skip
KEY_TYPES = range(0xF7, 0xFB)
"""Set 3: all keys make/break, typematic and so on."""
KEY_TYPE_OF_ONE = range(0xFB, 0xFE)
"""The same for the one key whose code follows."""
ACKNOWLEDGE, BASIC_ASSURANCE_OK, AGAIN = 0xFA, 0xAA, 0xFE
IDENTITY = (0xAB, 0x83)
"""An MF2 keyboard."""


class Ps2Keyboard:
    """An MF2 keyboard. It is enabled and uses set 2 when it is switched on."""

    def __init__(self) -> None:
        self._replies: deque[int] = deque()
        self._codes: deque[int] = deque()
        self._awaits: int | None = None
        self._last = 0
        self._set_defaults()
        self.is_enabled = True

    def _set_defaults(self) -> None:
        self.scan_set = 2
        self.leds = 0
        self._codes.clear()

    @property
    def has_byte(self) -> bool:
        """Does it want to send something?"""
        return bool(self._replies or self._codes)

    def next_byte(self) -> int:
        """What it sends next: replies come before keys. Only when `has_byte`."""
        self._last = (self._replies or self._codes).popleft()
        return self._last

    def type(self, strokes: list[Stroke]) -> None:
        """Somebody types. Nothing comes of it while the keyboard is disabled."""
        if self.is_enabled:
            for stroke in strokes:
                self._codes.extend(encode(stroke, self.scan_set))

    def command(self, value: int) -> None:
        """A byte from the controller: a command, or the argument of one. It ends what a reply was left."""
        self._replies.clear()
        awaits, self._awaits = self._awaits, None
        if awaits is not None and value < SET_LEDS:
            self._argument(awaits, value)
        elif value in (SET_LEDS, SCAN_SET, TYPEMATIC) or value in KEY_TYPE_OF_ONE:
            self._awaits = value
            self._replies.append(ACKNOWLEDGE)
        else:
            self._simple(value)

    def _simple(self, value: int) -> None:
        reply = self._replies.append
        if value == ECHO:
            reply(ECHO)
        elif value == RESEND:
            reply(self._last)
        elif value == IDENTIFY:
            self._replies.extend((ACKNOWLEDGE, *IDENTITY))
        elif value in (ENABLE, DISABLE, DEFAULTS, RESET):
            if value != ENABLE:
                self._set_defaults()
            self._codes.clear()
            self.is_enabled = value != DISABLE
            reply(ACKNOWLEDGE)
            if value == RESET:
                reply(BASIC_ASSURANCE_OK)
        elif value in KEY_TYPES:
            reply(ACKNOWLEDGE)
        else:
            reply(AGAIN)

    def _argument(self, command: int, value: int) -> None:
        reply = self._replies.append
        if command == SCAN_SET and value > 3:
            self._awaits = command
            reply(AGAIN)
            return
        reply(ACKNOWLEDGE)
        if command == SCAN_SET and value == 0:
            reply(self.scan_set)
        elif command == SCAN_SET:
            self.scan_set = value
            self._codes.clear()
        elif command == SET_LEDS:
            self.leds = value & 7
