# SPDX-License-Identifier: GPL-2.0-or-later
"""`inspect --sensitive`: every sensitive instruction by place and kind; `--remedy` and `--no-patch`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pvisor.cpu.sensitive import SENSITIVE
from pvisor.vmm.config import REMEDIES
from tests.cli.support import Pvisor, refused
from tests.guests import elves
from tests.guests.shelf import Shelf
from tests.qemu import pc

SOURCE = """
#include "pc.h"
void every_one(void);
void every_one(void)
{
    __asm__ volatile("pushf; popf; sgdt gdt_register; sidt idt_register; sldt %ax; str %ax; smsw %ax");
    __asm__ volatile("lar %ax, %ax; lsl %ax, %ax; verr %ax; verw %ax; rep insb; outsl; rdtsc; rdtscp");
    __asm__ volatile("in %dx, %al; out %al, $9");
    __asm__ volatile("mov %ds, %ax; push %fs; pop %fs; lgdt gdt_register; cli");
}
int main(void) { return 0; }
"""


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """A PC kernel of each width with every sensitive instruction in one function."""
    folder = tmp_path_factory.mktemp("sensitive")
    source = folder / "all.c"
    source.write_text(SOURCE, "utf-8")
    return {bits: pc.build_source(source, bits, folder) for bits in (32, 64)}


def inspected(pvisor: Pvisor, elf: Path, folder: Path) -> tuple[str, dict[str, Any]]:
    """The text and the JSON document."""
    path = folder / "sensitive.json"
    said = pvisor("inspect", "--sensitive", elf, "--json", path)
    assert (said.status, said.err) == (0, "")
    facts: dict[str, Any] = json.loads(path.read_text("utf-8"))
    assert facts["schema"] == "pvisor.sensitive/1" and facts["file"] == elf.name
    return said.out, facts


@pytest.mark.needs_gcc
@pytest.mark.parametrize("bits", [32, 64])
def test_each_kind_is_found_where_it_is(
    pvisor: Pvisor, kernels: dict[int, Path], tmp_path: Path, bits: int
) -> None:
    out, facts = inspected(pvisor, kernels[bits], tmp_path)
    here = [row for row in facts["sensitive"] if row["symbol"] == "every_one"]
    assert facts["bits"] == bits and {row["bits"] for row in here} == {bits}
    order = ["PUSHF", "POPF", "SGDT", "SIDT", "SLDT", "STR", "SMSW", "LAR", "LSL", "VERR", "VERW", "INS",
             "OUTS", "RDTSC", "RDTSCP", "IN", "OUT"]  # fmt: skip
    assert [row["name"] for row in here] == order and set(order) == {row.name for row in SENSITIVE}
    assert [row["offset"] for row in here] == sorted(row["offset"] for row in here)
    for row in here:
        kind = next(kind for kind in SENSITIVE if kind.name == row["name"])
        assert (row["group"], row["at_ring_1"]) == (kind.group.value, kind.at_ring_1)
        assert row["in_user_code_only"] is kind.in_user_code_only and row["source"] == kind.source
        line = (
            rf"{row['address']} +every_one\+{row['offset']:#x} +{re.escape(row['text'])} +{kind.group.value}"
        )
        assert re.search(line, out), line
    assert sum(facts["totals"].values()) == len(facts["sensitive"])
    for name, count in facts["totals"].items():
        assert re.search(rf"^  {name} +{count} ", out, re.MULTILINE), name
    assert f"{len(facts['sensitive'])} of {facts['instructions']:,} instructions are sensitive" in out
    assert "User code only:" in out


@pytest.mark.needs_gcc
def test_start_up_code_of_32_bits_in_a_64_bit_kernel(
    pvisor: Pvisor, kernels: dict[int, Path], tmp_path: Path
) -> None:
    """Were it decoded as 64-bit code, its far jumps would be no instructions."""
    out, facts = inspected(pvisor, kernels[64], tmp_path)
    assert facts["undecoded"] == [] and "no instruction" not in out


def test_an_sdk_guest(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    out, facts = inspected(pvisor, guests("hello", "full"), tmp_path)
    assert set(facts["totals"]) == {"IN", "OUT"} and "pv_exit+0x" in out
    out, facts = inspected(pvisor, guests("hello", "para"), tmp_path)
    assert facts["sensitive"] == [] and "0 of " in out and "User code" not in out


@pytest.mark.needs_gcc
def test_what_is_no_instruction_is_said(pvisor: Pvisor, tmp_path: Path) -> None:
    source = tmp_path / "odd.c"
    source.write_text(
        '#include "pc.h"\nint main(void) { __asm__(".byte 6, 7; smsw %ax"); return 0; }\n', "utf-8"
    )
    out, facts = inspected(pvisor, pc.build_source(source, 64, tmp_path), tmp_path)
    (place,) = facts["undecoded"]
    assert place["bytes"] == 2 and f"2 bytes are no instruction (at {place['address']})" in out
    assert "smsw ax" in out, "the list goes on behind them"


@pytest.mark.needs_gcc
def test_a_file_without_symbols(pvisor: Pvisor, kernels: dict[int, Path], tmp_path: Path) -> None:
    stripped = elves.without_sections(kernels[64], tmp_path / "stripped.elf")
    out, facts = inspected(pvisor, stripped, tmp_path)
    assert {row["symbol"] for row in facts["sensitive"]} == {None}
    assert set(facts["totals"]) == {row.name for row in SENSITIVE}
    assert "There are no symbols" in out


def test_damaged_files_leave_no_traceback(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    content = guests("hello", "full").read_bytes()
    path = tmp_path / "damaged.elf"
    for at in (*range(40, 64), *range(len(content) - 600, len(content), 17)):
        damaged = bytearray(content)
        damaged[at] ^= 0x55
        path.write_bytes(damaged)
        said = pvisor("inspect", "--sensitive", path)
        assert said.status in (0, 126) and "Traceback" not in said.err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["inspect", "{elf}", "--json", "x.json"], "--json FILE goes with --sensitive"),
        (["inspect", "{elf}", "--sensitive", "--json", "/nowhere/x"], "--json /nowhere/x: cannot be written"),
        (["inspect", "{elf}", "--sensitive", "--json", "{elf}"], "would be overwritten"),
        (["inspect", "--sensitive"], "ELF"),
        (["inspect", "--sensitive", "/nowhere/at/all"], "no such file"),
        (["run", "{elf}", "--remedy", "pray"], "--remedy"),
        (["run", "{elf}", "--remedy"], "--remedy"),
        (["run", "{elf}", "--no-patch=1"], "--no-patch"),
        (["run", "{elf}", "--no-patch", "--remedy", "patch"], "--no-patch and --remedy patch contradict"),
        (["run", "{elf}", "--remedy", "patch", "--no-patch"], "--no-patch and --remedy patch contradict"),
        (["run", "{elf}", "--no-patch", "--mode", "emu"], "mode emu has the CPU to itself"),
        (["run", "{elf}", "--remedy", "patch", "--mode", "emu"], "mode emu"),
        (["run", "{para}", "--no-patch"], "mode para asks instead"),
        (["run", "{para}", "--remedy", "patch"], "mode para"),
        (["compare", "hello", "--no-patch", "--remedy", "patch"], "contradict"),
        (["compare", "hello", "--remedy", "pray"], "--remedy"),
    ],
)
def test_bad_input(pvisor: Pvisor, guests: Shelf, words: list[str], hint: str) -> None:
    elves_by_name = {"{elf}": guests("hello", "full"), "{para}": guests("hello", "para")}
    before = elves_by_name["{elf}"].read_bytes()
    refused(pvisor(*(elves_by_name.get(word, word) for word in words)), 125, hint)
    assert elves_by_name["{elf}"].read_bytes() == before


@pytest.mark.parametrize("words", [["--no-patch"], *(["--remedy", remedy] for remedy in REMEDIES)])
def test_each_remedy_runs_and_is_named(
    pvisor: Pvisor, guests: Shelf, tmp_path: Path, words: list[str]
) -> None:
    path = tmp_path / "s.json"
    said = pvisor("run", guests("hello", "full"), *words, "--stats", path)
    assert said.status == 0 and said.err == ""
    assert json.loads(path.read_text("utf-8"))["remedy"] == {"--no-patch": "none"}.get(words[-1], words[-1])


def test_compare_takes_it_for_the_left_wing_alone(pvisor: Pvisor) -> None:
    said = pvisor("compare", "hello", "--no-patch", "--no-floors")
    assert said.status == 0 and "same output, same end" in said.out
