# SPDX-License-Identifier: GPL-2.0-or-later
"""The table keeps its own rules: numbers, areas, names, complete rows."""

from __future__ import annotations

import re
from importlib import import_module
from pkgutil import iter_modules

import pytest

from pvisor.abi import areas, calls
from pvisor.abi.areas import itself
from pvisor.abi.areas.cpu import SHARED_INFO
from pvisor.abi.calls import ARG_REGISTERS, CALLS, by_name, by_number
from pvisor.abi.constants import PAGE_BYTES
from pvisor.abi.errnos import ENOSYS
from pvisor.abi.layout import layout_of
from pvisor.abi.model import Access, CType, Hypercall, Struct
from pvisor.abi.structs import STRUCTS
from pvisor.abi.table import ABI

each_call = pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)


def test_numbers_are_unique_ordered_and_fit_into_the_pages() -> None:
    numbers = [call.nr for call in CALLS]
    assert numbers == sorted(set(numbers))
    assert all(0 <= nr < 256 for nr in numbers)


def test_areas_begin_on_multiples_of_0x10_and_are_used() -> None:
    bases = [area.base for area in calls.AREAS]
    assert bases == sorted(set(bases))
    assert bases[0] == 0
    assert all(base % 0x10 == 0 for base in bases)
    assert {calls.area_of(call) for call in CALLS} == set(calls.AREAS)


def test_calls_lists_every_row_of_the_areas() -> None:
    modules = [import_module(f"{areas.__name__}.{name}") for _, name, _ in iter_modules(areas.__path__)]
    rows = [value for module in modules for value in vars(module).values() if isinstance(value, Hypercall)]
    assert sorted(rows, key=lambda row: row.nr) == list(CALLS)


@each_call
def test_one_name_makes_four_spellings(call: Hypercall) -> None:
    assert re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", call.name)
    assert call.handler == call.name.lower()
    assert call.macro == "PV_HC_" + call.name
    assert call.wrapper == "pv_" + call.name.lower()
    for spelling in (call.name, call.handler, call.macro, call.wrapper):
        assert by_name(spelling) is call
    assert by_number(call.nr) is call


def test_unknown_names_and_numbers_give_none() -> None:
    assert by_name("LAUNCH_MISSILES") is None
    assert by_number(0x7F) is None


@each_call
def test_row_is_complete(call: Hypercall) -> None:
    assert len(call.args) <= len(ARG_REGISTERS)
    assert call.summary.endswith((".", "?"))
    assert call.result and call.replaces and call.example
    assert 1 <= call.since <= ABI.version
    assert all(note.endswith(".") for note in call.notes)
    assert all(cause and not cause.endswith(".") for cause in call.errors.values())


@each_call
def test_arguments_that_can_fail_have_their_error(call: Hypercall) -> None:
    names = {errno.name for errno in call.errors}
    if any(arg.type is CType.GVA for arg in call.args):
        assert "EFAULT" in names
    if any(arg.type is CType.U32 for arg in call.args):
        assert "EINVAL" in names


@each_call
def test_pointers_say_what_they_point_to(call: Hypercall) -> None:
    structs = {row.name for row in ABI.structs}
    for arg in call.args:
        assert (arg.access is not None) == (arg.type is CType.GVA)
        assert arg.struct is None or arg.struct in structs
        assert arg.c_type.startswith("const ") == (arg.access is Access.IN)


def test_enosys_needs_a_feature() -> None:
    features = [feature.name for feature in ABI.features]
    for call in CALLS:
        if ENOSYS in call.errors:
            assert any(name in call.errors[ENOSYS] for name in features)


def test_names_and_numbers_of_errors_and_features_are_unique() -> None:
    assert len({row.number for row in ABI.errnos}) == len(ABI.errnos)
    assert all(0 < row.number < 4096 for row in ABI.errnos)
    assert len({row.bit for row in ABI.features}) == len(ABI.features)
    assert all(row.bit % 64 != 63 for row in ABI.features), "bit 63 would make FEATURES look like an error"


def test_errors_are_linux_numbers() -> None:
    errno = pytest.importorskip("errno")
    for row in ABI.errnos:
        assert getattr(errno, row.name) == row.number


def test_rows_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        itself.NOOP.nr = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        itself.FEATURES.errors[ENOSYS] = "x"  # type: ignore[index]


def test_texts_and_numbers_of_constants_are_told_apart() -> None:
    by_constant = {row.name: row for row in ABI.constants}
    assert by_constant["PV_HOLE_START"].number == 0xFFFF_8000_0000_0000
    assert by_constant["PV_HOLE_START"].literal == "0xffff800000000000"
    assert by_constant["PV_START_MAGIC"].number.to_bytes(8, "little") == b"pvstart\0"
    signature = b"".join(
        by_constant[f"PV_CPUID_SIGNATURE_{register}"].number.to_bytes(4, "little")
        for register in ("EBX", "ECX", "EDX")
    )
    assert signature == b"pvisorpvisor"
    with pytest.raises(TypeError):
        by_constant["PV_ELF_NOTE_NAME"].number  # noqa: B018


@pytest.mark.parametrize("row", STRUCTS, ids=lambda row: row.name)
def test_a_struct_that_grows_says_how_one_knows_where_it_ends(row: Struct) -> None:
    assert row.grows == bool(row.end)
    for name in re.findall(r"`(\w+)`", row.end):
        assert name in {member.name for member in row.fields}


def test_the_shared_page_is_one_page_and_does_not_claim_to_say_its_size() -> None:
    assert layout_of(SHARED_INFO).size_bytes <= PAGE_BYTES.number
    assert not any("size" in member.name for member in SHARED_INFO.fields)
    assert "feature bit" in SHARED_INFO.end
