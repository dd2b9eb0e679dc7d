# SPDX-License-Identifier: GPL-2.0-or-later
"""Ways into a paravirtual kernel, by a real guest and on hand-made exits; and where there is no way."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.abi.areas import cpu as rows
from pvisor.abi.layout import unpack
from pvisor.cpu.exits import ExitReason as R
from pvisor.cpu.vcpu import CS, GS, R11, RCX, RDI, RSP, SS, Segment
from pvisor.domain.domain import Domain, handle_exit
from pvisor.domain.outcome import EndedBy, Outcome
from pvisor.errors import DomainCrash
from pvisor.machine.frames import HypervisorFrames
from pvisor.machine.memory import GuestMemory
from pvisor.para import segments
from pvisor.para.cpu import ParaWing, VirtualCpus
from pvisor.para.interrupts import MAX_FAULTS_WITHOUT_PROGRESS
from pvisor.para.shared import SharedPage
from pvisor.para.state import CpuState
from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import TRANSPORTS, DomainConfig
from pvisor.vmm.run import run_domain
from tests.domain.fakes import MEMORY_BYTES, FakeExit, FakeVcpu

GUESTS = Path(__file__).parent / "guests"
SHARED, STACK, KERNEL, USER = 0x3_0000, 0x5_0000, 0x2_0000, 0x40_0000
EVERYTHING = (1 << 63) - 1
MASKED, UNMASKED = 1, 0


@pytest.mark.needs_gcc
@pytest.mark.parametrize("tier", ["native", "python"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_kernel_and_its_entries(tmp_path: Path, tier: str, transport: str) -> None:
    elf = build_guest([GUESTS / "kernel_entries.c"], tmp_path / "guest.elf", "para").path
    config = DomainConfig(elf, mode="para", tier=tier, transport=transport, max_insns=5_000_000)
    result = run_domain(config)
    assert (result.ending.ended_by, result.ending.status) == (EndedBy.GUEST, 0), result.ending.reason
    assert result.output.decode() == (GUESTS / "kernel_entries.txt").read_text()


class Spaces:
    """Says which tables were asked for."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def enter_user(self, vcpu: object) -> None:
        self.log.append("user")

    def enter_kernel(self, vcpu: object) -> None:
        self.log.append("kernel")


class Rig:
    """A domain with CPU state and no CPU."""

    def __init__(self) -> None:
        memory, frames = GuestMemory(MEMORY_BYTES), HypervisorFrames(1)
        self.vcpu, self.spaces = FakeVcpu(memory), Spaces()
        gdts = frames.allocate()
        frames.write(gdts, segments.gdt_page(1))
        self.shared = SharedPage(memory, SHARED)
        self.shared.clear()
        self.cpus = VirtualCpus(frames, gdts, self.shared, 1, spaces=self.spaces)
        self.domain = Domain(1, "rig", memory, ParaWing(EVERYTHING, cpus=self.cpus), [self.vcpu])
        self.vcpu.set_segment(SS, segments.KERNEL_STACK)
        self.vcpu.regs.gpr[RSP] = STACK

    @property
    def state(self) -> CpuState:
        return self.cpus.states[0]

    def go_to_user(self) -> None:
        """By IRET."""
        frame = [0, 0, 0, 0, USER, rows.USER_CS.number, 0x202, 0x7000, rows.USER_SS.number]
        self.domain.memory.write(0x8000, b"".join(word.to_bytes(8, "little") for word in frame))
        assert self.call(rows.IRET.nr, 0x8000).is_answered

    def call(self, number: int, *args: int) -> FakeExit:
        """A hypercall."""
        exit = FakeExit(reason=R.HYPERCALL, number=number, args=[*args, *[0] * (5 - len(args))])
        assert handle_exit(self.domain, self.vcpu, exit) is Outcome.RESUME
        return exit

    def happens(self, reason: R, **fields: int) -> FakeExit:
        """An exit that is no hypercall."""
        exit = FakeExit(reason=reason)
        for name, value in fields.items():
            setattr(exit, name, value)
        assert handle_exit(self.domain, self.vcpu, exit) is Outcome.RESUME
        return exit

    def set(self, vector: int, flags: int = 0) -> None:
        """A handler at KERNEL + vector."""
        self.state.traps[vector].handler, self.state.traps[vector].flags = KERNEL + vector, flags

    @property
    def frame(self) -> dict[str, int]:
        """What lies at RSP."""
        return unpack("pv_trap_stack", self.domain.memory.read(self.vcpu.regs.gpr[RSP], 48))


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_an_exception_of_the_kernel_has_its_frame_on_its_own_stack(rig: Rig) -> None:
    rig.set(14)
    rig.vcpu.regs.gpr[RSP] = STACK - 3
    exit = rig.happens(R.PAGE_FAULT, vector=14, error_code=2, cr2=0x1234, rip=0x2_1000)
    assert rig.frame == {
        "error_code": 2, "rip": 0x2_1000, "cs": 0x09, "rflags": 2, "rsp": STACK - 3, "ss": 0x11,
    }  # fmt: skip
    assert (rig.vcpu.regs.gpr[RSP], rig.vcpu.regs.rip) == (STACK - 16 - 48, KERNEL + 14)
    assert int.from_bytes(rig.domain.memory.read(rig.state.vcpu_info + 16, 8), "little") == 0x1234
    assert not exit.retired
    assert rig.spaces.log == []


@pytest.mark.parametrize("flags", [0, rows.TRAP_MASK.number])
@pytest.mark.parametrize("masked", [MASKED, UNMASKED])
def test_if_in_a_frame_is_the_mask(rig: Rig, masked: int, flags: int) -> None:
    rig.set(6, flags)
    rig.shared.set_upcall_masked(0, bool(masked))
    rig.happens(R.INVALID_OPCODE, vector=6)
    assert bool(rig.frame["rflags"] & 0x200) != bool(masked)
    assert rig.shared.upcall_masked(0) == bool(masked or flags)


def test_user_code_and_back(rig: Rig) -> None:
    rig.call(rows.STACK_SET.nr, STACK)
    rig.call(rows.SYSCALL_SET.nr, KERNEL, rows.TRAP_MASK.number)
    rig.call(rows.SEGMENT_BASE_SET.nr, 1, 0xAAAA)
    rig.call(rows.SEGMENT_BASE_SET.nr, 2, 0xBBBB)
    rig.vcpu.set_segment(3, segments.KERNEL_STACK)
    rig.go_to_user()
    assert (rig.vcpu.regs.rip, rig.vcpu.segment(CS).selector) == (USER, 0x23)
    assert rig.vcpu.segment(GS).base == 0xBBBB
    assert rig.vcpu.segment(3).selector == 0, "data segments of the kernel are taken away"
    assert not rig.shared.upcall_masked(0)
    exit = rig.happens(R.SYSCALL, rip=USER + 1, next_rip=USER + 3)
    assert exit.retired
    gpr = rig.vcpu.regs.gpr
    assert (gpr[RCX], gpr[R11], rig.vcpu.regs.rip, gpr[RSP]) == (USER + 3, 0x202, KERNEL, STACK - 48)
    frame = rig.frame
    assert (frame["rip"], frame["cs"], frame["rsp"], frame["ss"]) == (USER + 3, 0x23, 0x7000, 0x1B)
    assert (rig.vcpu.segment(CS).selector, rig.vcpu.segment(GS).base) == (0x09, 0xAAAA)
    assert rig.shared.upcall_masked(0)
    assert rig.spaces.log == ["user", "kernel"]


def test_after_iretq_there_is_nothing_to_undo(rig: Rig) -> None:
    rig.call(rows.STACK_SET.nr, STACK)
    rig.set(0)
    rig.vcpu.set_segment(CS, Segment(0x23, 0, 0xFFFF_FFFF, 0xAF_FB00))
    rig.vcpu.set_segment(GS, Segment(0, 0x77, 0, 0))
    rig.happens(R.EXCEPTION, vector=0)
    assert rig.vcpu.segment(GS).base == 0x77
    assert rig.spaces.log == []


@pytest.mark.parametrize("vector", range(32))
@pytest.mark.parametrize("error_code", [0, 0x55])
def test_error_codes_are_pushed_where_x86_pushes_them(rig: Rig, vector: int, error_code: int) -> None:
    rig.set(vector)
    rig.happens(R.EXCEPTION, vector=vector, error_code=error_code)
    assert rig.frame["error_code"] == (error_code if vector in (8, 10, 11, 12, 13, 14, 17) else 0)


@pytest.mark.parametrize(("flags", "in_user", "entered"), [(0, 0, 1), (1, 0, 1), (0, 1, 0), (1, 1, 1)])
def test_int_n_needs_leave_in_user_code(rig: Rig, flags: int, in_user: int, entered: int) -> None:
    rig.call(rows.STACK_SET.nr, STACK)
    rig.set(0x80, flags)
    rig.set(13)
    if in_user:
        rig.go_to_user()
    exit = rig.happens(R.SOFT_INT, vector=0x80, rip=USER, next_rip=USER + 2)
    assert rig.vcpu.regs.rip == KERNEL + (0x80 if entered else 13)
    assert rig.frame["rip"] == (USER + 2 if entered else USER)
    assert rig.frame["error_code"] == (0 if entered else 0x80 * 8 + 2)
    assert bool(exit.retired) == bool(entered)


def test_int1_is_a_debug_exception_behind_it(rig: Rig) -> None:
    rig.set(1)
    exit = FakeExit(reason=R.INVALID_OPCODE, vector=6, rip=USER).at(b"\xf1\x90")
    handle_exit(rig.domain, rig.vcpu, exit)
    assert (rig.vcpu.regs.rip, rig.frame["rip"], exit.retired) == (KERNEL + 1, USER + 1, 1)


def test_rdpmc_is_a_general_protection(rig: Rig) -> None:
    rig.set(13)
    handle_exit(rig.domain, rig.vcpu, FakeExit(reason=R.INVALID_OPCODE, vector=6).at(b"\x0f\x33"))
    assert rig.vcpu.regs.rip == KERNEL + 13


# --- upcalls


@pytest.mark.parametrize("masked", [MASKED, UNMASKED])
@pytest.mark.parametrize("pending", [0, 1])
@pytest.mark.parametrize("entry", [0, KERNEL])
def test_an_upcall_comes_when_it_is_due(rig: Rig, entry: int, pending: int, masked: int) -> None:
    rig.call(rows.UPCALL_SET.nr, entry)
    rig.shared.set_upcall_masked(0, bool(masked))
    if pending:
        rig.shared.raise_upcall(0, 5)
    rig.vcpu.event_pending = True
    rig.happens(R.EVENT_WINDOW, rip=0x2_2000)
    assert not rig.vcpu.event_pending
    is_due = bool(entry and pending and not masked)
    assert (rig.vcpu.regs.rip == KERNEL) == is_due
    if is_due:
        assert rig.frame["rip"] == 0x2_2000 and rig.frame["rflags"] & 0x200
    assert rig.shared.upcall_masked(0) == (is_due or bool(masked))
    assert rig.shared.upcall_pending(0) == bool(pending), "the guest clears it"


def test_unmasking_by_iret_or_upcall_set_loses_no_event(rig: Rig) -> None:
    rig.call(rows.UPCALL_SET.nr, KERNEL)
    rig.call(rows.STACK_SET.nr, STACK)
    rig.shared.raise_upcall(0, 5)
    assert not rig.vcpu.event_pending
    rig.go_to_user()
    assert rig.vcpu.event_pending
    rig.vcpu.event_pending = False
    rig.shared.set_upcall_masked(0, True)
    rig.call(rows.UPCALL_SET.nr, KERNEL)
    assert not rig.vcpu.event_pending
    rig.shared.set_upcall_masked(0, False)
    rig.call(rows.UPCALL_SET.nr, KERNEL)
    assert rig.vcpu.event_pending


# --- where there is no way


def crash(rig: Rig, reason: R, **fields: int) -> str:
    with pytest.raises(DomainCrash) as caught:
        rig.happens(reason, **fields)
    words = str(caught.value)
    assert words and "\n" not in words
    return words


def test_no_handler(rig: Rig) -> None:
    rig.set(13)
    assert crash(rig, R.EXCEPTION, vector=0) == "#DE (error code 0x0): the trap table has no handler"
    rig.go_to_user()
    assert crash(rig, R.EXCEPTION, vector=0).startswith("user code: #DE")
    assert "SYSCALL_SET has given no entry" in crash(rig, R.SYSCALL)


def test_no_stack_for_entries_out_of_user_code(rig: Rig) -> None:
    rig.set(0)
    rig.go_to_user()
    assert "STACK_SET" in crash(rig, R.EXCEPTION, vector=0)


@pytest.mark.parametrize("rsp", [0, 16, SHARED - 0x1000, 1 << 47, MEMORY_BYTES + 48])
def test_a_frame_that_has_no_place(rig: Rig, rsp: int) -> None:
    rig.set(14)
    rig.vcpu.read_only.add(SHARED - 0x2000)
    rig.vcpu.regs.gpr[RSP] = rsp
    words = crash(rig, R.PAGE_FAULT, vector=14, cr2=0x10, error_code=2)
    assert words.startswith("page fault: write to 0x10, which is not mapped, and the kernel's stack")


def test_exceptions_without_end(rig: Rig) -> None:
    rig.set(14)
    rig.vcpu.regs.gpr[RSP] = MEMORY_BYTES
    for _ in range(MAX_FAULTS_WITHOUT_PROGRESS):
        rig.happens(R.PAGE_FAULT, vector=14)
    assert "exceptions without end" in crash(rig, R.PAGE_FAULT, vector=14)


def test_a_refused_iret_changes_nothing(rig: Rig) -> None:
    before = list(rig.vcpu.regs.gpr), dict(rig.vcpu.segments), rig.shared.upcall_masked(0)
    rig.domain.memory.write(0x8000, bytes(72))
    for address in (0x8000, 0, MEMORY_BYTES - 71):
        exit = rig.call(rows.IRET.nr, address)
        assert exit.result < 0 and not exit.is_answered
    assert before == (list(rig.vcpu.regs.gpr), dict(rig.vcpu.segments), rig.shared.upcall_masked(0))


def test_registers_that_the_call_cannot_keep_come_from_the_frame(rig: Rig) -> None:
    words = [1, 2, 3, 4, 0x2_1000, 0x09, 0x0002 | 1 << 10, 0x6000, 0x11]
    rig.domain.memory.write(0x8000, b"".join(word.to_bytes(8, "little") for word in words))
    rig.vcpu.regs.gpr[3] = 99
    rig.call(rows.IRET.nr, 0x8000)
    gpr = rig.vcpu.regs.gpr
    assert [gpr[i] for i in (0, RCX, R11, RDI, RSP, 3)] == [1, 2, 3, 4, 0x6000, 99]
    assert (rig.vcpu.rflags, rig.shared.upcall_masked(0)) == (0x402, True)
