# SPDX-License-Identifier: GPL-2.0-or-later
"""`pvisor bench`: what an exit costs on this machine, beside its floor."""

from __future__ import annotations

import json
from itertools import chain, repeat
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table

from pvisor.errors import UsageError
from pvisor.observe.bench import FULL_EFFORT, QUICK_EFFORT, BenchResult, Row, run_bench

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


@click.command("bench", short_help="Measure what an exit costs here, beside its floor.")
@click.option("--floor", is_flag=True, help="Exits beside their floors: what bench measures in any case.")
@click.option("--json", "json_file", metavar="FILE", help="Write the results to FILE, too (pvisor.bench/1).")
@click.option("--quick", is_flag=True, help="Half a second instead of five: fit for a look, not for figures.")
def bench(floor: bool, json_file: str | None, quick: bool) -> None:
    """Measure what an exit costs on this machine.

    Each operation runs in a loop under the real handlers, in both tiers: served in C (native) and in Python.
    Beside it stands its floor, and where that can do the same, the plain unicorn binding. All are sampled in
    turn in one process, so the ratios hold even where the machine is busy.
    """
    if json_file is not None:
        _check_writable(json_file)
    result = run_bench(QUICK_EFFORT if quick else FULL_EFFORT)
    if json_file is not None:
        _write_json(json_file, result)
    console = Console(highlight=False)
    console.print(table(result))
    console.print(LEGEND + (NO_NATIVE if any(map(_lacks_native, result.rows)) else ""), style="dim")
    console.print(host_line(result) + "\n")
    console.print(MEANING)


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
