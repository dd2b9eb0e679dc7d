# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers that stand in two places: Python's names, cffi's enum, the C sources, the ABI table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pvisor.abi import constants
from pvisor.cpu import exits
from pvisor.cpu.engine_start import native_names, start_engine
from pvisor.cpu.exits import ExitClass, ExitReason
from pvisor.cpu.shim import ffi
from pvisor.cpu.vcpu import RCX, RDI
from pvisor.machine import frames, memory
from tests.cpu.conftest import MakeRig
from tests.cpu.rig import CALL_PAGE, CODE, HLT, SYSCALL, TRANSPORTS, call

_ELEMENTS = ffi.typeof("enum pv_exit_reason").elements
ENUM = {name.removeprefix("PV_EXIT_"): number for number, name in _ELEMENTS.items()}


def shim_source(root: Path, name: str) -> str:
    return (root / "pvisor" / "cpu" / "shim" / name).read_text()


def test_exit_reasons_are_those_of_the_shim() -> None:
    named = {name: number for name, number in ENUM.items() if name != "REASONS"}
    assert {reason.name: int(reason) for reason in ExitReason} == named


def test_tables_by_reason_have_room_for_each() -> None:
    assert ENUM["REASONS"] == exits.N_REASONS > max(ExitReason)
    counters = dict(ffi.typeof("pv_vcpu").fields)["counters"].type
    assert counters.length == exits.N_REASONS


def test_the_hypervisors_frames_lie_where_the_shim_maps_them(repo_root: Path) -> None:
    found = re.search(r"#define HV_BASE \((\w+)ull << (\d+)\)", shim_source(repo_root, "shim.h"))
    assert found
    assert int(found[1]) << int(found[2]) == frames.HV_BASE


def test_pages_are_as_large_in_the_shim(repo_root: Path) -> None:
    found = re.search(r"#define PAGE_BYTES (\d+)ull", shim_source(repo_root, "shim.h"))
    assert found
    assert int(found[1]) == memory.PAGE_BYTES == constants.PAGE_BYTES.number


@pytest.mark.parametrize("name", ["run.c", "exits.c"])
def test_a_poison_spelt_out_in_the_shim_is_the_abis(repo_root: Path, name: str) -> None:
    for spelt in re.findall(r"0x[dD][eE][aA][dD]\w+?(?=ull)", shim_source(repo_root, name)):
        assert int(spelt, 16) == constants.POISON.number


@pytest.mark.parametrize("is_native", [True, False], ids=["native", "python"])
@pytest.mark.parametrize("transport", TRANSPORTS.values(), ids=TRANSPORTS)
def test_a_hypercall_leaves_the_abis_poison_behind(rig: MakeRig, transport: bytes, is_native: bool) -> None:
    noop = 2
    r = rig(call(CODE, CALL_PAGE + 32 * noop) + HLT)
    r.hypercall_page(transport)
    r.v.debug_abi = 1
    r.regs.gpr[RDI] = 77
    if is_native:
        r.vcpu.enable_natives("para")
    assert r.run_to_hlt(lambda reason: None) == ([] if is_native else [ExitReason.HYPERCALL])
    assert r.regs.gpr[RCX] == r.regs.gpr[11] == constants.POISON.number
    assert r.regs.gpr[RDI] == 77


def test_without_debug_abi_rcx_is_left_alone(rig: MakeRig) -> None:
    r = rig(call(CODE, CALL_PAGE + 64) + HLT)
    r.hypercall_page(SYSCALL)
    r.regs.gpr[RCX] = 5
    r.run_to_hlt(lambda reason: None)
    assert r.regs.gpr[RCX] == 5


def test_each_reason_belongs_to_one_class_and_has_a_label() -> None:
    classes = {reason: reason.exit_class for reason in ExitReason}
    assert {r.name for r, c in classes.items() if c is ExitClass.STOP} == {
        "BUDGET", "KICK", "EVENT_WINDOW", "TRACE_FULL", "DEADLINE", "ENGINE_ERROR", "HOOK_STOP", "VM86",
        "ENGINE_ABORT", "SLICE",
    }  # fmt: skip
    assert {r.name for r, c in classes.items() if c is ExitClass.INTERCEPT} == {
        "NONE", "HYPERCALL", "IO_IN", "IO_OUT", "CPUID", "RDTSC", "SYSCALL", "SYSENTER",
    }  # fmt: skip
    assert len({reason.label for reason in ExitReason}) == len(ExitReason)


def test_the_self_test_says_what_it_found() -> None:
    facts = start_engine()
    assert facts.unicorn_version.startswith("2.1.")
    assert facts.repair in ("state", "context")
    assert len(facts.state_offsets) == len(set(facts.state_offsets)) == 6
    assert facts.state_offsets[:3] == (136, 176, 184)  # eflags, hflags, segs: QEMU's CPUX86State begins so
    assert start_engine() is facts


def test_each_wing_names_its_native_handlers() -> None:
    assert {"cli", "sti"} <= set(native_names("full"))
    assert "noop" in native_names("para")
