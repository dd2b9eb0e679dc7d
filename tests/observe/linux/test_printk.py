# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's log is read from its ring; one that lies is read as far as it makes sense."""

from __future__ import annotations

import random

import pytest

from pvisor.observe.linux.printk import last_messages
from pvisor.observe.linux.symbols import Symbols
from pvisor.observe.linux.view import GuestView
from tests.observe.linux import image

PRB = 0x10_0000


def ring(word: int, n: int = 14, *, word_more: bool = True) -> tuple[GuestView, Symbols]:
    view = image.kernel_view(word)
    base = image.base(view)
    messages = [(1_500_000_000 + i * 1000, f"message {i} " + "x" * (7 * i)) for i in range(n)]
    image.printk_ring(view, base + PRB, messages, word_more=word_more)
    image.put(view, base, (base + PRB).to_bytes(word, "little"))
    return view, Symbols([(base, "d", "prb")], "a test")


@pytest.mark.parametrize("word", [8, 4])
@pytest.mark.parametrize("word_more", [True, False])
def test_the_last_lines_stand_in_order_with_their_times(word: int, word_more: bool) -> None:
    view, symbols = ring(word, word_more=word_more)
    lines = last_messages(view, symbols, 3)
    assert lines == tuple(f"[    1.5000{i:02}] message {i} " + "x" * (7 * i) for i in (11, 12, 13))


def test_no_more_than_the_ring_has() -> None:
    view, symbols = ring(8)
    lines = last_messages(view, symbols, 1000)
    assert lines is not None and len(lines) == 10 and "message 4 " in lines[0]


def test_a_message_that_is_being_written_is_left_out() -> None:
    view, symbols = ring(8)
    image.put(view, image.BASE_64 + PRB + 0x200 + (113 & 15) * 24, (113).to_bytes(8, "little"))  # reserved
    lines = last_messages(view, symbols, 1)
    assert lines is not None and "message 12 " in lines[0]


def test_control_characters_do_not_reach_the_terminal() -> None:
    view = image.kernel_view()
    image.printk_ring(view, image.BASE_64 + PRB, [(0, "a\x1b[2Jb\nsecond")], word_more=True)
    image.put(view, image.BASE_64, (image.BASE_64 + PRB).to_bytes(8, "little"))
    symbols = Symbols([(image.BASE_64, "d", "prb")], "a test")
    assert last_messages(view, symbols, 5) == ("[    0.000000] a?[2Jb", "[    0.000000] second")


@pytest.mark.parametrize("seed", range(30))
def test_a_ring_of_lies_is_no_trouble(seed: int) -> None:
    dice = random.Random(seed)
    view, symbols = ring(dice.choice((8, 4)))
    at = image.base(view) + PRB
    for _ in range(dice.choice((1, 4, 30))):
        part, n_bytes = dice.choice(((0, 0x60), (0x200, 0x180), (0x1000, 0x580)))
        where = part + dice.randrange(n_bytes)
        image.put(view, at + where, bytes([dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))]))
    lines = last_messages(view, symbols, 24)
    assert lines is None or len(lines) <= 24


def test_no_ring_is_none() -> None:
    view = image.kernel_view()
    assert last_messages(view, Symbols([], "a test"), 5) is None
    assert last_messages(view, Symbols([(image.BASE_64, "d", "prb")], "a test"), 5) is None
    assert last_messages(view, Symbols([(1 << 40, "d", "prb")], "a test"), 5) is None
