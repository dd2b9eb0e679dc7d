# SPDX-License-Identifier: GPL-2.0-or-later
"""`pvisor compare`: builds, runs, checks that both did the same, and shows one table."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.support import Pvisor
from tests.guests import elves
from tests.guests.shelf import Shelf

GUESTS = elves.FOLDER


def test_hello(pvisor: Pvisor, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    said = pvisor("compare", "hello", "--json", path, "--keep", tmp_path / "kept")
    assert said.status == 0 and said.err == ""
    order = ["exits", "boot, before main", "main", "pv_printf", "exits by intercept", "hypercall", "io_out",
             "exits by trap", "mov_cr", "in all", "instructions", "artefact"]  # fmt: skip
    places = [said.out.find(word) for word in order]
    assert places == sorted(places) and -1 not in places
    assert {elf.name for elf in (tmp_path / "kept").iterdir()} == {"hello-full.elf", "hello-para.elf"}

    facts = json.loads(path.read_text("utf-8"))
    assert facts["schema"] == "pvisor.compare/1" and facts["same"] is True
    operations = {row["name"]: row for row in facts["operations"]}
    assert operations["pv_write"]["para"] == {"calls": 4, "exits": 4, "instructions": 96}
    assert operations["pv_write"]["full"]["exits"] > 150
    for mode in ("full", "para", "emu"):
        parts = [operations[name][mode]["exits"] for name in ("boot", "main", "pv_exit")]
        assert sum(parts) == facts["totals"][mode]["exits"], "boot, main and power-off are all there is"
        counted = sum(row[mode]["count"] for row in facts["exits"].values() if row[mode] is not None)
        assert counted == facts["totals"][mode]["exits"]
        assert (facts["totals"][mode]["ended_by"], facts["totals"][mode]["status"]) == ("guest", 0)
    totals = facts["totals"]
    assert totals["emu"]["instructions"] == totals["full"]["instructions"], "the same kernel"
    assert totals["emu"]["exits"] < totals["full"]["exits"]
    assert facts["exits"]["mov_cr"]["emu"] is None, "the engine's CPU executes it"
    assert facts["exits"]["hypercall"]["class"] == "intercept" and facts["exits"]["mov_cr"]["class"] == "trap"
    assert facts["exits"]["hypercall"]["floor_ns"] > 0 and facts["exits"]["mov_cr"]["floor_ns"] is None


@pytest.mark.parametrize("name", ["hello", "01-hello", "{demos}/01-hello", "{demos}/01-hello/hello.c"])
def test_names_of_a_demo(pvisor: Pvisor, repo_root: Path, name: str) -> None:
    said = pvisor("compare", name.replace("{demos}", str(repo_root / "demos")), "--no-floors")
    assert said.status == 0 and said.out.lstrip().startswith("hello, fully virtualized and paravirtualized")


@pytest.mark.parametrize("name", ["sensitive", "07-sensitive", "{demos}/07-sensitive"])
def test_a_demo_of_one_mode_cannot_be_compared(pvisor: Pvisor, repo_root: Path, name: str) -> None:
    said = pvisor("compare", name.replace("{demos}", str(repo_root / "demos")))
    assert (said.status, said.out, said.err.count("\n")) == (125, "", 1)
    assert "a demo for mode full only" in said.err


def test_the_table_fits_a_terminal(pvisor: Pvisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = pvisor("compare", "hello").out
    assert max(map(len, out.splitlines())) <= 80 and "…" not in out


def test_guests_that_differ_are_not_compared(pvisor: Pvisor, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    said = pvisor("compare", GUESTS / "differs.c", "--no-floors", "--json", path)
    assert (said.status, said.out) == (1, "")
    assert "full status 3, para status 5" in said.err
    assert "    -full\n    +para\n" in said.err
    assert json.loads(path.read_text("utf-8"))["same"] is False


def test_a_difference_by_design_is_a_difference(pvisor: Pvisor) -> None:
    said = pvisor("compare", GUESTS / "wild_pointer.c", "--no-floors")
    assert said.status == 1 and "crash: triple fault" in said.err


def test_both_get_the_same_input(pvisor: Pvisor, tmp_path: Path) -> None:
    text = tmp_path / "input"
    text.write_bytes(b"good day\n")
    said = pvisor("compare", GUESTS / "echo.c", "--input", text, "--no-floors")
    assert said.status == 0 and re.search(r"pv_getc", said.out)


def test_a_guest_that_exits_inside_main(pvisor: Pvisor, tmp_path: Path) -> None:
    """main never returns then, and what it did is main's, with the power-off in it."""
    source = tmp_path / "leaves.c"
    program = '#include <pv/console.h>\n#include <pv/power.h>\nint main(void) { pv_puts("x"); pv_exit(3); }\n'
    source.write_text(program, "utf-8")
    path = tmp_path / "c.json"
    assert pvisor("compare", source, "--no-floors", "--json", path).status == 0
    facts = json.loads(path.read_text("utf-8"))
    operations = {row["name"]: row for row in facts["operations"]}
    assert operations["main"]["para"]["exits"] == 2 and operations["boot"]["para"]["exits"] == 0
    assert facts["totals"]["full"]["status"] == facts["totals"]["para"]["status"] == 7


def test_an_endless_guest_ends_by_its_budget(pvisor: Pvisor) -> None:
    said = pvisor("compare", GUESTS / "endless.c", "--max-insns", "300000", "--no-floors")
    assert said.status == 0 and "--max-insns" in said.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give a demo, source files, or --kernel FILE"),
        (["hello", "--kernel", "x"], "--kernel FILE is instead of a demo or sources"),
        (["--kernel", "/nowhere/x"], "no such file"),
        (["--kernel", "x", "--modes", "full,para"], "give full or emu"),
        (["hello", "--until", "x"], "go with --kernel FILE"),
        (["--kernel", "x", "--symbols", "/nowhere/map"], "no such file"),
    ],
)
def test_words_about_a_kernel_that_do_not_go_together(pvisor: Pvisor, words: list[str], said: str) -> None:
    found = pvisor("compare", *words)
    assert found.status == 125 and said in found.err and "Traceback" not in found.err


def test_a_kernels_boot_phase_by_phase(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    """A kernel without symbols in its memory has phases all the same."""
    path = tmp_path / "b.json"
    said = pvisor("compare", "--kernel", guests("hello", "full"), "--json", path)
    assert said.status == 0, said.err
    for word in ("exits by intercept", "io_out", "hottest exits", "No symbols were found", "showed the same"):
        assert word in said.out
    facts = json.loads(path.read_text("utf-8"))
    assert facts["schema"] == "pvisor.boot/1"
    assert [one["mode"] for one in facts["runs"]] == ["full", "emu"]
    assert all([phase["name"] for phase in one["phases"]] == ["kernel"] for one in facts["runs"])


def test_each_mode_begins_with_the_same_disk(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    said = pvisor("compare", "--kernel", guests("hello", "full"), "--disk", disk, "--modes", "emu")
    assert said.status == 0 and disk.read_bytes() == bytes(1 << 20)
    missing = pvisor("compare", "--kernel", guests("hello", "full"), "--disk", tmp_path / "none.img")
    assert missing.status == 125 and "none.img: cannot be copied" in missing.err
