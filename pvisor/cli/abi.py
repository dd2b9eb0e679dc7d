# SPDX-License-Identifier: GPL-2.0-or-later
"""`pvisor abi`: the hypercalls, straight from the table that everything else is made of."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

import click
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pvisor.abi.calls import ARG_REGISTERS, CALLS, area_of, by_number
from pvisor.abi.model import Access, Arg, Hypercall
from pvisor.errors import UsageError
from pvisor.paths import abi_document


@click.command(short_help="Show the hypercalls, or one of them.")
@click.argument("name", required=False)
def abi(name: str | None) -> None:
    """Show all hypercalls, or everything about NAME.

    Any spelling will do: CONSOLE_WRITE, console_write, PV_HC_CONSOLE_WRITE, pv_console_write, 0x10. The whole
    contract, with conventions and structs, is hypercalls.md.
    """
    console = Console(highlight=False)
    console.print(_overview() if name is None else _everything(find(name)))
    if name is None:
        console.print(f"the whole contract: {abi_document()}", soft_wrap=True)


def find(name: str) -> Hypercall:
    """The call of a name in any spelling, or of a number. UsageError, with a guess, when there is none."""
    spellings = _spellings()
    found = spellings.get(name.lower())
    if found is None and name[:1].isdigit():
        try:
            found = by_number(int(name, 0))
        except ValueError:
            found = None
    if found is None:
        near = get_close_matches(name.lower(), spellings, n=1)
        hint = f"did you mean {spellings[near[0]].name}?" if near else "`pvisor abi` lists them"
        raise UsageError(f"{name}: no hypercall of that name or number; {hint}")
    return found


def _spellings() -> Mapping[str, Hypercall]:
    return {spelling.lower(): call for call in CALLS for spelling in (call.handler, call.macro, call.wrapper)}


def _overview() -> Table:
    table = Table()
    table.add_column("number", justify="right")
    for heading in ("call", "arguments", "what for"):
        table.add_column(heading)
    area = None
    for call in CALLS:
        if area is not None and area_of(call) is not area:
            table.add_section()
        area = area_of(call)
        arguments = ", ".join(arg.name for arg in call.args)
        table.add_row(f"{call.nr:#04x}", call.name, Text(arguments), Text(call.summary))
    return table


def _everything(call: Hypercall) -> Group:
    parts: list[RenderableType] = [
        Text.assemble((call.name, "bold"), f"  {call.nr:#04x}  since ABI {call.since}"),
        Text(call.summary),
        Text(),
        Padding(Text(f"{call.prototype};"), (0, 0, 0, 4)),
        Text(),
    ]
    rows = Table.grid(padding=(0, 2))
    rows.add_column(no_wrap=True)
    rows.add_column()
    for arg, register in zip(call.args, ARG_REGISTERS, strict=False):
        rows.add_row(Text(f"{register}  {arg.name}"), Text(f"{_type(arg)}: {arg.doc}"))
    rows.add_row("result", _plain(call.result))
    for error, cause in call.errors.items():
        rows.add_row(f"-{error.macro}", _plain(cause))
    rows.add_row("instead of", _plain(call.replaces))
    for note in call.notes:
        rows.add_row("note", _plain(note))
    return Group(*parts, rows)


def _type(arg: Arg) -> str:
    if arg.access is None:
        return arg.type.name.lower()
    side = "IN" if arg.access is Access.IN else "OUT"
    return f"pointer to {f'struct {arg.struct}' if arg.struct else 'bytes'}, {side}"


def _plain(markdown: str) -> Text:
    return Text(markdown.replace("`", ""))
