# SPDX-License-Identifier: GPL-2.0-or-later
"""Structs of the ABI as bytes: sizes, offsets, packing and unpacking.

Computed from the table with Python's `struct` module, little-endian with natural alignment. No C is parsed
at run time, because that would cost a good part of the start-up time; that gcc and cffi agree is for the
tests to show.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pvisor.abi.model import Struct
from pvisor.abi.structs import STRUCTS


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a struct's members lie."""

    names: tuple[str, ...]
    offsets: Mapping[str, int]
    codec: struct.Struct

    @property
    def size_bytes(self) -> int:
        """The struct's size."""
        return self.codec.size


def layout_of(row: Struct) -> Layout:
    """Lay a struct out as a C compiler does; refuse one that would get padding without a name."""
    offsets: dict[str, int] = {}
    offset = 0
    for member in row.fields:
        if offset % member.type.size_bytes:
            raise ValueError(f"{row.name}.{member.name} would need padding before it: name the padding")
        offsets[member.name] = offset
        offset += member.type.size_bytes
    if offset % max(member.type.size_bytes for member in row.fields):
        raise ValueError(f"{row.name} would need padding at its end: name the padding")
    codec = struct.Struct("<" + "".join(member.type.code for member in row.fields))
    return Layout(tuple(offsets), MappingProxyType(offsets), codec)


_LAYOUTS: Mapping[str, Layout] = MappingProxyType({row.name: layout_of(row) for row in STRUCTS})


def sizeof(struct_name: str) -> int:
    """Size of a struct in bytes."""
    return _LAYOUTS[struct_name].size_bytes


def offsetof(struct_name: str, field_name: str) -> int:
    """Offset of a member in bytes."""
    return _LAYOUTS[struct_name].offsets[field_name]


def pack(struct_name: str, **fields: int) -> bytes:
    """A struct's bytes. Every member must be given, except `reserved` ones, which are 0."""
    layout = _LAYOUTS[struct_name]
    unknown = fields.keys() - set(layout.names)
    missing = {name for name in layout.names if not name.startswith("reserved")} - fields.keys()
    if unknown or missing:
        raise ValueError(f"{struct_name}: unknown {sorted(unknown)}, missing {sorted(missing)}")
    try:
        return layout.codec.pack(*(fields.get(name, 0) for name in layout.names))
    except struct.error as error:
        raise ValueError(f"{struct_name}: {error}") from error


def unpack(struct_name: str, data: bytes | bytearray | memoryview) -> dict[str, int]:
    """A struct's members. `data` may be longer than the struct: a later version may have grown."""
    layout = _LAYOUTS[struct_name]
    if len(data) < layout.size_bytes:
        raise ValueError(f"{struct_name} needs {layout.size_bytes} bytes, not {len(data)}")
    return dict(zip(layout.names, layout.codec.unpack_from(data), strict=True))
