# SPDX-License-Identifier: GPL-2.0-or-later
"""The date that a guest sees follows its virtual time from a fixed beginning."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvisor.machine.clock import DEFAULT_EPOCH_S, NS_PER_S, WallClock


def test_time_begins_with_the_year_2026() -> None:
    assert datetime.fromtimestamp(DEFAULT_EPOCH_S, timezone.utc) == datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert WallClock().at(0) == (DEFAULT_EPOCH_S, 0)


@pytest.mark.parametrize(
    ("virtual_ns", "seconds", "nanoseconds"),
    [(1, 0, 1), (NS_PER_S - 1, 0, NS_PER_S - 1), (NS_PER_S, 1, 0), (3 * NS_PER_S + 7, 3, 7)],
)
def test_a_nanosecond_is_a_nanosecond(virtual_ns: int, seconds: int, nanoseconds: int) -> None:
    assert WallClock(epoch_s=100).at(virtual_ns) == (100 + seconds, nanoseconds)


@given(st.integers(0, (1 << 64) - 1), st.integers(0, 1 << 40))
def test_no_time_is_lost(virtual_ns: int, epoch_s: int) -> None:
    seconds, nanoseconds = WallClock(epoch_s).at(virtual_ns)
    assert 0 <= nanoseconds < NS_PER_S
    assert (seconds - epoch_s) * NS_PER_S + nanoseconds == virtual_ns
