# SPDX-License-Identifier: GPL-2.0-or-later
"""The real-time clock and CMOS memory, as the MC146818A data sheet has them, and QEMU's pc the memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvisor.full.rtc import date_of, days_since_1970, next_alarm
from pvisor.machine.clock import NS_PER_S
from tests.full.rtc_board import (
    BINARY,
    DATE,
    GIB,
    HOURS_24,
    MIB,
    MS,
    SET,
    TIME,
    UIP,
    US,
    A,
    B,
    C,
    D,
    RtcBoard,
)


@pytest.fixture
def board() -> RtcBoard:
    return RtcBoard()


# --- state at entry


def test_firmware_has_been_here(board: RtcBoard) -> None:
    assert [board.get(i) for i in (A, B, C, D)] == [0x26, HOURS_24, 0, 0x80]
    assert board.stamp() == "20260101 000000" and board.get(6) == 5  # a Thursday
    assert board.get(1, 3, 5) == 0  # alarms
    assert board.clock.timers.next_due_ns is None


@pytest.mark.parametrize(
    ("memory_bytes", "extended_kib", "above_16m", "above_4g"),
    [
        (8 * MIB, 7 << 10, 0, 0),
        (16 * MIB, 15 << 10, 0, 0),
        (64 * MIB, 0xFC00, 0x0300, 0),
        (65 * MIB, 0xFFFF, 49 << 4, 0),
        (2 * GIB, 0xFFFF, 0x7F00, 0),
        (4 * GIB, 0xFFFF, 0xBF00, 0x4000),
        (0, 0, 0, 0),
        (1 << 62, 0xFFFF, 0xBF00, 0xFF_FFFF),
    ],
)
def test_memory_sizes(memory_bytes: int, extended_kib: int, above_16m: int, above_4g: int) -> None:
    board = RtcBoard(memory_bytes=memory_bytes)
    assert board.get(0x16, 0x15) == 640
    assert board.get(0x18, 0x17) == board.get(0x31, 0x30) == extended_kib
    assert board.get(0x35, 0x34) == above_16m
    assert board.get(0x5D, 0x5C, 0x5B) == above_4g


def test_other_bytes_are_what_qemu_and_seabios_leave(board: RtcBoard) -> None:
    expected = {0x14: 0x06, 0x15: 0x80, 0x16: 0x02, 0x18: 0xFC, 0x31: 0xFC, 0x32: 0x20, 0x35: 0x03,
                0x37: 0x20, 0x38: 0x30, 0x3D: 0x12}  # fmt: skip
    assert {i: board.get(i) for i in range(0x0E, 0x80)} == {i: expected.get(i, 0) for i in range(0x0E, 0x80)}


# --- memory


def test_cmos_bytes_keep_what_is_written(board: RtcBoard) -> None:
    for index in (0x0E, 0x0F, 0x10, 0x2E, 0x33, 0x36, 0x7F):
        board.put(index, 0xA5 ^ index)
    board.advance_s(2)
    for index in (0x0E, 0x0F, 0x10, 0x2E, 0x33, 0x36, 0x7F):
        assert board.get(index) == 0xA5 ^ index


def test_the_nmi_bit_of_the_index_is_ignored_and_the_index_cannot_be_read(board: RtcBoard) -> None:
    board.put(0x8F, 0x0A)
    assert board.get(0x0F) == board.get(0x8F) == 0x0A
    assert board.bus.read(0x70, 1) == 0xFF


def test_the_century_is_at_0x37_too(board: RtcBoard) -> None:
    board.put(0x37, 0x21)
    assert board.get(0x32) == board.get(0x37) == 0x21


# --- the time


@pytest.mark.parametrize(
    ("start", "seconds", "then", "weekday"),
    [
        ("2026-01-01T00:00:00", 3661, "20260101 010101", 5),
        ("2026-12-31T23:59:59", 1, "20270101 000000", 6),
        ("2024-02-28T12:00:00", 86400, "20240229 120000", 5),
        ("2023-02-28T12:00:00", 86400, "20230301 120000", 4),
        ("2099-12-31T23:59:59", 1, "21000101 000000", 6),
        ("1999-12-31T23:59:59", 1, "20000101 000000", 7),
    ],
)
def test_time_passes(start: str, seconds: int, then: str, weekday: int) -> None:
    board = RtcBoard(start)
    board.clock.advance(seconds * NS_PER_S - 1)
    assert board.stamp() != then
    board.clock.advance(1)
    assert board.stamp() == then and board.get(6) == weekday


@pytest.mark.parametrize(
    ("hour", "bcd_12", "binary_12"),
    [(0, 0x12, 12), (1, 0x01, 1), (11, 0x11, 11), (12, 0x92, 0x8C), (13, 0x81, 0x81), (23, 0x91, 0x8B)],
)
def test_hours_in_both_formats(hour: int, bcd_12: int, binary_12: int) -> None:
    board = RtcBoard(f"2026-10-25T{hour:02}:45:59")
    board.put(B, 0)
    assert board.get(*TIME) == bcd_12 << 16 | 0x4559
    board.put(B, BINARY)
    assert board.get(*TIME) == binary_12 << 16 | 45 << 8 | 59
    assert board.get(*DATE) == 20 << 24 | 26 << 16 | 10 << 8 | 25
    board.put(B, BINARY | HOURS_24)
    assert board.get(4) == hour
    for flags, byte in ((0, bcd_12), (BINARY, binary_12)):  # and back
        board.put(B, SET | flags)
        board.put(4, byte)
        board.put(B, flags)
        board.put(B, BINARY | HOURS_24)
        assert board.get(4) == hour


def test_set_stops_the_clock_for_setting_it(board: RtcBoard) -> None:
    board.advance_s(10.25)
    board.put(B, SET | HOURS_24)
    board.advance_s(5)
    assert board.stamp() == "20260101 000010"
    for index, byte in zip((*DATE, *TIME, 6), (0x19, 0x70, 0x05, 0x31, 0x23, 0x59, 0x58, 1), strict=True):
        board.put(index, byte)
    board.put(B, HOURS_24)
    assert board.stamp() == "19700531 235958" and board.get(6) == 1
    board.advance_s(0.75)  # the divider has gone on: a second ends as before
    assert board.stamp() == "19700531 235959"
    board.advance_s(1)
    assert board.stamp() == "19700601 000000" and board.get(6) == 2


def test_writing_without_set_takes_effect_at_once(board: RtcBoard) -> None:
    board.put(4, 0x17)
    assert board.stamp() == "20260101 170000"
    board.advance_s(60)
    assert board.stamp() == "20260101 170100"


def test_the_day_of_the_week_is_a_counter_of_its_own(board: RtcBoard) -> None:
    board.put(6, 7)
    assert board.get(6) == 7
    board.put(7, 0x02)
    assert board.get(6) == 7
    board.advance_s(86400)
    assert board.get(6) == 1 and board.get(7) == 0x03


def test_resetting_the_divider_stops_it_and_release_leaves_half_a_second(board: RtcBoard) -> None:
    board.advance_s(3.9)
    board.put(A, 0x76)
    board.advance_s(20)
    assert board.stamp() == "20260101 000003" and board.get(A) == 0x76
    board.put(A, 0x26)
    board.clock.advance(NS_PER_S // 2 - 1)
    assert board.get(0) == 0x03
    board.clock.advance(1)
    assert board.get(0) == 0x04
    board.advance_s(1)
    assert board.get(0) == 0x05


def test_uip_warns_of_the_update(board: RtcBoard) -> None:
    """244 us before it, and for its 1984 us; the time is good until it falls."""
    board.clock.advance(NS_PER_S - 2_228 * US - 1)
    assert board.get(A) == 0x26
    board.clock.advance(1)
    assert board.get(A) == 0x26 | UIP and board.get(0) == 0
    board.clock.advance(2_228 * US - 1)
    assert board.get(A) == 0x26 | UIP and board.get(0) == 0
    board.clock.advance(1)
    assert board.get(A) == 0x26 and board.get(0) == 1


@pytest.mark.parametrize(("index", "value"), [(B, SET | HOURS_24), (A, 0x66)])
def test_uip_falls_when_updates_are_off(board: RtcBoard, index: int, value: int) -> None:
    board.clock.advance(NS_PER_S - 1 * MS)
    assert board.get(A) & UIP
    board.put(index, value)
    assert not board.get(A) & UIP


def test_uip_is_not_for_writing(board: RtcBoard) -> None:
    board.put(A, 0xA6)
    assert board.get(A) == 0x26


# --- nonsense

WRITES = st.lists(
    st.tuples(st.integers(0, 0x3F), st.integers(0, 255), st.integers(0, 3 * NS_PER_S)), max_size=30
)


@given(WRITES)
def test_whatever_is_written_gives_bytes(writes: Sequence[tuple[int, int, int]]) -> None:
    board = RtcBoard()
    for index, value, pause_ns in writes:
        board.put(index, value)
        assert all(0 <= board.get(i) <= 0xFF for i in range(0x40))
        board.clock.advance(pause_ns)
        due = board.clock.timers.next_due_ns
        assert due is None or due > board.clock.now_ns


@given(st.lists(st.integers(0, 255), min_size=8, max_size=8), st.sampled_from([0, HOURS_24, BINARY]))
def test_a_time_of_nonsense_becomes_one_that_goes_on(values: Sequence[int], flags: int) -> None:
    board = RtcBoard()
    board.put(B, SET | flags)
    for index, value in zip((*DATE, *TIME, 6), values, strict=True):
        board.put(index, value)
    board.put(B, flags)
    board.put(B, BINARY | HOURS_24)
    shown = [board.get(i) for i in (4, 2, 0, 8, 7, 6)]
    limits = ((0, 23), (0, 59), (0, 59), (1, 12), (1, 31), (1, 7))
    assert all(low <= value <= high for value, (low, high) in zip(shown, limits, strict=True))
    seconds = shown[2]
    board.advance_s(1)
    assert board.get(0) == (seconds + 1) % 60


# --- arithmetic of dates and alarms


@given(st.dates(date(1, 1, 1), date(9999, 12, 31)))
def test_days_are_those_of_the_calendar(day: date) -> None:
    days = (day - date(1970, 1, 1)).days
    assert days_since_1970(day.year, day.month, day.day) == days
    assert date_of(days) == (day.year, day.month, day.day)


@pytest.mark.parametrize(
    ("given", "meant"),
    [((2026, 13, 1), (2027, 1, 1)), ((2026, 0, 1), (2025, 12, 1)), ((2026, 2, 30), (2026, 3, 2)),
     ((2026, 1, 0), (2025, 12, 31)), ((0, 3, 1), (0, 3, 1)), ((16_665, 165, 165), (16_679, 2, 12))],
)  # fmt: skip
def test_dates_out_of_range_run_on(given: tuple[int, int, int], meant: tuple[int, int, int]) -> None:
    assert date_of(days_since_1970(*given)) == meant


FIELDS = st.tuples(
    st.none() | st.integers(0, 23), st.none() | st.integers(0, 59), st.none() | st.integers(0, 59)
)


def matches(seconds: int, alarm: tuple[int | None, int | None, int | None]) -> bool:
    shown = (seconds // 3600 % 24, seconds // 60 % 60, seconds % 60)
    return all(want is None or want == is_ for want, is_ in zip(alarm, shown, strict=True))


@given(st.integers(0, 1 << 33), FIELDS, st.lists(st.integers(1, 86399), min_size=20))
def test_the_next_alarm_is_the_first_that_matches(
    after_s: int, alarm: tuple[int | None, int | None, int | None], earlier: Sequence[int]
) -> None:
    found = next_alarm(after_s, alarm)
    assert found is not None and after_s < found <= after_s + 86400 and matches(found, alarm)
    between = {found - distance for distance in (1, 59, 60, 61, 3599, 3600, 3601, *earlier)}
    assert not [at for at in between if at > after_s and matches(at, alarm)]


@given(st.integers(0, 86399), FIELDS)
@settings(max_examples=20, deadline=None)
def test_and_so_it_is_second_by_second(
    after_s: int, alarm: tuple[int | None, int | None, int | None]
) -> None:
    found = next_alarm(after_s, alarm)
    assert found == next(at for at in range(after_s + 1, after_s + 86401) if matches(at, alarm))
