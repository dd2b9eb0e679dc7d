# SPDX-License-Identifier: GPL-2.0-or-later
"""The shapes of the ABI table's rows. No row is written here: see `calls.py` for the most interesting ones.

A row holds its whole contract. Headers, wrappers, the cffi declarations and the reference are printed from
rows and have nothing to add; so when a row is silent about something, the ABI is. Rows are compared by
identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType


class CType(Enum):
    """A fixed-width integer type of the ABI: its C spelling, its size, its letter in Python's `struct`."""

    U8 = ("uint8_t", 1, "B")
    U16 = ("uint16_t", 2, "H")
    U32 = ("uint32_t", 4, "I")
    U64 = ("uint64_t", 8, "Q")
    GVA = ("pv_gva_t", 8, "Q")
    GPA = ("pv_gpa_t", 8, "Q")

    @property
    def c_name(self) -> str:
        """The C spelling."""
        return self.value[0]

    @property
    def size_bytes(self) -> int:
        """Size, which is the alignment as well."""
        return self.value[1]

    @property
    def code(self) -> str:
        """The letter of Python's `struct` module."""
        return self.value[2]

    @property
    def max(self) -> int:
        """The greatest value; a register with a greater one is not a valid argument of this type."""
        return (1 << (8 * self.size_bytes)) - 1


class Access(Enum):
    """What the hypervisor does with the memory a pointer argument names."""

    IN = "read"
    OUT = "written"
    INOUT = "read and written"


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """A named number or text. `is_frozen` is false for the few that may change from version to version."""

    name: str
    value: int | str
    doc: str
    group: str
    is_hex: bool = False
    is_frozen: bool = True

    @property
    def literal(self) -> str:
        """The value as C, assembly and Markdown write it."""
        if isinstance(self.value, str):
            return f'"{self.value}"'
        return f"0x{self.value:x}" if self.is_hex else str(self.value)

    @property
    def number(self) -> int:
        """The value of a constant that is a number."""
        if isinstance(self.value, str):
            raise TypeError(f"{self.name} is a text, not a number")
        return self.value


@dataclass(frozen=True, slots=True, eq=False)
class Errno:
    """An error that a hypercall can give; the result register holds `-number`."""

    name: str
    number: int
    doc: str

    @property
    def macro(self) -> str:
        """Its name in C."""
        return f"PV_{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Feature:
    """Something a hypervisor may or may not offer, announced by one bit."""

    name: str
    bit: int
    doc: str
    since: int = 1

    @property
    def macro(self) -> str:
        """The mask's name in C; the bit number's is the same with `_BIT`."""
        return f"PV_FEATURE_{self.name}"

    @property
    def mask(self) -> int:
        """The bit as a mask."""
        return 1 << self.bit


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A member of a struct. Padding is a member as well; it is named `reserved...` and must be 0.

    `count` is the length of an array, or None. `writer` says who writes memory that both sides see
    at any time.
    """

    name: str
    type: CType | Struct
    doc: str
    count: int | None = None
    writer: str = ""

    @property
    def c_type(self) -> str:
        """The C spelling of the type, of an element for an array."""
        return self.type.c_name if isinstance(self.type, CType) else f"struct {self.type.name}"

    @property
    def c_declarator(self) -> str:
        """Name, and length of an array."""
        return self.name if self.count is None else f"{self.name}[{self.count}]"


@dataclass(frozen=True, slots=True, eq=False)
class Struct:
    """A struct in memory that both sides see."""

    name: str
    doc: str
    fields: tuple[Field, ...]
    grows: bool
    """May a later version add members at its end?"""
    end: str = ""
    """Of one that grows: how a guest knows which members there are. A clause, without a full stop."""


@dataclass(frozen=True, slots=True, eq=False)
class Arg:
    """An argument. A pointer also says whether it is read or written, and which struct it names, if one."""

    name: str
    type: CType
    doc: str
    access: Access | None = None
    struct: str | None = None

    @property
    def c_type(self) -> str:
        """The type that the C wrapper gives it: a pointer is a real pointer there."""
        if self.access is None:
            return self.type.c_name
        pointee = f"struct {self.struct}" if self.struct else "void"
        return f"const {pointee} *" if self.access is Access.IN else f"{pointee} *"

    @property
    def c_declaration(self) -> str:
        """Type and name, as in a prototype."""
        return f"{self.c_type}{'' if self.c_type.endswith('*') else ' '}{self.name}"


def u32(name: str, doc: str) -> Arg:
    """A 32-bit argument: the upper half of its register must be zero."""
    return Arg(name, CType.U32, doc)


def u64(name: str, doc: str) -> Arg:
    """A 64-bit argument."""
    return Arg(name, CType.U64, doc)


def gva_in(name: str, doc: str, struct: str | None = None) -> Arg:
    """A guest-virtual address that the hypervisor reads from."""
    return Arg(name, CType.GVA, doc, Access.IN, struct)


def gva_out(name: str, doc: str, struct: str | None = None) -> Arg:
    """A guest-virtual address that the hypervisor writes to."""
    return Arg(name, CType.GVA, doc, Access.OUT, struct)


def gva_inout(name: str, doc: str, struct: str | None = None) -> Arg:
    """A guest-virtual address that the hypervisor reads from and writes to."""
    return Arg(name, CType.GVA, doc, Access.INOUT, struct)


@dataclass(frozen=True, slots=True, eq=False)
class Area:
    """A family of calls; its numbers begin at a multiple of 0x10."""

    base: int
    title: str
    doc: str


def _no_errors() -> Mapping[Errno, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class Hypercall:
    """One call. A row can be a key, because rows are compared by identity: handlers are registered by it.

    `errors` names every error the call can give, with its cause (but not the -ENOSYS of an unknown number).
    `replaces` says what a fully virtualized guest does instead: the other half of the comparison. `blocks`
    says for what and how long the call may wait, and is empty for one that never does. `feature` is what has
    to be offered, or else the call gives -ENOSYS. `reorders` says what may come in another order than asked.
    """

    nr: int
    name: str
    summary: str
    args: tuple[Arg, ...]
    result: str
    replaces: str
    example: str
    errors: Mapping[Errno, str] = field(default_factory=_no_errors)
    caller: str = "guest kernel"
    blocks: str = ""
    notes: tuple[str, ...] = ()
    feature: Feature | None = None
    reorders: str = ""
    since: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "errors", MappingProxyType(dict(self.errors)))

    @property
    def handler(self) -> str:
        """The name of the function in the hypervisor that serves the call."""
        return self.name.lower()

    @property
    def macro(self) -> str:
        """The name of its number in C."""
        return f"PV_HC_{self.name}"

    @property
    def wrapper(self) -> str:
        """The name of its C wrapper."""
        return f"pv_{self.handler}"

    @property
    def prototype(self) -> str:
        """The C wrapper's prototype, without the semicolon."""
        return f"int64_t {self.wrapper}({', '.join(arg.c_declaration for arg in self.args) or 'void'})"


@dataclass(frozen=True, slots=True, eq=False)
class Abi:
    """The whole table. The emitters take it as a value, so that tests can print a smaller or a broken one."""

    version: int
    constants: tuple[Constant, ...]
    errnos: tuple[Errno, ...]
    features: tuple[Feature, ...]
    structs: tuple[Struct, ...]
    areas: tuple[Area, ...]
    calls: tuple[Hypercall, ...]
