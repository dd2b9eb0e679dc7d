# SPDX-License-Identifier: GPL-2.0-or-later
"""Sizes, dates and limits as people write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import pytest

from pvisor.cli.params import MAX_INSNS, date, disk, instructions, seconds, size
from pvisor.machine.clock import DEFAULT_EPOCH_S
from pvisor.vmm.config import DiskConfig


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [("4096", 4096), ("64M", 64 << 20), ("1g", 1 << 30), ("2GiB", 2 << 30), ("512KB", 512 << 10)],
)
def test_size(text: str, n_bytes: int) -> None:
    assert size(text) == n_bytes


@pytest.mark.parametrize(
    ("text", "epoch_s"),
    [
        ("2026-01-01T00:00:00Z", DEFAULT_EPOCH_S),
        ("2026-01-01", DEFAULT_EPOCH_S),
        ("2026-01-01T01:00:00+01:00", DEFAULT_EPOCH_S),
        ("2026-01-01 00:00:01", DEFAULT_EPOCH_S + 1),
        ("1970-01-01", 0),
    ],
)
def test_date(text: str, epoch_s: int) -> None:
    assert date(text) == epoch_s


@pytest.mark.parametrize(
    ("text", "name", "read_only"),
    [("d", "d", False), ("d.img,ro", "d.img", True), ("a,b", "a,b", False), ("d,ro,ro", "d,ro", True)],
)
def test_disk(text: str, name: str, read_only: bool) -> None:
    assert disk(text) == DiskConfig(Path(name), read_only)


@pytest.mark.parametrize("text", ["", ",ro"])
def test_no_disk(text: str) -> None:
    with pytest.raises(click.BadParameter, match="names no file"):
        disk(text)


def test_limits() -> None:
    assert instructions(str(MAX_INSNS)) == MAX_INSNS
    assert seconds("0.5") == 0.5


@pytest.mark.parametrize(
    ("parse", "text"),
    [(size, "1.5M"), (size, ""), (size, "M"), (size, "٣M"), (date, "now"), (date, "0001-01-01"),
     (instructions, "-1"), (instructions, "1e9"), (seconds, "-1"), (seconds, "inf")],
)  # fmt: skip
def test_what_will_not_do(parse: Callable[[str], float], text: str) -> None:
    with pytest.raises(click.BadParameter):
        parse(text)
