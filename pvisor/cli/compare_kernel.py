# SPDX-License-Identifier: GPL-2.0-or-later
"""`pvisor compare --kernel`: what the boot of an operating system costs, phase by phase, in each mode."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pvisor.cli import say
from pvisor.cli.files import OutputFile
from pvisor.cli.params import FILE, disk
from pvisor.cpu.exits import ExitClass
from pvisor.domain.outcome import EndedBy
from pvisor.machine.console import ConsoleInput
from pvisor.observe.boot_cost import (
    BOOT_MODES,
    SCHEMA,
    BootCost,
    compare_boots,
    exits_of_class,
    n_different_lines,
    split_of,
)
from pvisor.observe.compare import how_it_ended
from pvisor.observe.linux.phases import DECOMPRESS, KERNEL, Phase
from pvisor.observe.linux.places import Place
from pvisor.observe.linux.symbols import read_symbols
from pvisor.vmm.config import DomainConfig

STATUS_DIFFERENT: Final = 1
NOTHING: Final = "-"
N_PLACES: Final = 10
NS_PER_MS: Final = 1_000_000
_Command = TypeVar("_Command", bound=Callable[..., object])

SERIAL_CONSOLE: Final = "console=ttyS0"
"""The command line where none is given: an operating system that nobody can talk to may never end."""

MEANING: Final = (
    "Exits and instructions carry over to other engines and to hardware; the host's time does not. Handlers "
    "in C are timed by samples (one of 64); `guest` is the rest: the guest's instructions, their "
    "translation, and stops. All exits are timed and counted by place here, so the whole takes longer "
    "than `pvisor run`."
)


def _modes(context: click.Context, option: click.Parameter, text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(text.split(",")))
    if not set(found) <= set(BOOT_MODES):
        raise click.BadParameter(f"{text!r}: give {' or '.join(BOOT_MODES)}, or both with a comma between")
    return found


def kernel_options(command: _Command) -> _Command:
    """What goes with `--kernel`."""
    options = (
        click.option("--kernel", type=FILE, metavar="FILE",
                     help="Instead of a demo: an operating system's kernel, as `run` takes it."),
        click.option("--initrd", type=FILE, metavar="FILE", help="With --kernel: its initial RAM disk."),
        click.option("--disk", "disks", type=disk, multiple=True, metavar="FILE[,ro]",
                     help="With --kernel: a disk image; each run has a copy of it, so it stays as it is."),
        click.option("--modes", callback=_modes, default=",".join(BOOT_MODES), show_default=True,
                     metavar="LIST", help="With --kernel: the modes to run it in."),
        click.option("--until", default="", metavar="TEXT",
                     help="With --kernel: end each run when its console has shown TEXT."),
        click.option("--symbols", "symbols_file", type=FILE, metavar="FILE",
                     help="With --kernel: its System.map, or its vmlinux with symbols. Without it names are "
                          "those that it has in memory (kallsyms)."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def compare_kernel(
    config: DomainConfig, modes: Sequence[str], new_input: Callable[[], ConsoleInput], *, until: str,
    symbols_file: Path | None, output: OutputFile | None, interrupted: Callable[[], bool],
) -> int:  # fmt: skip
    """Run, print, and give the status: 0 when all ended alike, 1 when not."""
    symbols = read_symbols(symbols_file) if symbols_file is not None else None
    costs = compare_boots(
        config, modes, new_input=new_input, symbols=symbols, until=until.encode(), interrupted=interrupted
    )
    ended = next((one.run.ending for one in costs if one.run.ending.ended_by is EndedBy.INTERRUPTED), None)
    if ended is not None:
        say(ended.reason)
        return ended.status
    if output is not None:
        found = {"schema": SCHEMA, "kernel": str(config.kernel), "runs": [one.as_json() for one in costs]}
        output.write(json.dumps(found, indent=2).encode() + b"\n")
    _show(config.kernel.name, costs)
    endings = {(one.run.ending.ended_by, one.run.ending.status) for one in costs}
    if len(endings) > 1:
        say(
            "the runs ended differently: " + ", ".join(f"{one.mode} {how_it_ended(one.run)}" for one in costs)
        )
        return STATUS_DIFFERENT
    return 0


def _show(name: str, costs: Sequence[BootCost]) -> None:
    console = Console(highlight=False)
    for cost in costs:
        shown = phase_table(name, cost)
        wide = Console(highlight=False, width=max(console.width, Console(width=1000).measure(shown).maximum))
        wide.print(shown)
        for title, places in (("hottest exits", cost.places), ("hottest patched", cost.patched)):
            if places:
                wide.print(place_table(title, places))
        wide.print()
    for line in _remarks(costs):
        console.print(Text(line))
    console.print(Text(MEANING))


def _remarks(costs: Sequence[BootCost]) -> list[str]:
    """What the reader must know about where phases begin, and whether the runs did the same."""
    lines = []
    version = next((one.version for one in costs if one.version), None)
    if version is not None:
        lines.append(version)
    names = [phase.name for one in costs for phase in one.phases]
    if DECOMPRESS in names:
        lines.append("decompress ends at the first instruction in the upper half of the address space.")
    border = next((one.border for one in costs if one.border), None)
    if border is not None:
        lines.append(f"initcalls begin at {border}(), user space at the first instruction in ring 3.")
    elif KERNEL in names:
        lines.append("No symbols were found, so there is no border between early start and initcalls.")
    lines += [f"{one.mode}: {how_it_ended(one.run)}" for one in costs if one.run.ending.reason]
    if len(costs) == 2:
        n = n_different_lines(costs[0].run, costs[1].run)
        count = "one line" if n == 1 else f"{n} lines"
        lines.append(
            f"The consoles differ in {count}, times apart." if n else "The consoles showed the same."
        )
    return lines


def phase_table(name: str, cost: BootCost) -> Table:
    """A column for each phase, and one for all of them."""
    phases = cost.phases
    whole = Phase("in all", phases[0].begin, phases[-1].end)
    columns = (*phases, whole)
    shown = Table(title=f"{name}, {cost.mode}", show_edge=False, pad_edge=False, title_justify="left")
    shown.add_column("", no_wrap=True)
    for phase in columns:
        shown.add_column(phase.name, justify="right", no_wrap=True)

    def row(label: str, of: Callable[[Phase], int], *, section: bool = False) -> None:
        values = [of(phase) for phase in columns]
        if any(values):
            shown.add_row(
                label, *(f"{value:,}" if value else NOTHING for value in values), end_section=section
            )

    row("instructions", lambda phase: phase.n_instructions)
    row("virtual time, ms", lambda phase: (phase.end.virtual_ns - phase.begin.virtual_ns) // NS_PER_MS)
    row("host time, ms", lambda phase: phase.host_ns // NS_PER_MS)
    row("  guest", lambda phase: split_of(phase).guest // NS_PER_MS)
    row("  handlers in C", lambda phase: split_of(phase).native // NS_PER_MS)
    row("  handlers in Python", lambda phase: split_of(phase).python // NS_PER_MS)
    row("  devices", lambda phase: split_of(phase).devices // NS_PER_MS, section=True)
    row("address-space switches", lambda phase: phase.end.switches[0] - phase.begin.switches[0])
    row("  with a shadow made anew", lambda phase: phase.end.switches[1] - phase.begin.switches[1])
    row("instructions patched", lambda phase: phase.end.patches[1] - phase.begin.patches[1])
    row("  in place at the end", lambda phase: phase.end.patches[0], section=True)
    for exit_class in (ExitClass.INTERCEPT, ExitClass.TRAP):
        row(f"exits by {exit_class.value}", lambda phase, of=exit_class: exits_of_class(phase, of))  # type: ignore[misc]
        for reason in [one for one in cost.reasons if one.exit_class is exit_class]:
            row(f"  {reason.label}", lambda phase, of=reason: phase.exits(of))  # type: ignore[misc]
    return shown


def place_table(title: str, places: Sequence[Place]) -> Table:
    """Where exits came from."""
    shown = Table(show_edge=False, pad_edge=False)
    for head in (title, "exit"):
        shown.add_column(head, no_wrap=True)
    for head in ("count", "instructions"):
        shown.add_column(head, justify="right", no_wrap=True)
    for place in places[:N_PLACES]:
        shown.add_row(Text(place.name), place.reason.label, f"{place.count:,}", f"{place.n_sites:,}")
    return shown
