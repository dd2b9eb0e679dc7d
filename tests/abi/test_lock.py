# SPDX-License-Identifier: GPL-2.0-or-later
"""What has been released stays: abi.lock against the table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pvisor.abi import structs
from pvisor.abi.__main__ import LOCK, REFERENCE, check, update_lock
from pvisor.abi.areas import itself
from pvisor.abi.lock import broken_promises, facts, format_facts, parse
from pvisor.abi.model import Abi, CType, Errno, Feature, Field, Hypercall, Struct, u32
from pvisor.abi.table import ABI

ROOT = Path(__file__).resolve().parents[2]


def _released() -> dict[str, str]:
    return parse((ROOT / LOCK).read_text(encoding="utf-8"))


def _call(nr: int, name: str = "NAP") -> Hypercall:
    return Hypercall(nr=nr, name=name, summary="Nap.", args=(), result="0", replaces="", example="")


def _with_struct(row: Struct) -> Abi:
    return replace(ABI, structs=tuple(row if old.name == row.name else old for old in ABI.structs))


EXTRA = Field("later", CType.U64, "a later member")
WITHOUT_NOOP = tuple(call for call in ABI.calls if call is not itself.NOOP)

# What must never happen, and the fact that is then reported.
BROKEN = {
    "a call removed": (replace(ABI, calls=WITHOUT_NOOP), "call NOOP"),
    "a call renumbered": (replace(ABI, calls=(*WITHOUT_NOOP, _call(0x03, "NOOP"))), "call NOOP"),
    "a number used again": (
        replace(ABI, calls=(*WITHOUT_NOOP, _call(0x02))),
        "call NAP uses the number 0x02",
    ),
    "an argument added": (
        replace(ABI, calls=(*WITHOUT_NOOP, replace(itself.NOOP, args=(u32("x", "x"),)))),
        "call NOOP",
    ),
    "an error renumbered": (
        replace(ABI, errnos=(Errno("EFAULT", 15, ""), *(row for row in ABI.errnos if row.name != "EFAULT"))),
        "errno PV_EFAULT",
    ),
    "a feature moved": (
        replace(ABI, features=(Feature("RAW_VMCALL", 7, ""), *ABI.features[1:])),
        "feature PV_FEATURE_RAW_VMCALL",
    ),
    "a constant removed": (replace(ABI, constants=ABI.constants[2:]), "constant PV_CPUID_BASE"),
    "a member put in front": (
        _with_struct(replace(structs.START_INFO, fields=(EXTRA, *structs.START_INFO.fields))),
        "struct pv_start_info.magic",
    ),
    "a bare struct grown": (
        _with_struct(replace(structs.TIME, fields=(*structs.TIME.fields, EXTRA))),
        "struct pv_time",
    ),
}

# What may happen; `--check` then asks for the lock to be updated.
ALLOWED = {
    "a call added": replace(ABI, calls=(*ABI.calls, _call(0xEF))),
    "a feature added": replace(ABI, features=(*ABI.features, Feature("NAPS", 2, ""))),
    "a sized struct grown": _with_struct(
        replace(structs.START_INFO, fields=(*structs.START_INFO.fields, EXTRA))
    ),
}


def test_frozen() -> None:
    """Every released fact stands, and every fact of the table is released."""
    assert broken_promises(_released(), facts(ABI)) == []
    assert facts(ABI) == _released()


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_promise_is_named_and_the_lock_is_not_touched(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    abi, fact = BROKEN[case]
    assert any(line.startswith(fact) for line in broken_promises(_released(), facts(abi)))
    (tmp_path / LOCK).parent.mkdir(parents=True)
    (tmp_path / LOCK).write_bytes((ROOT / LOCK).read_bytes())
    assert update_lock(tmp_path, abi) == 1
    assert fact in capsys.readouterr().err
    assert (tmp_path / LOCK).read_bytes() == (ROOT / LOCK).read_bytes()


@pytest.mark.parametrize("case", ALLOWED)
def test_an_addition_is_asked_for_and_then_only_added(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    abi = ALLOWED[case]
    (tmp_path / LOCK).parent.mkdir(parents=True)
    (tmp_path / LOCK).write_bytes((ROOT / LOCK).read_bytes())
    (tmp_path / REFERENCE).write_bytes((ROOT / REFERENCE).read_bytes())
    assert check(tmp_path, abi) == 1
    assert "--update-lock" in capsys.readouterr().err
    assert update_lock(tmp_path, abi) == 0
    before, after = _released(), parse((tmp_path / LOCK).read_text(encoding="utf-8"))
    assert after == facts(abi)
    assert before.items() < after.items()


def test_the_file_is_in_its_stable_form() -> None:
    assert (ROOT / LOCK).read_text(encoding="utf-8") == format_facts(_released())
