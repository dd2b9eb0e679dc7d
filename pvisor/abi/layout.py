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

from pvisor.abi.model import CType, Field, Struct
from pvisor.abi.structs import STRUCTS


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a struct's members lie."""

    names: tuple[str, ...]
    offsets: Mapping[str, int]
    sizes: Mapping[str, int]
    size_bytes: int
    align: int
    codec: struct.Struct | None
    """For packing; None for a struct with members that are not plain numbers."""


def layout_of(row: Struct) -> Layout:
    """Lay a struct out as a C compiler does; refuse one that would get padding without a name."""
    offsets: dict[str, int] = {}
    sizes: dict[str, int] = {}
    offset, widest = 0, 1
    for member in row.fields:
        n_bytes, align = _element(member)
        if offset % align:
            raise ValueError(f"{row.name}.{member.name} would need padding before it: name the padding")
        offsets[member.name] = offset
        sizes[member.name] = n_bytes * (1 if member.count is None else member.count)
        offset += sizes[member.name]
        widest = max(widest, align)
    if offset % widest:
        raise ValueError(f"{row.name} would need padding at its end: name the padding")
    codes = [m.type.code for m in row.fields if isinstance(m.type, CType) and m.count is None]
    codec = struct.Struct("<" + "".join(codes)) if len(codes) == len(row.fields) else None
    return Layout(tuple(offsets), MappingProxyType(offsets), MappingProxyType(sizes), offset, widest, codec)


def _element(member: Field) -> tuple[int, int]:
    """(size, alignment) of a member, of one element for an array."""
    if isinstance(member.type, CType):
        return member.type.size_bytes, member.type.size_bytes
    inner = layout_of(member.type)
    return inner.size_bytes, inner.align


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
    codec = _codec(struct_name)
    unknown = fields.keys() - set(layout.names)
    missing = {name for name in layout.names if not name.startswith("reserved")} - fields.keys()
    if unknown or missing:
        raise ValueError(f"{struct_name}: unknown {sorted(unknown)}, missing {sorted(missing)}")
    try:
        return codec.pack(*(fields.get(name, 0) for name in layout.names))
    except struct.error as error:
        raise ValueError(f"{struct_name}: {error}") from error


def unpack(struct_name: str, data: bytes | bytearray | memoryview) -> dict[str, int]:
    """A struct's members. `data` may be longer than the struct: a later version may have grown."""
    layout = _LAYOUTS[struct_name]
    if len(data) < layout.size_bytes:
        raise ValueError(f"{struct_name} needs {layout.size_bytes} bytes, not {len(data)}")
    return dict(zip(layout.names, _codec(struct_name).unpack_from(data), strict=True))


def _codec(struct_name: str) -> struct.Struct:
    codec = _LAYOUTS[struct_name].codec
    if codec is None:
        raise ValueError(f"{struct_name} has members that are no plain numbers: use their offsets")
    return codec
