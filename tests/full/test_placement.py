# SPDX-License-Identifier: GPL-2.0-or-later
"""Room in RAM: whole pages, inside RAM, never the same twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pvisor.full.placement import Ram

RANGES = ((0, 0x9_FC00), (0x10_0000, 0x40_0000))


def test_holes() -> None:
    ram = Ram(RANGES)
    assert ram.end == 0x40_0000
    assert ram.hole_in(0, 0x9_FC00) is None
    assert ram.hole_in(0x10_0000, 0x30_0000) is None
    assert ram.hole_in(0x9_0000, 0x1_0000) == (0x9_FC00, 0xA_0000)
    assert ram.hole_in(0x8_0000, 1 << 40) == (0x9_FC00, 0x10_0000)
    assert ram.hole_in(0x3F_FFFF, 2) == (0x40_0000, 0x40_0001)
    assert ram.hole_in(1 << 63, 1) == (1 << 63, (1 << 63) + 1)
    assert ram.hole_in(0xB_8000, 0) is None


def test_lowest_and_highest() -> None:
    ram = Ram(RANGES)
    ram.take(0x10_0000, 0x1234)
    assert ram.lowest(1, 0x10_0000) == 0x10_2000
    assert ram.lowest(0, 0x10_0000) == 0x10_3000
    assert ram.lowest(0x9_E000, 0x1001) is not None
    assert ram.highest(0x1001, 0x10_0000) == 0x3F_E000
    assert ram.highest(1, 0x10_0000) == 0x3F_D000
    assert ram.highest(1, 0x1000, 0xA_0000) == 0x9_F000
    assert ram.highest(0xC00, 0x1000, 0xA_0000) == 0x9_E000
    assert ram.highest(1 << 30, 0) is None
    assert ram.lowest(1 << 30, 0) is None
    assert ram.lowest(1, 1 << 40) is None


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 0x8_0000), st.integers(0, 0x40_0000)), min_size=1, max_size=12
    )
)
def test_what_is_given_is_free_ram(wishes: list[tuple[bool, int, int]]) -> None:
    ram = Ram(RANGES)
    given_out: list[tuple[int, int]] = []
    for from_top, n_bytes, lowest in wishes:
        at = ram.highest(n_bytes, lowest) if from_top else ram.lowest(n_bytes, lowest)
        if at is None:
            continue
        assert at % 4096 == 0 and at >= lowest and ram.hole_in(at, n_bytes) is None
        assert all(at + n_bytes <= start or end <= at for start, end in given_out)
        given_out.append((at, at + n_bytes))
