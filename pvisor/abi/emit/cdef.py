# SPDX-License-Identifier: GPL-2.0-or-later
"""Prints abi.cdef: the structs and the numbers, in the part of C that cffi parses."""

from __future__ import annotations

from pvisor.abi.emit.ctext import file_head, struct_text
from pvisor.abi.model import Abi


def abi_cdef(abi: Abi) -> str:
    """The text of abi.cdef."""
    numbers = [(row.name, row.literal) for row in abi.constants if not isinstance(row.value, str)]
    numbers += [(row.macro, str(row.number)) for row in abi.errnos]
    for feature in abi.features:
        numbers += [(feature.macro, f"0x{feature.mask:x}"), (f"{feature.macro}_BIT", str(feature.bit))]
    numbers += [(call.macro, f"0x{call.nr:02x}") for call in abi.calls]
    text = file_head("The ABI's structs and numbers, for cffi.", "GPL-2.0-or-later") + "\n"
    text += "".join(f"#define {name} {value}\n" for name, value in numbers)
    text += "\ntypedef uint64_t pv_gva_t;\ntypedef uint64_t pv_gpa_t;\n\n"
    return text + "\n".join(struct_text(row, with_docs=False) for row in abi.structs)
