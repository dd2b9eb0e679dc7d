# SPDX-License-Identifier: GPL-2.0-or-later
"""`pvisor bench`: what a kernel's operations cost in each mode, and what single exits cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table

from pvisor.errors import UsageError
from pvisor.observe.bench import FULL_EFFORT, QUICK_EFFORT, TIERS, BenchResult, Row, run_bench
from pvisor.observe.bench_operations import (
    KERNEL_OPERATIONS,
    LONG_EFFORT,
    MODES,
    SHORT_EFFORT,
    run_operations,
)

LEGEND = """\
exits, instr.  per operation: what carries over to other machines
ns             on this host and engine, with the loop around the operation
low-high       of all samples
floor          ns of the same guest code with a hook that does nothing
ratio          ns to floor
binding        the plain unicorn binding doing the same
"""
NO_NATIVE = "*              no handler in C: Python serves it in this tier, too\n"
MEANING = """\
Nanoseconds are an artefact of the engine: it hands over an OUT or a SYSCALL by a plain call and raises a \
trap by a long jump, where hardware leaves the guest in one way for all. Their order may be the reverse of \
hardware's.\
"""


OPERATIONS_LEGEND = """\
exits, instr.  per operation: what carries over to other machines (in emu only devices make the guest leave)
ns             CPU time on this host and engine, with the loop around the operation
floor          ns of as many exits when their hooks do nothing; the guest's own instructions come on top
full:emu       what it costs that the guest is deprivileged
full:para      what it saves that the guest asks instead of being caught
"""

COMPARED = ("para", "emu")


@click.command("bench", short_help="Measure what a kernel's operations and its exits cost here.")
@click.option("--floor", is_flag=True, help="Single exits instead, in both tiers, beside their floors.")
@click.option("--tier", type=click.Choice(TIERS), default="native", show_default=True,
              help="Who serves the exits of the operations (--floor shows both).")  # fmt: skip
@click.option("--json", "json_file", metavar="FILE", help="Write the results to FILE, too (pvisor.bench/1).")
@click.option(
    "--quick", is_flag=True, help="A few seconds instead of half a minute: for a look, not for figures."
)
def bench(floor: bool, tier: str, json_file: str | None, quick: bool) -> None:
    """Measure what a kernel's everyday operations cost on this machine.

    One guest program runs fully virtualized, paravirtualized, and in the control lane, where the engine's CPU
    is the guest's own; each figure is the difference of a long and a short run. With --floor, single exits
    in a loop under the real handlers, in both tiers, beside the floor of each and the plain unicorn binding.
    All rows are sampled in turn in one process, so the ratios hold even where the machine is busy.
    """
    if json_file is not None:
        _check_writable(json_file)
    console = Console(highlight=False)
    tables: tuple[Table, ...]
    if floor:
        result = run_bench(QUICK_EFFORT if quick else FULL_EFFORT)
        legend = LEGEND + (NO_NATIVE if any(map(_lacks_native, result.rows)) else "")
        tables = (table(result),)
    else:
        result = run_operations(SHORT_EFFORT if quick else LONG_EFFORT, tier)
        legend, tables = OPERATIONS_LEGEND, (counts_table(result), times_table(result))
    if json_file is not None:
        _write_json(json_file, result)
    for shown in tables:
        console.print(shown)
    console.print(legend, style="dim")
    console.print(host_line(result) + "\n")
    console.print(MEANING)


def counts_table(result: BenchResult) -> Table:
    """Exits and instructions of each operation, a column a mode: virtual facts, the same on every machine."""
    columns = {"exits": lambda row: row.exits_per_op, "instructions": lambda row: row.instructions_per_op}
    shown = _by_mode("What one operation does", columns)
    for name, rows in _operations(result):
        cells = [_cell(rows.get(mode), column, _count) for column in columns.values() for mode in MODES]
        shown.add_row(name, *cells)
    return shown


def times_table(result: BenchResult) -> Table:
    """Times and floors of each operation, a column a mode, and how the modes compare."""
    columns = {"ns": lambda row: row.ns_median, "floor": lambda row: row.floor_ns}
    shown = _by_mode(f"What one operation costs ({result.rows[0].tier} tier)", columns)
    for against in COMPARED:
        shown.add_column(f"full:\n{against}", justify="right", no_wrap=True)
    for name, rows in _operations(result):
        cells = [_cell(rows.get(mode), column, _time) for column in columns.values() for mode in MODES]
        shown.add_row(name, *cells, *(_ratio(rows.get("full"), rows.get(against)) for against in COMPARED))
    return shown


def _by_mode(title: str, columns: Iterable[str]) -> Table:
    shown = Table(title=title, box=box.SIMPLE_HEAD, padding=0)
    shown.add_column("operation", no_wrap=True)
    for heading in columns:
        for mode in MODES:
            above = heading if mode == MODES[0] else ""
            shown.add_column(f"{above}\n{mode}", justify="right", no_wrap=True)
    return shown


def _operations(result: BenchResult) -> Iterator[tuple[str, dict[str, Row]]]:
    for operation in KERNEL_OPERATIONS:
        rows = {row.mode: row for row in result.rows if row.op == operation.name}
        if rows:
            yield operation.name, rows


def _cell(row: Row | None, column: Callable[[Row], float | None], shown: Callable[[float], str]) -> str:
    value = None if row is None else column(row)
    return "-" if value is None else shown(value)


def _count(number: float) -> str:
    return f"{number:.4g}" if number < 1000 else f"{number:,.0f}"


def _time(ns: float) -> str:
    """In nanoseconds, unless they are very many."""
    if ns < 1e5:
        return f"{ns:.0f}"
    return f"{ns / 1e3:.0f}us" if ns < 1e6 else f"{ns / 1e6:.3g}ms"


def _ratio(row: Row | None, against: Row | None) -> str:
    if row is None or against is None or against.ns_median <= 0:
        return "-"
    ratio = row.ns_median / against.ns_median
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def table(result: BenchResult) -> Table:
    """The results, led by what carries over: exits and instructions per operation."""
    shown = Table(title="What one operation costs", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("operation", "tier"):
        shown.add_column(heading, no_wrap=True)
    for heading in ("exits", "instr.", "ns", "low-high", "floor", "ratio"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for op in dict.fromkeys(row.op for row in result.rows):
        rows = [row for row in result.rows if row.op == op]
        labels = chain((op, f"  ({rows[0].mode})"), repeat(""))
        shown.add_section()
        for label, row in zip(labels, rows, strict=False):
            shown.add_row(label, *_cells(row))
    return shown


def _cells(row: Row) -> list[str]:
    ratio = row.ns_median / row.floor_ns
    return [
        row.tier + ("*" if _lacks_native(row) else ""),
        f"{row.exits_per_op:g}",
        "-" if row.instructions_per_op is None else f"{row.instructions_per_op:g}",
        f"{row.ns_median:.1f}" if row.ns_median < 100 else f"{row.ns_median:.0f}",
        f"{row.ns_low:.0f}-{row.ns_high:.0f}",
        f"{row.floor_ns:.1f}",
        f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}",
    ]


def _lacks_native(row: Row) -> bool:
    return row.tier == "native" and row.served_by != "native"


def host_line(result: BenchResult) -> str:
    """On what this was measured."""
    host = result.host
    return (
        f"{host['cpu']}, {host['cores']} cores; Python {host['python']}, Unicorn {host['unicorn']}, "
        f"repair by {host['repair']}; medians of {result.rows[0].samples} samples"
    )


def _check_writable(json_file: str) -> None:
    """A path that cannot be written is found before the measurement, not after it."""
    path = Path(json_file)
    existed = path.exists()
    try:
        with path.open("a"):
            pass
        if not existed:
            path.unlink()
    except (OSError, ValueError) as error:
        raise UsageError(f"--json {json_file}: {_reason(error)}") from error


def _write_json(json_file: str, result: BenchResult) -> None:
    try:
        Path(json_file).write_text(json.dumps(result.as_json(), indent=2) + "\n", "utf-8")
    except OSError as error:
        raise UsageError(f"--json {json_file}: {_reason(error)}") from error


def _reason(error: OSError | ValueError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
