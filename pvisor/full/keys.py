# SPDX-License-Identifier: GPL-2.0-or-later
"""Typed characters as key strokes of a US keyboard, and the three sets of scan codes for them.

Source: Microsoft's Keyboard Scan Code Specification (2000), appendices A to C. Only data, and how to read it.
"""

from __future__ import annotations

from typing import NamedTuple

EXTENDED, BREAK = 0xE0, 0xF0
"""Prefixes of sets 2 and 3 (BREAK) and of sets 1 and 2 (EXTENDED)."""


class Key(NamedTuple):
    """A key by its make code in set 2."""

    code: int
    is_extended: bool = False


class Stroke(NamedTuple):
    """A key that goes down or up."""

    key: Key
    is_down: bool


SHIFT, CONTROL = Key(0x12), Key(0x14)
ENTER, BACKSPACE, ESCAPE, TAB = Key(0x5A), Key(0x66), Key(0x76), Key(0x0D)

PLAIN = "`1234567890-=qwertyuiop[]\\asdfghjkl;'zxcvbnm,./ "
SHIFTED = '~!@#$%^&*()_+QWERTYUIOP{}|ASDFGHJKL:"ZXCVBNM<>? '
"""What the keys of PLAIN give with Shift."""
CODES = bytes.fromhex(
    "0e 16 1e 26 25 2e 36 3d 3e 46 45 4e 55"  # ` 1 ... =
    "15 1d 24 2d 2c 35 3c 43 44 4d 54 5b 5d"  # q ... ] \
    "1c 1b 23 2b 34 33 3b 42 4b 4c 52"  # a ... ; '
    "1a 22 21 2a 32 31 3a 41 49 4a 29"  # z ... / space
)
"""Their make codes in set 2."""

NAMED = {0x08: BACKSPACE, 0x09: TAB, 0x0A: ENTER, 0x0D: ENTER, 0x1B: ESCAPE, 0x7F: BACKSPACE}
"""Control characters that have a key of their own."""

ARROWS = {b"[A": Key(0x75, True), b"[B": Key(0x72, True), b"[C": Key(0x74, True), b"[D": Key(0x6B, True),
          b"[H": Key(0x6C, True), b"[F": Key(0x69, True)}  # fmt: skip
"""What a terminal sends after an Escape for the arrow keys, Home and End (ECMA-48, xterm)."""

TRANSLATION = bytes.fromhex(
    "ff43413f3d3b3c58644442403e0f2959 65382a701d10025a66712c1f1e11035b"
    "672e2d201205045c68392f211413065d 693130232215075e6a7232241608095f"
    "6b332517180b0a606c34352627190c61 6d7328741a0d626e3a361c1b752b6376"
    "5556777879 7a0e7b7c4f7d4b477e7f6f 525350 4c4d48014557 4e514a37494654"
    "80818241 54"
) + bytes(range(0x85, 0x100))
"""What the controller makes of each byte of set 2 for a PC that knows set 1; BREAK never gets here."""

IN_SET_3 = {CONTROL: 0x11, ESCAPE: 0x08, Key(0x5D): 0x5C, Key(0x75, True): 0x63, Key(0x72, True): 0x60,
            Key(0x74, True): 0x6A, Key(0x6B, True): 0x61, Key(0x6C, True): 0x6E,
            Key(0x69, True): 0x65}  # fmt: skip
"""The keys whose code in set 3, which has no prefix EXTENDED, is not that of set 2."""


def strokes_of_key(key: Key, *held: Key) -> list[Stroke]:
    """Press `held` and then the key, let go in the opposite order."""
    keys = (*held, key)
    return [*(Stroke(k, True) for k in keys), *(Stroke(k, False) for k in reversed(keys))]


def strokes_of(byte: int) -> list[Stroke]:
    """How a typist makes this character; none for what the keyboard has no key for (all beyond ASCII)."""
    if byte in NAMED:
        return strokes_of_key(NAMED[byte])
    if byte < 0x20:  # Control takes the upper bits of a letter or of @ [ \ ] ^ _ away
        return _printable(chr(byte | 0x60) if 1 <= byte <= 26 else chr(byte | 0x40), CONTROL)
    return _printable(chr(byte))


def _printable(character: str, *held: Key) -> list[Stroke]:
    if (at := PLAIN.find(character)) >= 0:
        return strokes_of_key(Key(CODES[at]), *held)
    if (at := SHIFTED.find(character)) >= 0:
        return strokes_of_key(Key(CODES[at]), *held, SHIFT)
    return []


def encode(stroke: Stroke, scan_set: int) -> bytes:
    """The bytes that a keyboard sends for a stroke in set 1, 2 or 3."""
    key = stroke.key
    if scan_set == 3:
        code = IN_SET_3.get(key, key.code)
        return bytes((code,)) if stroke.is_down else bytes((BREAK, code))
    prefix = bytes((EXTENDED,)) if key.is_extended else b""
    if scan_set == 1:
        return prefix + bytes((TRANSLATION[key.code] | (0 if stroke.is_down else 0x80),))
    return prefix + (bytes((key.code,)) if stroke.is_down else bytes((BREAK, key.code)))
