# SPDX-License-Identifier: GPL-2.0-or-later
"""`--stats`: the schema's keys, how each kind of end is named, and files that are left alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import Pvisor
from tests.guests import elves
from tests.guests.shelf import Shelf
from tests.qemu import pc

WAITS = """
#include "irq.h"
static void tick(struct frame *frame) { irq_end(frame->vector - IRQ_BASE); }
int main(void)
{
    volatile uint32_t *nobody = (volatile uint32_t *)0xf0000000;
    on_interrupt = tick;
    pic_set_up();
    pit_start(0, 2, 11932); /* 10 ms */
    irq_mask(IRQ_PIT, false);
    for (int i = 0; i < 3; i++)
        halt();
    nobody[0] = nobody[0] + nobody[2];
    inb(0x399);
    __asm__ volatile("pushf; popf");
    return 0;
}
"""
KEYS = ["schema", "mode", "tier", "ended_by", "status", "instructions", "virtual_ns", "wall_ns", "exits"]


def stats_of(pvisor: Pvisor, path: Path, *words: str | Path) -> dict[str, Any]:
    """Run with statistics and read them; the process's status must be theirs."""
    said = pvisor("run", *words, "--stats", path)
    facts: dict[str, Any] = json.loads(path.read_text("utf-8"))
    assert list(facts)[: len(KEYS)] == KEYS
    assert facts["schema"] == "pvisor.stats/1"
    assert facts["status"] == said.status
    return facts


@pytest.mark.parametrize("mode", ["full", "para"])
@pytest.mark.parametrize("tier", ["native", "python"])
def test_a_run(pvisor: Pvisor, guests: Shelf, tmp_path: Path, mode: str, tier: str) -> None:
    facts = stats_of(pvisor, tmp_path / "s.json", guests("native_exits", mode), "--tier", tier)
    assert (facts["mode"], facts["tier"], facts["ended_by"], facts["status"]) == (mode, tier, "guest", 0)
    assert facts["virtual_ns"] == facts["instructions"] > 0 and facts["wall_ns"] > 0
    for row in facts["exits"].values():
        assert list(row) == ["count", "native", "python", "wall_ns"]
        assert row["count"] == row["native"] + row["python"] > 0
        assert row["wall_ns"] is None if row["native"] else row["wall_ns"] > 0
    hot = facts["exits"]["hypercall" if mode == "para" else "cli"]
    assert hot["native"] == (100 if tier == "native" else 0)


def test_native_exits_are_timed_when_asked(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    facts = stats_of(pvisor, tmp_path / "s.json", guests("native_exits", "full"), "--time-exits")
    assert facts["exits"]["cli"]["native"] == 100 and facts["exits"]["cli"]["wall_ns"] > 0


@pytest.mark.parametrize(
    ("guest", "options", "ended_by", "status"),
    [
        ("exit_status", [], "guest", 0),
        ("exit_status", ["--cmdline", "61"], "guest", 123),
        ("exit_status", ["--cmdline", "66"], "guest", 133),
        ("endless", ["--max-insns", "50000"], "budget", 124),
        ("endless", ["--timeout", "0.1"], "budget", 124),
        ("halt", [], "idle", 124),
        ("crash", [], "crash", 134),
    ],
)
@pytest.mark.parametrize("mode", ["full", "para"])
def test_how_it_ended(
    pvisor: Pvisor, guests: Shelf, tmp_path: Path, mode: str,
    guest: str, options: list[str], ended_by: str, status: int,
) -> None:  # fmt: skip
    facts = stats_of(pvisor, tmp_path / "s.json", guests(guest, mode), *options)
    assert (facts["ended_by"], facts["status"]) == (ended_by, status)
    if "--max-insns" in options:
        assert 49_000 < facts["instructions"] <= 50_000


def test_a_refused_guest(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    newer = elves.with_note(guests("hello", "para"), tmp_path / "newer.elf", abi_version=9)
    facts = stats_of(pvisor, tmp_path / "s.json", newer)
    assert (facts["ended_by"], facts["status"], facts["exits"]) == ("refused", 126, {})
    assert [facts[key] for key in ("instructions", "virtual_ns", "wall_ns")] == [0, 0, 0]


def test_a_wrong_command_leaves_no_file_and_changes_none(pvisor: Pvisor, tmp_path: Path) -> None:
    new, old = tmp_path / "new.json", tmp_path / "old.json"
    old.write_text("keep me", "utf-8")
    assert pvisor("run", "/nowhere", "--stats", new).status == 125
    assert pvisor("run", "/nowhere", "--stats", old).status == 125
    assert not new.exists() and old.read_text("utf-8") == "keep me"


def test_what_was_in_the_file_is_gone(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text("x" * 10_000, "utf-8")
    stats_of(pvisor, path, guests("exit_status", "para"))


def test_unclaimed_ioports_are_counted(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    facts = stats_of(pvisor, tmp_path / "s.json", guests("hello", "full"))
    assert facts["unclaimed_ioports"] == {} and facts["repair"] in ("state", "context")


def test_what_the_left_wing_knows(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    facts = stats_of(pvisor, tmp_path / "s.json", guests("hello", "full"))
    assert (facts["remedy"], facts["patches"]) == ("patch", {"now": 0, "ever": 0})
    assert (facts["idle_ns"], facts["deadlines"], facts["unclaimed_mmio"]) == (0, 0, {})
    facts = stats_of(pvisor, tmp_path / "s.json", guests("hello", "para"))
    assert (facts["remedy"], facts["patches"], facts["unclaimed_mmio"]) == (None, None, {})


@pytest.mark.needs_gcc
@pytest.mark.parametrize("mode", ["full", "emu"])
def test_waiting_deadlines_patches_and_nobodys_memory(pvisor: Pvisor, tmp_path: Path, mode: str) -> None:
    source = tmp_path / "waits.c"
    source.write_text(WAITS, "utf-8")
    elf = pc.build_source(source, 32, tmp_path)
    facts = stats_of(pvisor, tmp_path / "s.json", elf, "--mode", mode)
    assert facts["deadlines"] >= 3 and 25_000_000 < facts["idle_ns"] < 40_000_000
    assert facts["virtual_ns"] == facts["instructions"] + facts["idle_ns"]
    assert facts["unclaimed_mmio"] == {"0xf0000000": 2, "0xf0000008": 1}
    assert facts["unclaimed_ioports"] == {"0x399": 1}
    assert (facts["remedy"], facts["patches"]) == (
        ("patch", {"now": 2, "ever": 2}) if mode == "full" else (None, None)
    )
