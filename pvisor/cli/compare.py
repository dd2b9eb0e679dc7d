# SPDX-License-Identifier: GPL-2.0-or-later
"""`pvisor compare`: one program in both wings, and one table of what it cost in each."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pvisor.cli import say
from pvisor.cli.compare_kernel import SERIAL_CONSOLE, compare_kernel, kernel_options
from pvisor.cli.files import OutputFile, output_file, words_of
from pvisor.cli.params import FILE, domain_options
from pvisor.cpu.exits import ExitClass, ExitReason
from pvisor.cpu.unicorn_engine import signals_kick
from pvisor.domain.outcome import EndedBy
from pvisor.errors import BuildError, UsageError
from pvisor.machine.console import ConsoleInput, HostInput, NoInput
from pvisor.observe.bench import measure_floors
from pvisor.observe.compare import BOOT, FLOOR_OF, MEANING, MODES, Comparison, how_it_ended, n_exits
from pvisor.observe.compare import compare as run_both
from pvisor.toolchain.build import SUFFIXES
from pvisor.toolchain.demos import Demo, find_demo
from pvisor.vmm.config import DiskConfig, DomainConfig, ExitCount, Operation, RunResult

STATUS_DIFFERENT: Final = 1
NOTHING: Final = "-"


@click.command(short_help="Run one program in both modes and compare what it cost.")
@click.argument("what", nargs=-1, metavar="[DEMO|SOURCE...]")
@domain_options
@click.option(
    "--input",
    "input_file",
    type=FILE,
    metavar="FILE",
    help="What both guests read from their console; - for stdin. Without it they read a demo's own input, or "
    "nothing.",
)
@kernel_options
@click.option(
    "--keep", "folder", type=FILE, metavar="DIR", help="Build into DIR and leave the two ELF files there."
)
@click.option(
    "--json",
    "json_file",
    type=FILE,
    metavar="FILE",
    help="Also write the comparison to FILE (schema pvisor.compare/1).",
)
@click.option(
    "--floors/--no-floors",
    default=True,
    show_default=True,
    help="Measure the floors of exits, in a fraction of a second.",
)
def compare(
    what: tuple[str, ...],
    memory_bytes: int,
    cmdline: str,
    max_insns: int | None,
    timeout_s: float | None,
    tier: str,
    remedy: str | None,
    input_file: Path | None,
    folder: Path | None,
    json_file: Path | None,
    floors: bool,
    kernel: Path | None,
    initrd: Path | None,
    disks: tuple[DiskConfig, ...],
    modes: tuple[str, ...],
    until: str,
    symbols_file: Path | None,
) -> int:
    """Build a program for both modes, run both, check that they did the same, and compare the cost.

    The PC kernel runs again in the control lane (`run --mode emu`), whose CPU is emulated. Give one demo
    (`hello`, `01-hello`, a folder) or C source files. The result is 0 when output and end are the same, 1
    when they are not.

    With --kernel: run an operating system's kernel unmodified, in each of --modes, and print what its boot
    costs, phase by phase. Without --cmdline its console is the serial port. The result is 0 when it ended
    alike in all.
    """
    if kernel is not None:
        if what or folder is not None:
            raise UsageError("--kernel FILE is instead of a demo or sources, which alone take --keep")
        settings = DomainConfig(
            kernel=kernel, memory_bytes=memory_bytes, cmdline=cmdline or SERIAL_CONSOLE, max_insns=max_insns,
            timeout_s=timeout_s, tier=tier, remedy=remedy, initrd=initrd, disks=disks,
        )  # fmt: skip
        images = [disk.path for disk in disks]
        with (
            output_file("--json", json_file, input_file, kernel, initrd, symbols_file, *images) as output,
            _given_input(input_file) as new_input,
            signals_kick() as interrupted,
        ):
            return compare_kernel(settings, modes, new_input, until=until, symbols_file=symbols_file,
                                  output=output, interrupted=interrupted)  # fmt: skip
    if initrd is not None or disks or until or symbols_file is not None:
        raise UsageError("--initrd, --disk, --until and --symbols go with --kernel FILE")
    if not what:
        raise UsageError(
            "compare: give a demo, source files, or --kernel FILE; `pvisor demos` lists the demos"
        )
    demo = find_named_demo(what)
    name, sources = (demo.name, _by_mode(demo)) if demo else (Path(what[0]).stem, find_sources(what))
    input_file = input_file or (demo.input if demo else None)
    files = dict.fromkeys(path for paths in sources.values() for path in paths)
    config = DomainConfig(
        kernel=Path(name), memory_bytes=memory_bytes, cmdline=cmdline, max_insns=max_insns,
        timeout_s=timeout_s, tier=tier, remedy=remedy, net=demo is not None and demo.net,
    )  # fmt: skip
    with (
        output_file("--json", json_file, input_file, *files) as output,
        _given_input(input_file) as new_input,
        _build_folder(folder) as build_folder,
        signals_kick() as interrupted,
    ):
        try:
            result = run_both(
                sources, build_folder, config, name=name, new_input=new_input,
                on_warnings=lambda words: click.echo(words.rstrip("\n"), err=True), interrupted=interrupted,
                disk_bytes=demo.disk_bytes if demo else 0, functions=demo.watch if demo else (),
            )  # fmt: skip
        except BuildError:
            if interrupted():  # Ctrl-C went to the compiler as well
                raise KeyboardInterrupt from None
            raise
        floor_ns = measure_floors() if floors else {}
        if output is not None:
            _write_json(output, result, floor_ns)
    return _show(result, floor_ns)


def find_named_demo(what: tuple[str, ...]) -> Demo | None:
    """The demo that is meant by its name or folder; None where source files are given."""
    return find_demo(what[0]) if len(what) == 1 and Path(what[0]).suffix not in SUFFIXES else None


def _by_mode(demo: Demo) -> dict[str, tuple[Path, ...]]:
    return {mode: demo.sources_for(mode) for mode in MODES}


def find_sources(what: tuple[str, ...]) -> dict[str, tuple[Path, ...]]:
    """The given source files, by mode."""
    for word in what:
        if Path(word).suffix not in SUFFIXES:
            raise UsageError(f"{word}: not a C (.c) or assembly (.S) source file; give one demo, or sources")
    return dict.fromkeys(MODES, tuple(map(Path, what)))


@contextmanager
def _build_folder(folder: Path | None) -> Iterator[Path]:
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="pvisor-compare-") as temporary:
            yield Path(temporary)
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--keep {folder}: {words_of(error)}") from None
    yield folder


@contextmanager
def _given_input(path: Path | None) -> Iterator[Callable[[], ConsoleInput]]:
    """What makes an input for each run: the same bytes, at the same virtual times."""
    if path is None:
        yield NoInput
        return
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise UsageError(f"--input {path}: {words_of(error)}") from None
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()

        def new_input() -> ConsoleInput:
            file.seek(0)
            return HostInput(file.fileno())

        yield new_input


def _write_json(output: OutputFile, result: Comparison, floor_ns: dict[str, float]) -> None:
    output.write(json.dumps(result.as_json(floor_ns), indent=2).encode() + b"\n")


def _show(result: Comparison, floor_ns: dict[str, float]) -> int:
    """Print, and say with which status to end."""
    interrupted = next((run for run in result.runs if run.ending.ended_by is EndedBy.INTERRUPTED), None)
    if interrupted is not None:
        say(interrupted.ending.reason)
        return interrupted.ending.status
    if result.differences:
        say(f"{result.name}: the guests did not do the same, so there is nothing to compare")
        for line in result.differences:
            click.echo(f"  {line}", err=True)
        return STATUS_DIFFERENT
    console, shown = Console(highlight=False), table(result, floor_ns)
    # On a narrow terminal the lines are broken by it: a figure that is cut off would be worse.
    wide = Console(highlight=False, width=max(console.width, Console(width=1000).measure(shown).maximum))
    wide.print(shown)
    if result.full.ending.ended_by is not EndedBy.GUEST:
        say(f"{result.name}: both ended alike: {how_it_ended(result.para)}")
    console.print(Text(MEANING))
    return 0


def table(result: Comparison, floor_ns: dict[str, float]) -> Table:
    """The comparison in one table of several parts, each with its own heads."""
    title = f"{result.name}, fully virtualized and paravirtualized: same output, same end"
    shown = Table(title=title, show_header=False, show_edge=False, pad_edge=False)
    shown.add_column(no_wrap=True)
    for _ in range(6):
        shown.add_column(justify="right", no_wrap=True)
    heads = ("exits\nfull", "exits\nemu", "exits\npara", "instr.\nfull", "instr.\npara", "calls")
    _add_heads(shown, "per call of", *heads)
    for pair in result.pairs:
        label = "boot, before main" if pair.name == BOOT else pair.name
        full, para = pair.full, pair.para
        calls = f"{full.calls:,}" if full.calls == para.calls else f"{full.calls:,} / {para.calls:,}"
        shown.add_row(
            label, _per_call(full, full.exits), _per_call(pair.emu, pair.emu.exits) if pair.emu else NOTHING,
            _per_call(para, para.exits), _per_call(full, full.instructions),
            _per_call(para, para.instructions), calls,
        )  # fmt: skip
    for exit_class in (ExitClass.INTERCEPT, ExitClass.TRAP, ExitClass.STOP):
        reasons = [reason for reason in result.reasons if reason.exit_class is exit_class]
        if reasons:
            shown.add_section()
            counted = ("full", "emu", "para", "ns each\nfull", "ns each\npara", "floor\nns")
            _add_heads(shown, f"exits by {exit_class.value}", *counted)
        for reason in reasons:
            _add_reason(shown, reason, result, floor_ns)
    shown.add_section()
    _add_heads(shown, "in all", "full", "emu", "para", "full:emu", "full:para")
    for name, of in TOTALS.items():
        full_total, para_total = of(result.full), of(result.para)
        emu_total = of(result.emu) if result.emu is not None else 0
        shown.add_row(
            name, f"{full_total:,}", f"{emu_total:,}" if emu_total else NOTHING, f"{para_total:,}",
            _ratio(full_total, emu_total), _ratio(full_total, para_total),
        )  # fmt: skip
    return shown


TOTALS: Final[Mapping[str, Callable[[RunResult], int]]] = MappingProxyType({
    "exits": n_exits,
    "instructions": lambda run: run.n_instructions,
    "virtual time, ns": lambda run: run.virtual_ns,
    "host time, µs": lambda run: run.wall_ns // 1000,
})  # fmt: skip


def _add_heads(shown: Table, *heads: str) -> None:
    shown.add_row(*(Text(head, style="bold") for head in heads))


def _add_reason(shown: Table, reason: ExitReason, result: Comparison, floor_ns: dict[str, float]) -> None:
    full, para = (run.exits.get(reason.label) for run in (result.full, result.para))
    emu = result.emu.exits.get(reason.label) if result.emu is not None else None
    floor = floor_ns.get(FLOOR_OF.get(reason, ""))
    shown.add_row(
        reason.label,
        _count(full),
        _count(emu),
        _count(para),
        _ns_each(full),
        _ns_each(para),
        f"{floor:,.0f}" if floor is not None else NOTHING,
    )


def _count(row: ExitCount | None) -> str:
    return f"{row.count:,}" if row is not None else NOTHING


def _ns_each(row: ExitCount | None) -> str:
    """Host time of one exit in its handler; nothing where it was not measured."""
    return f"{row.wall_ns // row.count:,}" if row is not None and row.wall_ns is not None else NOTHING


def _per_call(operation: Operation, total: int) -> str:
    """A whole number where it is one: `3`, `41.25`."""
    return f"{total / operation.calls:,.2f}".rstrip("0").rstrip(".")


def _ratio(full: int, para: int) -> str:
    return f"{full / para:,.1f}x" if para else NOTHING
