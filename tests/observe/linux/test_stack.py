# SPDX-License-Identifier: GPL-2.0-or-later
"""A scan of the stack finds what was called, and says where it is not sure."""

from __future__ import annotations

import pytest

from pvisor.observe.linux.stack import StackLine, call_target, scan_stack
from pvisor.observe.linux.symbols import Symbols
from pvisor.observe.linux.view import GuestView
from tests.observe.linux import image

STACK = 0x20_4000
STEP = 0x1000


def kernel(word: int) -> tuple[GuestView, Symbols, int]:
    """Functions a to d, 4 KiB each; a call of the one before stands at 0x100, an indirect one at 0x200."""
    view = image.kernel_view(word)
    base = image.base(view)
    for i in range(4):
        at = base + i * STEP
        image.put(view, at + 0x100, b"\xe8" + (-STEP - 0x105 & 0xFFFF_FFFF).to_bytes(4, "little"))
        image.put(view, at + 0x200, b"\xff\xd0")
    return view, Symbols([(base + i * STEP, "T", name) for i, name in enumerate("abcd")], "a test"), base


def push(view: GuestView, at: int, *words: int) -> int:
    for i, value in enumerate(words):
        image.put(view, at + i * view.word_bytes, value.to_bytes(view.word_bytes, "little"))
    return at


@pytest.mark.parametrize("word", [8, 4])
def test_calls_are_found_amid_other_words(word: int) -> None:
    view, symbols, base = kernel(word)
    b, c, d = (base + i * STEP for i in (1, 2, 3))
    rsp = push(view, base + STACK - 0x80, 5, b + 0x105, c + 7, c + 0x105, 0, d + 0x202)
    lines = scan_stack(view, symbols, base + 4, rsp, 10)
    assert lines == (
        StackLine(base + 4, "a+0x4", True), StackLine(b + 0x105, "b+0x105", True),
        StackLine(c + 0x105, "c+0x105", True), StackLine(d + 0x202, "d+0x202", False),
    )  # fmt: skip


def test_an_interrupts_stack_leads_back_to_the_one_before() -> None:
    view, symbols, base = kernel(8)
    b, task = base + STEP, base + STACK + 0x8000 - 0x40
    push(view, task, b + 0x105)
    push(view, base + STACK - 8, task)
    lines = scan_stack(view, symbols, base, base + STACK - 0x100, 10)
    assert [line.name for line in lines] == ["a+0x0", "b+0x105"]


def test_a_stack_that_leads_to_itself_or_nowhere_ends() -> None:
    view, symbols, base = kernel(8)
    rsp = base + STACK - 0x100
    for last in (rsp, base + STACK - 8, 1, 1 << 62):
        push(view, base + STACK - 8, last)
        assert len(scan_stack(view, symbols, base, rsp, 10)) == 1
    for nowhere in (0, 8, 1 << 40, (1 << 64) - 8, (1 << 64) - 1):
        assert len(scan_stack(view, symbols, base, nowhere, 10)) == 1


def test_what_counts_as_a_call() -> None:
    view, _, base = kernel(8)
    for code, target in (
        (b"\xe8\0\x10\0\0", base + 0x1000 + 0x1000), (b"\xff\xd3", -1), (b"\xff\x15\0\0\0\0", -1),
        (b"\xff\x50\x10", -1), (b"\x41\xff\xd4", -1), (b"\xe9\0\0\0\0", None), (b"\xff\xe0", None),
    ):  # fmt: skip
        image.put(view, base + 0x1000 - 16, b"\x90" * (16 - len(code)) + code)
        assert call_target(view, base + 0x1000) == target
