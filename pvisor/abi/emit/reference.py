# SPDX-License-Identifier: GPL-2.0-or-later
"""Prints the reference part of hypercalls.md. The prose around it is written by hand."""

from __future__ import annotations

from collections.abc import Iterable

from pvisor.abi.calls import ARG_REGISTERS, area_of
from pvisor.abi.constants import GROUPS
from pvisor.abi.layout import layout_of
from pvisor.abi.model import Abi, Arg, Hypercall, Struct

BEGIN = "<!-- reference:begin -->"
END = "<!-- reference:end -->"


def replace_reference(document: str, abi: Abi) -> str:
    """The document with the text between its markers replaced by the current reference."""
    if document.count(BEGIN) != 1 or document.count(END) != 1:
        raise ValueError(f"the document needs exactly one {BEGIN} and one {END}")
    before, rest = document.split(BEGIN)
    if END not in rest:
        raise ValueError(f"{END} stands before {BEGIN}")
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{reference(abi)}{END}{after}"


def reference(abi: Abi) -> str:
    """The reference: every call, struct, error, feature and constant."""
    text = "<!-- Printed from the table in pvisor/abi by `make gen`: change the table, not this part. -->\n\n"
    text += "### All calls\n\n" + _table(
        ("Number", "Call", "What for", "Errors", "May block", "Feature"),
        (
            (f"`0x{call.nr:02x}`", _link(call), call.summary, _names(call), "yes" if call.blocks else "",
             call.feature.name if call.feature else "")
            for call in abi.calls
        ),
    )  # fmt: skip
    text += (
        "### What replaces what\n\nWhat a fully virtualized guest does in the place of each call.\n\n"
        + _table(("Call", "Without hypercalls"), ((_link(call), call.replaces) for call in abi.calls))
    )
    for area in abi.areas:
        text += f"### {area.title}\n\nNumbers from `0x{area.base:02x}`. {area.doc}\n\n"
        text += "".join(_call(call) for call in abi.calls if area_of(call) is area)
    text += "### Error numbers\n\n" + _table(
        ("Name", "Number", "Meaning"), ((f"`{row.macro}`", str(row.number), row.doc) for row in abi.errnos)
    )
    text += "### Feature bits\n\n" + _table(
        ("Name", "Bit", "Since ABI", "What it offers"),
        ((f"`{row.macro}`", str(row.bit), str(row.since), row.doc) for row in abi.features),
    )
    text += "### Structs\n\n" + "".join(_struct(row) for row in abi.structs)
    text += "### Constants\n\n"
    for group in GROUPS:
        rows = [row for row in abi.constants if row.group == group]
        text += f"#### {group}\n\n" + _table(
            ("Name", "Value", "Meaning"), ((f"`{row.name}`", f"`{row.literal}`", row.doc) for row in rows)
        )
    return text


def _link(call: Hypercall) -> str:
    return f"[{call.name}](#{call.handler})"


def _names(call: Hypercall) -> str:
    return ", ".join(row.name for row in call.errors) or "none"


def _call(call: Hypercall) -> str:
    text = f"#### {call.name}\n\n{call.summary}\n\n"
    text += f"```c\n{call.prototype}; /* {call.macro} = 0x{call.nr:02x} */\n```\n\n"
    if call.args:
        text += _table(
            ("Argument", "Register", "Type", "Meaning"),
            (
                (f"`{arg.name}`", register, _arg_type(arg), arg.doc)
                for arg, register in zip(call.args, ARG_REGISTERS, strict=False)
            ),
        )
    else:
        text += "No arguments. "
    text += f"**Result**: {call.result}.\n\n"
    if call.errors:
        text += _table(("Error", "Cause"), ((f"`-{row.macro}`", cause) for row, cause in call.errors.items()))
    else:
        text += "**Errors**: none.\n\n"
    text += "".join(f"- {note}\n" for note in call.notes) + ("\n" if call.notes else "")
    blocks = f"may block: {call.blocks}" if call.blocks else "never blocks"
    needs = f"; feature {call.feature.name}" if call.feature else ""
    text += f"Called by the {call.caller}; {blocks}; since ABI {call.since}{needs}.  \n"
    text += f"**Order**: {call.reorders or 'as asked'}.  \n"
    text += f"**Without hypercalls**: {call.replaces}.\n\n"
    return text + f"```c\n{call.example}\n```\n\n"


def _arg_type(arg: Arg) -> str:
    if arg.access is None:
        return f"`{arg.type.name.lower()}`"
    pointee = f"`struct {arg.struct}`" if arg.struct else "bytes"
    return f"`gva` of {pointee}, {arg.access.name} ({arg.access.value} by the hypervisor)"


def _struct(row: Struct) -> str:
    layout = layout_of(row)
    growth = (
        f"A later version may add members at the end; {row.end}"
        if row.grows
        else "Its size never changes"
    )
    shared = any(member.writer for member in row.fields)
    return f"#### struct {row.name}\n\n{row.doc} {layout.size_bytes} bytes. {growth}.\n\n" + _table(
        ("Offset", "Size", "Type", "Member", *(("Written by",) if shared else ()), "Meaning"),
        (
            (
                f"`0x{layout.offsets[member.name]:02x}`",
                str(layout.sizes[member.name]),
                f"`{member.c_type}`",
                f"`{member.c_declarator}`",
                *((member.writer,) if shared else ()),
                member.doc,
            )
            for member in row.fields
        ),
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return (
        "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
        + "\n"
    )
