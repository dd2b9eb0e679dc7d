# SPDX-License-Identifier: GPL-2.0-or-later
"""The scripts of the promised figures run, and measure what they say. No figure is judged by the clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.emu.vcpu import lane_works
from tests.bench import (
    cli_sti,
    cr3,
    devices,
    devices_para,
    event_trip,
    fill,
    hypercall,
    page_tables,
    paged,
    system_call,
    uart,
)
from tests.bench.figure import NO_LIMIT, Figure

pytestmark = pytest.mark.needs_gcc


def check(figure: Figure) -> None:
    """A figure that can be printed. What so short a run measures may be anything: start-up is subtracted."""
    limit = "no limit" if figure.limit == NO_LIMIT else f"limit {figure.limit:g}"
    assert limit in figure.line() and figure.reference in figure.line()


def test_cli_sti() -> None:
    check(cli_sti.measure(n_samples=1, n_operations=2_000))


@pytest.mark.skipif(not lane_works(), reason="the control lane needs Unicorn 2.1.4 on Linux")
def test_system_call() -> None:
    figure = system_call.measure(n_samples=1, sample_ms=5)
    assert figure.limit == system_call.LIMIT


@pytest.mark.needs_qemu
def test_uart() -> None:
    figure = uart.measure(n_samples=1, long=5_000)
    assert figure.limit == uart.LIMIT


@pytest.mark.needs_qemu
def test_devices(tmp_path: Path) -> None:
    elf = devices.build(tmp_path)
    for index in range(len(devices.OPERATIONS)):
        check(devices.measure(elf, index, n_samples=1, factor=0.01))


def test_cr3() -> None:
    check(cr3.measure(n_samples=1, sample_ms=1))


def test_shadow_fill() -> None:
    figures = fill.measure(n_samples=1, long=2_000)
    assert len(figures) == len(fill.LIMITS_NS)
    for figure in figures:
        check(figure)


def test_sieve_and_hash() -> None:
    check(paged.measure(n_samples=1, long=2))


def test_hypercall() -> None:
    check(hypercall.measure(n_samples=1, n_operations=2_000))


def test_event_trip() -> None:
    native, python = event_trip.measure(n_samples=1, sample_ms=0, n_noops=500)
    assert (native.limit, native.served_by) == (4, "native")
    assert (python.limit, python.served_by) == (NO_LIMIT, "python")


@pytest.mark.skipif(not lane_works(), reason="the control lane needs Unicorn 2.1.4 on Linux")
def test_page_tables() -> None:
    figures = page_tables.measure(n_samples=1, sample_ms=0)
    assert [figure.limit for figure in figures] == [1 / 5, 1 / 3, NO_LIMIT, NO_LIMIT, 1 / 3] * 2
    assert [figure.served_by for figure in figures] == ["native"] * 5 + ["python"] * 5


def test_exits_of_devices() -> None:
    """Exits are the same in every run, so these are judged."""
    figures = devices_para.measure(n_samples=1, sample_ms=0)
    assert [figure.unit for figure in figures] == ["exits", "exits", "MB/s", "MB/s", "exits", "exits"]
    for figure in figures:
        assert figure.ratio <= figure.limit, figure.line()


def test_a_line_tells_whether_the_limit_is_kept() -> None:
    figure = Figure("a thing", 12.0, 10.0, "bare", 1.3, "native")
    assert figure.line() == "a thing [native]: 12.0 ns, bare: 10.0 ns, ratio 1.20, limit 1.3: kept"
    assert Figure("a thing", 14.0, 10.0, "bare", 1.3).line().endswith("limit 1.3: NOT KEPT")
    reported = Figure("a disk", 40, 10, "another", NO_LIMIT, unit="MB/s")
    assert reported.line() == "a disk: 40 MB/s, another: 10 MB/s, ratio 4.00, no limit"
