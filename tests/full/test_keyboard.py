# SPDX-License-Identifier: GPL-2.0-or-later
"""The i8042 and its keyboard: commands and replies, lines, nonsense. No CPU. Typing: test_typing.py."""

from __future__ import annotations

import random

import pytest

from tests.full.i8042_rig import Rig
from tests.machine.typed import Typed

# --- the controller


def test_state_at_entry() -> None:
    rig = Rig()
    assert rig.status() == 0x1C
    assert rig.ask(0x20) == b"\x61"
    assert rig.get() == 0x61, "an empty buffer gives what it held"
    assert rig.ask(0xD0) == b"\xcf"
    assert not rig.irq
    assert rig.tell(0xEE) == b"\xee", "the keyboard is there"


@pytest.mark.parametrize(
    ("command", "answer"),
    [(0xAA, 0x55), (0xAB, 0x00), (0xA9, 0x00), (0xC0, 0x80), (0x20, 0x61)],
)
def test_answers_of_the_controller(command: int, answer: int) -> None:
    rig = Rig()
    rig.command(command)
    assert rig.status() & 0x21 == 0x01
    assert rig.irq
    assert rig.get() == answer
    assert not rig.status() & 1
    assert not rig.irq


def test_the_command_byte() -> None:
    rig = Rig()
    for value in (0x00, 0xFF, 0x47, 0x61):
        rig.command(0x60, value)
        assert rig.ask(0x20) == bytes((value,))


@pytest.mark.parametrize(
    ("command", "bit", "is_set"),
    [(0xA7, 0x20, True), (0xA8, 0x20, False), (0xAD, 0x10, True), (0xAE, 0x10, False)],
)
def test_interfaces_off_and_on(command: int, bit: int, is_set: bool) -> None:
    rig = Rig()
    rig.command(0x60, 0x41 | (0 if is_set else bit))
    rig.command(command)
    assert bool(rig.ask(0x20)[0] & bit) == is_set


def test_the_interrupt_follows_the_command_byte() -> None:
    rig = Rig()
    rig.command(0x60, 0x60)
    rig.command(0xAA)
    assert rig.status() & 1
    assert not rig.irq
    rig.command(0x60, 0x61)
    assert rig.irq
    rig.command(0x60, 0x71)
    assert not rig.irq


def test_each_byte_has_an_edge() -> None:
    rig = Rig()
    rig.send(0xF2)
    assert rig.drain() == b"\xfa\xab\x41"
    assert rig.levels == [False, True, False, True, False, True, False]


def test_an_answer_waits_for_what_was_not_read_and_goes_before_keys() -> None:
    rig = Rig(Typed(b"a"))
    rig.clock.advance(2000)
    assert rig.status() & 1
    rig.command(0x20)
    assert rig.drain() == b"\x1e\x61\x9e"


@pytest.mark.parametrize(
    ("command", "argument", "a20"),
    [(0xDD, (), False), (0xDF, (), True), (0xD1, (0xDD,), False), (0xD1, (0xDF,), True)],
)
def test_the_a20_gate(command: int, argument: tuple[int, ...], a20: bool) -> None:
    rig = Rig()
    rig.command(command, *argument)
    assert rig.a20 == [a20]
    assert bool(rig.ask(0xD0)[0] & 2) == a20
    assert rig.n_resets == 0


@pytest.mark.parametrize("command", range(0xF0, 0x100))
def test_pulses_of_the_reset_line(command: int) -> None:
    rig = Rig()
    rig.command(command)
    assert rig.n_resets == (0 if command & 1 else 1)


def test_reset_by_the_output_port() -> None:
    rig = Rig()
    rig.command(0xD1, 0xCE)
    assert rig.n_resets == 1


def test_the_output_port_shows_the_buffer() -> None:
    rig = Rig()
    rig.command(0xD2, 0x77)
    rig.command(0xD0)
    assert rig.drain() == b"\x77\xdf"


def test_written_into_the_output_buffer() -> None:
    rig = Rig()
    rig.command(0xD2, 0x99)
    assert rig.irq
    assert (rig.status() & 0x21, rig.get()) == (0x01, 0x99)
    rig.command(0xD3, 0x98)
    assert not rig.irq, "it seems to be the mouse's"
    assert (rig.status() & 0x21, rig.get()) == (0x21, 0x98)
    assert rig.status() & 0x21 == 0


def test_there_is_no_mouse() -> None:
    rig = Rig()
    rig.command(0xD4, 0xF2)
    assert rig.status() & 0x61 == 0x61, "time-out"
    assert rig.get() == 0xFE
    assert rig.status() == 0x1C
    assert not rig.irq


@pytest.mark.parametrize("command", [0x00, 0x21, 0x61, 0x80, 0xA0, 0xAF, 0xBF, 0xC5, 0xD5, 0xDE, 0xEF])
def test_commands_that_nobody_knows(command: int) -> None:
    rig = Rig()
    assert rig.ask(command) == b""
    assert (rig.status(), rig.n_resets, rig.a20) == (0x1C, 0, [])
    assert rig.tell(0xEE) == b"\xee", "the next byte is the keyboard's"


def test_a_new_command_ends_one_that_waits() -> None:
    rig = Rig()
    rig.command(0x60)
    assert rig.ask(0xAA) == b"\x55"
    assert rig.tell(0xEE) == b"\xee"
    assert rig.ask(0x20) == b"\x61"


def test_a_byte_for_the_keyboard_enables_it() -> None:
    rig = Rig()
    rig.command(0xAD)
    assert rig.tell(0xEE) == b"\xee"
    assert not rig.ask(0x20)[0] & 0x10


# --- the keyboard


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        ((0xFF,), b"\xfa\xaa"),
        ((0xF2,), b"\xfa\xab\x83"),
        ((0xEE,), b"\xee"),
        ((0xED, 0x07), b"\xfa\xfa"),
        ((0xF3, 0x20), b"\xfa\xfa"),
        ((0xF4,), b"\xfa"),
        ((0xF5,), b"\xfa"),
        ((0xF6,), b"\xfa"),
        ((0xF0, 0x00), b"\xfa\xfa\x02"),
        ((0xF0, 0x01), b"\xfa\xfa"),
        ((0xF7,), b"\xfa"),
        ((0xFC, 0x1C), b"\xfa\xfa"),
        ((0x00,), b"\xfe"),
        ((0xEF,), b"\xfe"),
        ((0xF1,), b"\xfe"),
        ((0xED, 0xF4), b"\xfa\xfa"),
    ],
)
def test_keyboard_commands(sent: tuple[int, ...], answer: bytes) -> None:
    rig = Rig()
    rig.command(0x60, 0x00)
    assert b"".join(rig.tell(value) for value in sent) == answer


def test_resend() -> None:
    rig = Rig()
    rig.command(0x60, 0x00)
    rig.tell(0xF2)
    assert rig.tell(0xFE) == b"\x83"
    assert rig.tell(0xFE) == b"\x83"


def test_a_scan_set_that_is_none() -> None:
    rig = Rig()
    rig.command(0x60, 0x00)
    assert rig.tell(0xF0, 0x04)[-1:] == b"\xfe"
    assert rig.tell(0x03) == b"\xfa", "the argument is asked for again"
    assert rig.tell(0xF0) + rig.tell(0x00) == b"\xfa\xfa\x03"


def test_replies_are_translated_like_keys() -> None:
    rig = Rig()
    assert rig.tell(0xF2) == b"\xfa\xab\x41"
    assert rig.tell(0xFF) == b"\xfa\xaa"
    assert rig.tell(0xF0) + rig.tell(0) == b"\xfa\xfa\x41"


def test_reset_brings_the_defaults_back() -> None:
    rig = Rig(Typed(b"a"))
    rig.command(0x60, 0x01)
    rig.tell(0xED)
    rig.tell(0x02)
    rig.tell(0xF0)
    rig.tell(0x03)
    assert (rig.chip.keyboard.leds, rig.chip.keyboard.scan_set) == (2, 3)
    assert rig.tell(0xFF) == b"\xfa\xaa"
    assert (rig.chip.keyboard.leds, rig.chip.keyboard.scan_set) == (0, 2)
    assert rig.chip.keyboard.is_enabled


@pytest.mark.parametrize("seed", range(20))
def test_nonsense_hurts_nobody(seed: int) -> None:
    chance = random.Random(seed)
    rig = Rig(Typed(bytes(chance.randbytes(50))))
    for _ in range(2000):
        kind = chance.randrange(5)
        if kind == 0:
            rig.command(chance.randrange(256))
        elif kind == 1:
            rig.send(chance.randrange(256))
        elif kind == 2:
            assert 0 <= rig.get() < 256
        elif kind == 3:
            assert 0 <= rig.status() < 256
        else:
            rig.clock.advance(chance.randrange(1000))
    assert len(rig.chip.keyboard._codes) < 32
    assert len(rig.chip.keyboard._replies) < 8
