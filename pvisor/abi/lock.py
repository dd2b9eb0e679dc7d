# SPDX-License-Identifier: GPL-2.0-or-later
"""abi.lock: what has been released, and so never changes.

One line a fact, `what = value`. A fact may be added; a fact that is there may neither go nor change,
because guests have been built on it. The file is plain text so that a review shows what a change promises.
"""

from __future__ import annotations

from pvisor.abi.layout import layout_of
from pvisor.abi.model import Abi, Field, Hypercall

HEAD = (
    "# SPDX-License-Identifier: GPL-2.0-or-later\n"
    "# Released facts of the ABI. Lines are added by `python -m pvisor.abi --update-lock`, never changed or "
    "removed.\n"
)


def facts(abi: Abi) -> dict[str, str]:
    """Everything in the table that guests build on."""
    found: dict[str, str] = {}
    for call in abi.calls:
        found[f"call {call.name}"] = f"0x{call.nr:02x} {_signature(call)} since {call.since}"
    for errno in abi.errnos:
        found[f"errno {errno.macro}"] = str(errno.number)
    for feature in abi.features:
        found[f"feature {feature.macro}"] = f"bit {feature.bit} since {feature.since}"
    for row in abi.structs:
        layout = layout_of(row)
        if not row.grows:
            found[f"struct {row.name}"] = f"{layout.size_bytes} bytes"
        for member in row.fields:
            found[f"struct {row.name}.{member.name}"] = f"{layout.offsets[member.name]} {_type(member)}"
    for constant in abi.constants:
        if constant.is_frozen:
            found[f"constant {constant.name}"] = constant.literal
    return found


def parse(text: str) -> dict[str, str]:
    """The facts in a lock file."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return {what: value for what, _, value in (line.partition(" = ") for line in lines)}


def format_facts(found: dict[str, str]) -> str:
    """A lock file with these facts, in a stable order."""
    return HEAD + "".join(f"{what} = {found[what]}\n" for what in sorted(found))


def broken_promises(released: dict[str, str], current: dict[str, str]) -> list[str]:
    """What was released and is now gone or different, one line each; empty when every promise is kept."""
    lines = []
    for what, value in sorted(released.items()):
        if what not in current:
            lines.append(f"{what} was released as {value!r} and is gone")
        elif current[what] != value:
            lines.append(f"{what} was released as {value!r} and is now {current[what]!r}")
    numbers = {value.split()[0]: what for what, value in released.items() if what.startswith("call ")}
    for what, value in sorted(current.items()):
        owner = numbers.get(value.split()[0], what) if what.startswith("call ") else what
        if owner != what:
            lines.append(f"{what} uses the number {value.split()[0]}, which belongs to {owner}")
    return lines


def _signature(call: Hypercall) -> str:
    return f"({', '.join(arg.c_declaration for arg in call.args)})"


def _type(member: Field) -> str:
    return member.c_type if member.count is None else f"{member.c_type}[{member.count}]"
