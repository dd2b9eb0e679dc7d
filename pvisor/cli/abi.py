# SPDX-License-Identifier: GPL-2.0-or-later
"""`pvisor abi`: the hypercalls and structs, straight from the table that everything else is made of."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

import click
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from pvisor.abi.calls import ARG_REGISTERS, CALLS, area_of, by_number
from pvisor.abi.layout import layout_of
from pvisor.abi.model import Arg, Hypercall, Struct
from pvisor.abi.structs import STRUCTS
from pvisor.errors import UsageError
from pvisor.paths import abi_document


@click.command(short_help="Show the hypercalls, or one of them, or a struct.")
@click.argument("name", required=False)
def abi(name: str | None) -> None:
    """Show all hypercalls, or everything about NAME, a hypercall or a struct.

    Any spelling will do: CONSOLE_WRITE, console_write, PV_HC_CONSOLE_WRITE, pv_console_write, 0x10; a struct
    is pv_time, say. The whole contract, with all conventions, is hypercalls.md.
    """
    console = Console(highlight=False)
    if name is None:
        console.print(_overview())
        console.print(f"the whole contract: {abi_document()}", soft_wrap=True)
        return
    found = find(name)
    if isinstance(found, Struct):
        console.print(_members(found))
        return
    console.print(_head(found))
    _print_code(console, f"{found.prototype};")
    console.print(_facts(found))
    _print_code(console, found.example)


def find(name: str) -> Hypercall | Struct:
    """The call of a name in any spelling, or of a number, or a struct.

    Raises UsageError, with a guess, when there is none.
    """
    name = name.removeprefix("struct ")
    spellings = _spellings()
    found = spellings.get(name.lower())
    if found is None and name[:1].isdigit():
        try:
            found = by_number(int(name, 0))
        except ValueError:
            found = None
    if found is None:
        near = get_close_matches(name.lower(), spellings, n=1)
        hint = f"did you mean {spellings[near[0]].name}?" if near else "`pvisor abi` lists the calls"
        raise UsageError(f"{name}: no hypercall of that name or number, and no struct; {hint}")
    return found


def _spellings() -> Mapping[str, Hypercall | Struct]:
    calls = {
        spelling.lower(): call for call in CALLS for spelling in (call.handler, call.macro, call.wrapper)
    }
    return {**{row.name: row for row in STRUCTS}, **calls}


def _overview() -> Table:
    table = Table()
    table.add_column("number", justify="right")
    for heading in ("call", "feature", "arguments", "what for"):
        table.add_column(heading)
    area = None
    for call in CALLS:
        if area is not None and area_of(call) is not area:
            table.add_section()
        area = area_of(call)
        arguments = ", ".join(arg.name for arg in call.args)
        feature = call.feature.name if call.feature else ""
        table.add_row(f"{call.nr:#04x}", call.name, feature, Text(arguments), Text(call.summary))
    return table


def _print_code(console: Console, code: str) -> None:
    """Between empty lines, and never wrapped: it is there to be copied."""
    lines = "".join(f"    {line}\n" for line in code.splitlines())
    console.print(Text(f"\n{lines}"), soft_wrap=True)


def _head(call: Hypercall) -> Group:
    title = Text.assemble((call.name, "bold"), f"  {call.nr:#04x}  since ABI {call.since}")
    return Group(title, Text(call.summary))


def _facts(call: Hypercall) -> Table:
    rows = Table.grid(padding=(0, 2))
    rows.add_column(no_wrap=True)
    rows.add_column()
    for arg, register in zip(call.args, ARG_REGISTERS, strict=False):
        rows.add_row(Text(f"{register}  {arg.name}"), _plain(f"{_type(arg)}: {arg.doc}"))
    rows.add_row("result", _plain(call.result))
    for error, cause in call.errors.items():
        rows.add_row(f"-{error.macro}", _plain(cause))
    if call.feature is not None:
        rows.add_row("feature", _plain(f"{call.feature.name}, or else it gives -PV_ENOSYS"))
    rows.add_row("called by", Text(f"the {call.caller}"))
    rows.add_row("may block", _plain(call.blocks or "never"))
    rows.add_row("order", _plain(call.reorders or "as asked"))
    rows.add_row("instead of", _plain(call.replaces))
    for note in call.notes:
        rows.add_row("note", _plain(note))
    return rows


def _members(struct: Struct) -> Group:
    layout = layout_of(struct)
    table = Table()
    shared = any(member.writer for member in struct.fields)
    table.add_column("offset", justify="right")
    for heading in ("type", "member", *(("written by",) if shared else ()), "meaning"):
        table.add_column(heading)
    for member in struct.fields:
        writer = (member.writer,) if shared else ()
        place = f"{layout.offsets[member.name]:#04x}", member.c_type, Text(member.c_declarator)
        table.add_row(*place, *writer, _plain(member.doc))
    growth = "may grow at its end" if struct.grows else "never grows"
    return Group(
        Text.assemble((f"struct {struct.name}", "bold"), f"  {layout.size_bytes} bytes, {growth}"),
        _plain(struct.doc), table,
    )  # fmt: skip


def _type(arg: Arg) -> str:
    if arg.access is None:
        return arg.type.name.lower()
    return f"pointer to {f'struct {arg.struct}' if arg.struct else 'bytes'}, {arg.access.name}"


def _plain(markdown: str) -> Text:
    return Text(markdown.replace("`", ""))
