# SPDX-License-Identifier: GPL-2.0-or-later
"""`pvisor trace show`: a trace as lines that can be read, or as JSON."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import click

from pvisor.abi.calls import by_name
from pvisor.abi.errnos import ERRNOS
from pvisor.abi.model import CType
from pvisor.cli import say
from pvisor.cli.files import words_of
from pvisor.cli.params import FILE
from pvisor.errors import UsageError
from pvisor.observe.trace_file import TraceReader, TraceRecord

DECIMAL = ("size_bytes", "vector", "register")
"""Operands that are counts or indices. All others are shown in hex."""


@click.group(short_help="Read a trace.", no_args_is_help=False)
def trace() -> None:
    """Read what `pvisor run --trace FILE` has written."""


@trace.command(short_help="Show a trace, a line an exit.")
@click.argument("file", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead.")
@click.option("--limit", type=click.IntRange(0), metavar="N", help="Stop after N exits.")
def show(file: Path, as_json: bool, limit: int | None) -> None:
    """Show the exits in FILE, in order: virtual time, domain and vCPU, reason, operands, result."""
    try:
        stream = file.open("rb")
    except OSError as error:
        raise UsageError(f"{file}: {words_of(error)}") from None
    with stream:
        reader = TraceReader(stream, str(file))
        for record in islice(reader, limit):
            click.echo(as_json_line(record) if as_json else as_line(record))
        if limit is None and reader.footer is None:
            say(f"{file}: the trace was cut short, its end is missing")


def as_line(record: TraceRecord) -> str:
    """`     1234 ns d1/v0 HYPERCALL console_write(buffer=0x1000, size_bytes=42) -> 42`."""
    operands = [f"{name}={_value(record, name, value)}" for name, value in record.operands.items()]
    if record.call is not None:
        text = f"{record.call}({', '.join(operands)})"
    else:
        text = " ".join(operands)
    if record.result is not None:
        text += f" -> {result_text(record.result)}"
    if record.outcome != "resume":
        text += f" => {record.outcome}"
    who = f"d{record.domid}/v{record.vcpu}"
    return f"{record.virtual_ns:>12} ns {who} {record.reason.upper()} {text}".rstrip()


def result_text(result: int) -> str:
    """A hypercall's result: an error by its name."""
    names = {-error.number: f"-{error.name}" for error in ERRNOS}
    return names.get(result, str(result))


def _value(record: TraceRecord, name: str, value: int) -> str:
    call = by_name(record.call) if record.call is not None else None
    types = {arg.name: arg.type for arg in call.args} if call is not None else {}
    if name in DECIMAL or types.get(name) in (CType.U32, CType.U64):
        return str(value)
    return f"{value:#x}"


def as_json_line(record: TraceRecord) -> str:
    """The same as JSON; `call` is null for what is no known hypercall."""
    return json.dumps({
        "virtual_ns": record.virtual_ns, "domid": record.domid, "vcpu": record.vcpu, "reason": record.reason,
        "rip": record.rip, "call": record.call, "operands": dict(record.operands), "result": record.result,
        "outcome": record.outcome,
    })  # fmt: skip
