# SPDX-License-Identifier: GPL-2.0-or-later
"""Prints pv/abi.h: the whole ABI for C, C++ and (constants only) assembly."""

from __future__ import annotations

from pvisor.abi.constants import GROUPS
from pvisor.abi.emit.ctext import comment, constant_rows, define_lines, file_head, struct_text
from pvisor.abi.layout import layout_of
from pvisor.abi.model import Abi, Struct

_OPENING = """\
#ifndef PV_ABI_H
#define PV_ABI_H

"""

_TYPES = """\
#else /* !__ASSEMBLER__ */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define PV_STATIC_ASSERT static_assert
#else
#define PV_STATIC_ASSERT _Static_assert
#endif

typedef uint64_t pv_gva_t; /* a guest-virtual address */
typedef uint64_t pv_gpa_t; /* a guest-physical address */

"""

_CLOSING = """\
#endif /* !__ASSEMBLER__ */

#endif /* PV_ABI_H */
"""


def abi_header(abi: Abi) -> str:
    """The text of pv/abi.h."""
    text = file_head(
        f"The ABI between a paravirtualized guest and pvisor, version {abi.version}; hypercalls.md explains "
        f"it."
    )
    text += "\n" + _OPENING
    for group in GROUPS:
        rows = [row for row in abi.constants if row.group == group]
        if rows:
            text += comment(f"{group}.") + define_lines(constant_rows(rows)) + "\n"
    text += comment("Errors: a hypercall's result is negative, -PV_EFAULT for instance. Linux's numbers.")
    text += define_lines((row.macro, str(row.number), row.doc) for row in abi.errnos) + "\n"
    text += comment("Features: the mask within its 64-bit word, and the bit's number.")
    for feature in abi.features:
        text += define_lines(
            (
                (feature.macro, f"0x{feature.mask:x}", feature.doc),
                (f"{feature.macro}_BIT", str(feature.bit), "its number"),
            )
        )
    text += "\n" + comment("Hypercall numbers.")
    text += define_lines((call.macro, f"0x{call.nr:02x}", call.summary) for call in abi.calls) + "\n"
    text += "#ifdef __ASSEMBLER__\n\n" + comment("Offsets of the structs' members, for assembly.")
    text += define_lines(
        (f"{row.name}_{name}".upper(), str(offset), f"struct {row.name}")
        for row in abi.structs
        for name, offset in layout_of(row).offsets.items()
    )
    text += "\n" + _TYPES
    text += "\n".join(struct_text(row, with_docs=True) + "\n" + _assertions(row) for row in abi.structs)
    return text + "\n" + _CLOSING


def _assertions(row: Struct) -> str:
    layout = layout_of(row)
    text = f'PV_STATIC_ASSERT(sizeof(struct {row.name}) == {layout.size_bytes}, "size of {row.name}");\n'
    for name, offset in layout.offsets.items():
        text += f'PV_STATIC_ASSERT(offsetof(struct {row.name}, {name}) == {offset}, "{row.name}.{name}");\n'
    return text
