# SPDX-License-Identifier: GPL-2.0-or-later
"""The status flags, by their definitions (SDM 1 3.4.3.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvisor.full.flags import AF, CF, OF, PF, SF, ZF, add, holds, mask_of, of_result, signed, subtract

SIZES = st.sampled_from((1, 2, 4, 8))
WORDS = st.integers(0, (1 << 64) - 1)


def names(flags: int) -> str:
    """The flags that are set, as letters."""
    letters = {CF: "c", PF: "p", AF: "a", ZF: "z", SF: "s", OF: "o"}
    return "".join(letter for bit, letter in letters.items() if flags & bit)


@pytest.mark.parametrize(
    ("left", "right", "carry", "result", "flags"),
    [
        (0x00, 0x00, 0, 0x00, "pz"), (0xFF, 0x01, 0, 0x00, "cpaz"), (0x7F, 0x01, 0, 0x80, "aso"),
        (0x80, 0x80, 0, 0x00, "cpzo"), (0xFF, 0x00, 1, 0x00, "cpaz"), (0x0F, 0x00, 1, 0x10, "a"),
        (0x7F, 0x7F, 1, 0xFF, "paso"), (0xFF, 0xFF, 1, 0xFF, "cpas"),
    ],
)  # fmt: skip
def test_add(left: int, right: int, carry: int, result: int, flags: str) -> None:
    got = add(left, right, 1, carry)
    assert (got[0], names(got[1])) == (result, flags)


@pytest.mark.parametrize(
    ("left", "right", "borrow", "result", "flags"),
    [
        (0x00, 0x00, 0, 0x00, "pz"), (0x00, 0x01, 0, 0xFF, "cpas"), (0x80, 0x01, 0, 0x7F, "ao"),
        (0x7F, 0xFF, 0, 0x80, "cso"), (0x10, 0x00, 1, 0x0F, "pa"), (0x00, 0xFF, 1, 0x00, "cpaz"),
        (0x80, 0x7F, 1, 0x00, "pazo"),
    ],
)  # fmt: skip
def test_subtract(left: int, right: int, borrow: int, result: int, flags: str) -> None:
    got = subtract(left, right, 1, borrow)
    assert (got[0], names(got[1])) == (result, flags)


@given(WORDS, WORDS, SIZES, st.integers(0, 1))
def test_by_definition(left: int, right: int, size: int, carry: int) -> None:
    left, right = left & mask_of(size), right & mask_of(size)
    low, high = -(1 << 8 * size - 1), 1 << 8 * size - 1
    for compute, sign in ((add, 1), (subtract, -1)):
        result, flags = compute(left, right, size, carry)
        exact = left + sign * (right + carry)
        with_signs = signed(left, size) + sign * (signed(right, size) + carry)
        nibble = (left & 15) + sign * ((right & 15) + carry)
        assert result == exact & mask_of(size)
        assert bool(flags & CF) == (not 0 <= exact <= mask_of(size))
        assert bool(flags & OF) == (not low <= with_signs < high)
        assert bool(flags & AF) == (not 0 <= nibble < 16)
        assert flags & (ZF | SF | PF) == of_result(result, size)


def test_parity_is_of_the_low_byte() -> None:
    assert of_result(0x0101, 2) == 0
    assert of_result(0x0103, 2) == PF


# condition number: a combination of flags under which it holds, one under which it does not
@pytest.mark.parametrize(
    ("condition", "yes", "no"),
    [
        (0, OF, 0), (1, 0, OF), (2, CF, ZF), (3, ZF, CF), (4, ZF, CF), (5, CF, ZF), (6, CF, SF), (6, ZF, OF),
        (7, SF, ZF), (8, SF, OF), (9, OF, SF), (10, PF, 0), (11, 0, PF), (12, SF, SF | OF), (12, OF, 0),
        (13, SF | OF, OF), (14, ZF, 0), (14, SF, SF | OF), (15, 0, ZF), (15, SF | OF, OF),
    ],
)  # fmt: skip
def test_conditions(condition: int, yes: int, no: int) -> None:
    assert holds(condition, yes) and not holds(condition, no)
