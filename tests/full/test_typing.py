# SPDX-License-Identifier: GPL-2.0-or-later
"""Typed characters as scan codes that a guest reads: layout, sets, translation, pace. No CPU."""

from __future__ import annotations

import string

import pytest

from pvisor.full.keyboard import N_READS_OF_A_POLL, UNHEARD_NS
from pvisor.full.keys import CODES, PLAIN, SHIFTED, TRANSLATION, Key, Stroke, encode, strokes_of
from pvisor.machine.console import POLL_NS
from tests.full.i8042_rig import Rig
from tests.machine.typed import Live, Typed

SET_1_ROWS = {0x02: "1234567890-=", 0x10: "qwertyuiop[]", 0x1E: "asdfghjkl;'`", 0x2B: "\\zxcvbnm,./"}
"""Set 1 numbers the keys row by row."""
SET_1 = {c: first + i for first, row in SET_1_ROWS.items() for i, c in enumerate(row)} | {" ": 0x39}
L_SHIFT, L_CONTROL = 0x2A, 0x1D


def typed(data: bytes, mode: int = 0x61, scan_set: int = 2) -> bytes:
    """What a guest reads when somebody types."""
    rig = Rig(Typed(data))
    rig.command(0x60, mode)
    rig.tell(0xF0)
    rig.tell(scan_set)
    rig.clock.advance(100_000)
    return rig.drain()


@pytest.mark.parametrize("character", PLAIN)
def test_plain_keys_in_set_1(character: str) -> None:
    code = SET_1[character]
    assert typed(character.encode()) == bytes((code, code | 0x80))


@pytest.mark.parametrize(("character", "plain"), list(zip(SHIFTED[:-1], PLAIN[:-1], strict=True)))
def test_shifted_keys_in_set_1(character: str, plain: str) -> None:
    code = SET_1[plain]
    assert typed(character.encode()) == bytes((L_SHIFT, code, code | 0x80, L_SHIFT | 0x80))


@pytest.mark.parametrize("letter", "abdefgklnopqrstuvwxyz")
def test_control_keys_in_set_1(letter: str) -> None:
    code = SET_1[letter]
    assert typed(bytes((ord(letter) & 0x1F,))) == bytes((L_CONTROL, code, code | 0x80, L_CONTROL | 0x80))


@pytest.mark.parametrize(
    ("byte", "code"),
    [(b"\n", 0x1C), (b"\r", 0x1C), (b"\t", 0x0F), (b"\b", 0x0E), (b"\x7f", 0x0E), (b"\x1b", 0x01)],
)
def test_keys_with_a_name(byte: bytes, code: int) -> None:
    assert typed(byte) == bytes((code, code | 0x80))


@pytest.mark.parametrize(
    ("byte", "codes"),
    [
        (b"\x1c", "1d 2b ab 9d"),
        (b"\x1d", "1d 1b 9b 9d"),
        (b"\x1e", "1d 2a 07 87 aa 9d"),
        (b"\x00", "1d 2a 03 83 aa 9d"),
    ],
)
def test_the_other_control_characters(byte: bytes, codes: str) -> None:
    assert typed(byte) == bytes.fromhex(codes)


def test_sets_2_and_3_untranslated() -> None:
    assert typed(b"A\n", 0x01) == bytes.fromhex("12 1c f01c f012 5a f05a")
    assert typed(b"a\x01\x1b", 0x01, 3) == bytes.fromhex("1c f01c 11 1c f01c f011 08 f008")
    assert typed(b"A", 0x01, 1) == bytes.fromhex("2a 1e 9e aa")


def test_what_has_no_key_is_not_typed() -> None:
    assert typed(b"\x80\xff\xc3\xa4a") == b"\x1e\x9e"


def test_every_ascii_character_can_be_typed() -> None:
    assert all(strokes_of(byte) for byte in range(128))
    assert not any(strokes_of(byte) for byte in range(128, 256))
    assert set(PLAIN + SHIFTED) == set(string.printable) - set(string.whitespace) | {" "}
    assert len(CODES) == len(PLAIN) == len(SHIFTED) == 48


def test_every_stroke_ends_with_all_keys_up() -> None:
    for byte in range(256):
        held: list[Key] = []
        for key, is_down in strokes_of(byte):
            if is_down:
                held.append(key)
            else:
                assert held.pop() == key
        assert not held


def test_an_arrow_key_of_a_terminal() -> None:
    live = Live()
    rig = Rig(live)
    live.data = b"\x1b[A\x1b[Dx"
    rig.clock.advance(2 * POLL_NS)
    assert rig.drain() == bytes.fromhex("e048 e0c8 e04b e0cb 2d ad")
    live.data = b"\x1b[~"
    rig.clock.advance(2 * POLL_NS)
    assert rig.drain() == bytes.fromhex("01 81 1a 9a 2a 29 a9 aa"), "no key is called so"
    live.data = b"\x1b"
    rig.clock.advance(2 * POLL_NS)
    assert rig.drain() == b"\x01\x81"


def test_extended_keys_in_each_set() -> None:
    up = Key(0x75, True)
    assert [encode(Stroke(up, False), n) for n in (1, 2, 3)] == [b"\xe0\xc8", b"\xe0\xf0\x75", b"\xf0\x63"]


def test_keys_come_at_their_times_and_interrupt() -> None:
    rig = Rig(Typed(b"ab", 1000, 500))
    rig.clock.advance(999)
    assert not rig.irq
    rig.clock.advance(1)
    assert rig.irq
    assert rig.get() == 0x1E
    assert rig.irq, "the release"
    assert rig.get() == 0x9E
    assert not rig.irq
    rig.clock.advance(499)
    assert not rig.irq
    rig.clock.advance(1)
    assert rig.irq
    assert rig.drain() == b"\x30\xb0"


def test_a_guest_may_poll_instead() -> None:
    rig = Rig(Typed(b"a"))
    rig.command(0x60, 0x40)
    rig.clock.advance(999)
    assert not rig.status() & 1
    rig.clock.advance(1)
    assert rig.status() & 1
    assert rig.drain() == b"\x1e\x9e"
    assert rig.levels == [False]


def test_a_byte_waits_in_the_host_while_the_interface_is_off() -> None:
    rig = Rig(Typed(b"a"))
    rig.command(0xAD)
    rig.clock.advance(5000)
    assert rig.drain() == b""
    rig.command(0xAE)
    rig.clock.advance(1)
    assert rig.irq
    assert rig.drain() == b"\x1e\x9e"


def test_a_byte_waits_in_the_host_while_the_keyboard_is_disabled() -> None:
    rig = Rig(Typed(b"a"))
    assert rig.tell(0xF5) == b"\xfa"
    rig.clock.advance(5000)
    assert rig.drain() == b""
    assert rig.tell(0xF4) == b"\xfa\x1e\x9e"


def test_a_terminal_is_polled_at_a_measured_pace() -> None:
    live = Live()
    rig = Rig(live)
    rig.clock.advance(10 * POLL_NS)
    assert 9 <= live.n_polls <= 11
    rig.command(0x60, 0x40)
    n_polls = live.n_polls
    rig.clock.advance(10 * POLL_NS)
    assert live.n_polls <= n_polls + 1, "without the interrupt only when the guest asks"
    for _ in range(100):
        rig.status()
    assert live.n_polls <= n_polls + 2
    rig.command(0x60, 0x61)
    assert rig.chip.watch.hold()
    live.data = b"x"
    rig.chip.watch.release()
    assert rig.irq


def test_nobody_types_while_it_would_not_be_heard() -> None:
    rig = Rig(Typed(b"ab"))
    rig.is_heard = False
    rig.clock.advance(10 * UNHEARD_NS)
    assert rig.drain() == b"", "what a kernel throws away when it starts"
    rig.command(0x60, 0x61)
    assert rig.drain() == b""
    rig.clock.advance(10 * UNHEARD_NS)
    assert rig.levels == [False]
    rig.is_heard = True
    rig.clock.advance(UNHEARD_NS)
    assert rig.irq
    assert rig.get() == 0x1E


def test_who_reads_again_and_again_waits_for_a_key() -> None:
    rig = Rig(Typed(b"ab"))
    rig.is_heard = False
    rig.clock.advance(2000)
    for _ in range(N_READS_OF_A_POLL - 1):
        assert not rig.status() & 1
    rig.command(0xAE)
    for _ in range(N_READS_OF_A_POLL - 1):
        assert not rig.status() & 1, "a command in between: it was not waiting"
    assert rig.status() & 1
    assert rig.drain() == b"\x1e\x9e"
    reads = [rig.get() for _ in range(N_READS_OF_A_POLL - 1)]
    assert reads == [0x9E] * (N_READS_OF_A_POLL - 2) + [0x30], "the data can be polled, too"


def test_nobody_types_without_input() -> None:
    rig = Rig()
    assert rig.clock.timers.next_due_ns is None
    assert not rig.chip.watch.hold()


def test_the_translation_is_that_of_the_pc() -> None:
    assert len(TRANSLATION) == 256
    assert TRANSLATION[0x83:0x85] == b"\x41\x54", "F7, and Print Screen with Alt"
    assert TRANSLATION[0x85:] == bytes(range(0x85, 0x100))
    low = [code for code in TRANSLATION[1:0x80] if code < 0x80]
    assert len(set(low)) == len(low) == 127, "below that, every key keeps its own"
