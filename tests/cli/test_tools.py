# SPDX-License-Identifier: GPL-2.0-or-later
"""The smaller commands: help, version, build, inspect, demos, abi, and `trace show` as people see it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest

from pvisor import __version__
from pvisor.abi.calls import CALLS
from pvisor.abi.layout import layout_of
from pvisor.abi.model import Struct
from pvisor.abi.structs import STRUCTS
from pvisor.cli import COMMANDS, cli
from pvisor.toolchain.demos import find_demo
from tests.cli.support import Pvisor
from tests.guests import elves
from tests.guests.shelf import Shelf


def commands() -> list[tuple[str, ...]]:
    """Every command and subcommand, by the words that call it."""
    context = click.Context(cli)
    found: list[tuple[str, ...]] = []
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        found.append((name,))
        if isinstance(command, click.Group):
            found += [(name, inner) for inner in command.list_commands(context)]
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_help_is_complete(pvisor: Pvisor, words: tuple[str, ...]) -> None:
    said = pvisor(*words, "--help")
    assert said.status == 0 and said.err == ""
    assert said.out.startswith(f"Usage: pvisor {' '.join(words)}")
    command = cli.get_command(click.Context(cli), words[0])
    for word in words[1:]:
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word)
    assert command is not None and command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{parameter.opts} has no help"
            assert parameter.opts[-1] in said.out


def test_the_list_of_commands_says_what_each_says_itself(pvisor: Pvisor) -> None:
    said = pvisor("--help")
    assert said.status == 0
    for name, (_, _, line) in COMMANDS.items():
        command = cli.get_command(click.Context(cli), name)
        assert command is not None and command.short_help == line
        assert re.search(rf"^  {name} +{re.escape(line)}$", said.out, re.MULTILINE)
    for status in ("124", "125", "126", "130", "134"):
        assert f"  {status}  " in said.out


def test_alone_it_shows_its_help_as_a_mistake(pvisor: Pvisor) -> None:
    said = pvisor()
    assert said.status == 125 and said.out == "" and said.err.startswith("Usage: pvisor")


def test_version(pvisor: Pvisor) -> None:
    assert pvisor("--version").out == f"pvisor {__version__}\n"
    said = pvisor("--version", "-v")
    assert said.status == 0
    assert re.search(r"^repair +(state|context)$", said.out, re.MULTILINE)
    for word in ("unicorn", "offsets", "capstone", "compiler", "python"):
        assert re.search(rf"^{word} +\S", said.out, re.MULTILINE), word


def test_version_names_the_repair_that_was_asked_for(pvisor: Pvisor, monkeypatch: pytest.MonkeyPatch) -> None:
    from pvisor.cpu.engine_start import start_engine

    start_engine.cache_clear()
    monkeypatch.setenv("PVISOR_REPAIR", "nonsense")
    try:
        said = pvisor("--version", "-v")
    finally:
        start_engine.cache_clear()
    assert said.status == 0 and "PVISOR_REPAIR=nonsense" in said.out


@pytest.mark.parametrize("mode", ["full", "para"])
def test_build_then_run(pvisor: Pvisor, tmp_path: Path, mode: str) -> None:
    source = tmp_path / "mine.c"
    program = (
        '#include <pv/printf.h>\nint main(void) { int unused; pv_printf("%d %s\\n", N, S); return 0; }\n'
    )
    source.write_text(program, "utf-8")
    elf = tmp_path / "mine.elf"
    said = pvisor("build", source, "-o", elf, "--mode", mode, "-D", "N=6", '-DS="a=b"')
    assert (said.status, said.out) == (0, "")
    assert "unused" in said.err, "the compiler's warnings are shown"
    assert pvisor("run", elf).out == "6 a=b\n"


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("full", ["mode full", "PVH entry point 0x200000", "_start"]),
        ("para", ["mode para", "ABI version 1, needs no features", "_start"]),
        ("hybrid", ["mode hybrid", "PVH entry point 0x200000", "ABI version 1, needs no features"]),
    ],
)
def test_inspect(pvisor: Pvisor, guests: Shelf, mode: str, words: list[str]) -> None:
    said = pvisor("inspect", guests("hello", mode))
    assert said.status == 0
    for word in [*words, "ELF64", "R-X", "functions"]:
        assert word in said.out


def test_inspect_names_the_needed_features(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    path = elves.with_note(
        guests("hello", "para"), tmp_path / "n.elf", abi_version=3, needed_features=1 | 1 << 50
    )
    assert "ABI version 3, needs RAW_VMCALL, unknown 0x4000000000000" in pvisor("inspect", path).out


def test_demos(pvisor: Pvisor) -> None:
    said = pvisor("demos")
    assert said.status == 0 and "hello" in said.out and "Hello, twice" in said.out
    assert re.search(r"hello .* full, para, hybrid ", said.out)
    assert re.search(r"sensitive .* full +│", said.out)
    assert re.search(r"driver-domain .* para +│", said.out)
    assert f"The folders are in {find_demo('hello').folder.parent}\n" in said.out, "on one line, to be copied"
    assert "│ 08-driver-domain │" in said.out


def test_abi_overview(pvisor: Pvisor) -> None:
    said = pvisor("abi")
    assert said.status == 0
    for call in CALLS:
        assert re.search(rf"{call.nr:#04x} .*{call.name} .*", said.out)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_abi_of_one_call_in_any_spelling(pvisor: Pvisor, call: object) -> None:
    from pvisor.abi.model import Hypercall

    assert isinstance(call, Hypercall)
    names = (call.name, call.handler, call.macro, call.wrapper, call.name.title())
    spellings = (*names, f"{call.nr:#x}", str(call.nr))
    said = {pvisor("abi", spelling).out for spelling in spellings}
    assert len(said) == 1
    text = said.pop()
    assert call.prototype in text
    for word in [*(arg.name for arg in call.args), *(f"-{error.macro}" for error in call.errors)]:
        assert word in text
    assert re.search(r"^may block +\S", text, re.MULTILINE)
    assert call.feature is None or re.search(rf"^feature +{call.feature.name},", text, re.MULTILINE)
    assert all(line in text for line in call.example.splitlines())


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.name)
def test_abi_of_a_struct(pvisor: Pvisor, struct: Struct) -> None:
    said = pvisor("abi", struct.name)
    assert said.out == pvisor("abi", f"struct {struct.name}").out
    assert said.out.startswith(f"struct {struct.name}  {layout_of(struct).size_bytes} bytes")
    for member in struct.fields:
        assert re.search(rf"{layout_of(struct).offsets[member.name]:#04x} .*{member.name}", said.out)


def test_trace_show(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    pvisor("run", guests("wild_pointer", "para"), "--trace", path, "--trace-host")
    said = pvisor("trace", "show", path)
    assert said.status == 0 and said.err == ""
    lines = said.out.splitlines()
    assert re.fullmatch(
        r" +\d+ ns d1/v0 HYPERCALL console_write\(buffer=0x[0-9a-f]+, size_bytes=21\) -> 21", lines[0]
    )
    assert lines[1].endswith(" d1/v0 HYPERCALL console_write(buffer=0x4000000000, size_bytes=5) -> -EFAULT")
    assert lines[-1].endswith(" ns d1/v0 HYPERCALL shutdown(reason=0, status=0) => stop")
    assert pvisor("trace", "show", path, "--limit", "1").out == lines[0] + "\n"
    records = [json.loads(line) for line in pvisor("trace", "show", path, "--json").out.splitlines()]
    assert len(records) == len(lines)
    assert (records[1]["call"], records[1]["operands"]["size_bytes"], records[1]["result"]) == (
        "console_write", 5, -14,
    )  # fmt: skip
    assert (tmp_path / "trace.host").stat().st_size > 0


def test_trace_show_of_a_pc(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    pvisor("run", guests("hello", "full"), "--trace", path)
    out = pvisor("trace", "show", path).out
    for line in (
        r"IO_OUT ioport=0x3f8 size_bytes=1 value=0x48",
        r"IO_IN ioport=0x3fd size_bytes=1 value=0x60",
        r"MOV_CR register=0 value=0x8\w+",
        r"WRMSR msr=0xc0000080 value=0x\w+",
        r"IO_OUT ioport=0x604 size_bytes=2 value=0x2000 => stop",
    ):
        assert re.search(rf"^ *\d+ ns d1/v0 {line}$", out, re.MULTILINE), line
