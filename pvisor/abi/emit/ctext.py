# SPDX-License-Identifier: GPL-2.0-or-later
"""Small pieces of C text that several emitted files share."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from pvisor.abi.model import Constant, Field, Struct

WIDTH = 110


def file_head(what: str, licence: str = "MIT") -> str:
    """The licence line and the warning with which an emitted C file begins."""
    return f"/* SPDX-License-Identifier: {licence} */\n" + comment(
        f"{what} Printed from the table in pvisor/abi by `make gen`: change the table, not this file."
    )


def comment(text: str) -> str:
    """A C comment, wrapped; one line where it fits."""
    if len(text) + 6 <= WIDTH:
        return f"/* {text} */\n"
    lines = textwrap.wrap(text, WIDTH - 3, break_long_words=False, break_on_hyphens=False)
    return "/*\n" + "".join(f" * {line}\n" for line in lines) + " */\n"


def define_lines(rows: Iterable[tuple[str, str, str]]) -> str:
    """`#define` lines of (name, value, meaning), in columns."""
    rows = tuple(rows)
    name_width = max(len(name) for name, _, _ in rows)
    value_width = max(len(value) for _, value, _ in rows)
    text = ""
    for name, value, doc in rows:
        line = f"#define {name:{name_width}} {value:{value_width}} /* {doc} */\n"
        text += line if len(line) <= WIDTH + 1 else comment(doc) + f"#define {name:{name_width}} {value}\n"
    return text


def constant_rows(rows: Iterable[Constant]) -> list[tuple[str, str, str]]:
    """Constants as `define_lines` wants them."""
    return [(row.name, row.literal, row.doc) for row in rows]


def struct_text(row: Struct, *, with_docs: bool) -> str:
    """A struct's declaration."""
    type_width = max(len(member.c_type) for member in row.fields)
    name_width = max(len(member.c_declarator) for member in row.fields) + 1
    text = comment(row.doc) if with_docs else ""
    text += f"struct {row.name} {{\n"
    for member in row.fields:
        line = f"    {member.c_type:{type_width}} {member.c_declarator + ';':{name_width}}"
        text += _with_meaning(line, member) if with_docs else line.rstrip() + "\n"
    return text + "};\n"


def _with_meaning(line: str, member: Field) -> str:
    meaning = f"{member.doc}; written by {member.writer}" if member.writer else member.doc
    beside = f"{line} /* {meaning} */\n"
    return beside if len(beside) <= WIDTH + 1 else f"    /* {meaning} */\n{line.rstrip()}\n"
