# SPDX-License-Identifier: GPL-2.0-or-later
"""`compare --kernel` takes Debian's boot apart, and it is the boot that `run` makes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import command, environment
from tests.linux.machine import boot
from tests.linux.packages import cloud_kernel

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def costs(initrd: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The runs by mode, of a boot with KASLR."""
    path = tmp_path_factory.mktemp("costs") / "costs.json"
    words: list[str | Path] = ["compare", "--kernel", cloud_kernel().vmlinuz, "--initrd", initrd]
    words += ["--memory", "128M", "--cmdline", "console=ttyS0", "--input", "-", "--json", path]
    done = subprocess.run(
        command(*words), input=b"poweroff -f\n", capture_output=True, timeout=300, check=False,
        env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    for word in ("decompress", "initcalls begin at", "hottest patched", "handlers in C"):
        assert word in done.stdout.decode()
    return {one["mode"]: one for one in json.loads(path.read_text("utf-8"))["runs"]}


def test_all_phases_are_there_and_the_modes_agree(costs: dict[str, Any]) -> None:
    names = ["decompress", "early", "initcalls", "user space"]
    for one in costs.values():
        assert [phase["name"] for phase in one["phases"]] == names
        assert one["kernel"].startswith("Linux version 6.")
    for full, emu in zip(costs["full"]["phases"], costs["emu"]["phases"], strict=True):
        assert full["instructions"] == pytest.approx(emu["instructions"], rel=0.05)
        assert full["exits"]["shadow_fill"] > 0 and "shadow_fill" not in emu["exits"]
    assert [phase["patched"] for phase in costs["emu"]["phases"]] == [0, 0, 0, 0]


def test_places_have_names(costs: dict[str, Any]) -> None:
    hottest = costs["full"]["places"][:20]
    assert not [place for place in hottest if place["name"].startswith("0x")]
    assert any(place["reason"] == "pushf" for place in hottest)


@pytest.mark.parametrize("mode", ["full", "emu"])
def test_it_is_the_boot_that_run_makes(initrd: Path, costs: dict[str, Any], mode: str) -> None:
    booted = boot(initrd, mode, ["poweroff -f"])
    assert sum(phase["instructions"] for phase in costs[mode]["phases"]) == booted.facts["instructions"]
    exits = booted.facts["exits"]
    assert isinstance(exits, dict)
    for reason, row in exits.items():
        assert sum(phase["exits"].get(reason, 0) for phase in costs[mode]["phases"]) == row["count"], reason


def test_an_operating_system_that_has_nothing_more_to_do(initrd: Path) -> None:
    """Without input and a command line: its console is the serial port, and it ends when it rests."""
    words: list[str | Path] = ["compare", "--kernel", cloud_kernel().vmlinuz, "--initrd", initrd]
    words += ["--modes", "full"]
    done = subprocess.run(
        command(*words), stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False,
        env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert "it has nothing to do for 60 s, and no input" in " ".join(done.stdout.decode().split())
