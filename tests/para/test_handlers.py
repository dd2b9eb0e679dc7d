# SPDX-License-Identifier: GPL-2.0-or-later
"""The paravirtual handlers on hand-made exits, with no CPU: every reason that the wing can meet."""

from __future__ import annotations

import pytest

from pvisor.cpu.exits import ExitReason as R
from pvisor.cpu.vcpu import RAX, RBX, RCX, RDX
from pvisor.domain.domain import handle_exit
from pvisor.domain.outcome import Outcome
from pvisor.errors import DomainCrash
from tests.domain.fakes import FakeExit, para_domain

U64 = (1 << 64) - 1
TRAPS = [reason for reason in R if R.CLI <= reason <= R.EXCEPTION] + [R.SYSCALL]


@pytest.mark.parametrize("reason", TRAPS, ids=lambda reason: reason.label)
def test_every_trap_crashes_with_one_line(reason: R) -> None:
    domain, vcpu = para_domain()
    with pytest.raises(DomainCrash) as caught:
        handle_exit(domain, vcpu, FakeExit(reason=reason, vector=13).at(b"\xf4"))
    words = str(caught.value)
    assert words and "\n" not in words
    assert caught.value.status == 134
    assert domain.ending is None, "the run loop ends the domain"



def page_fault(error_code: int) -> FakeExit:
    return FakeExit(reason=R.PAGE_FAULT, vector=14, cr2=0x10, error_code=error_code)


WORDS = [
    (page_fault(2), "page fault: write to 0x10, which is not mapped"),
    (page_fault(3), "write to 0x10, which is mapped read-only"),
    (page_fault(0), "read of 0x10, which is not mapped"),
    (page_fault(16), "instruction fetch at 0x10, which is not mapped"),
    (page_fault(17), "instruction fetch at 0x10, which is mapped no-execute"),
    (FakeExit(reason=R.EXCEPTION, vector=0), "#DE"),
    (FakeExit(reason=R.EXCEPTION, vector=17, error_code=0), "#AC"),
    (FakeExit(reason=R.EXCEPTION, vector=31), "exception 31"),
    (FakeExit(reason=R.GENERAL_PROTECTION, vector=13, error_code=0x18), "#GP (error code 0x18)"),
    (FakeExit(reason=R.SOFT_INT, vector=0x80), "INT 0x80"),
    (FakeExit(reason=R.INVALID_OPCODE, vector=6).at(b"\x0f\x0b"), "invalid opcode 0f 0b"),
    (FakeExit(reason=R.INVALID_OPCODE, vector=6).at(b"\x0f\x01\xc1"), "RAW_VMCALL"),
]


@pytest.mark.parametrize(("exit", "words"), WORDS, ids=[words for _, words in WORDS])
def test_the_reason_in_words(exit: FakeExit, words: str) -> None:
    domain, vcpu = para_domain()
    with pytest.raises(DomainCrash) as caught:
        handle_exit(domain, vcpu, exit)
    assert words in str(caught.value)


@pytest.mark.parametrize("reason", [R.IO_IN, R.IO_OUT])
@pytest.mark.parametrize("ioport", [0x80, 0x3F8, 0x604, 0xFFFF])
def test_io_ports_crash(reason: R, ioport: int) -> None:
    domain, vcpu = para_domain()
    with pytest.raises(DomainCrash, match=f"{ioport:#x}"):
        handle_exit(domain, vcpu, FakeExit(reason=reason, in_hook=1, ioport=ioport, size_bytes=1))


def test_cpuid_uses_the_low_half_and_clears_the_upper() -> None:
    domain, vcpu = para_domain(offered=3)
    vcpu.regs.gpr[RAX], vcpu.regs.gpr[RCX] = 0xFFFF_FFFF_4000_0002, U64
    assert handle_exit(domain, vcpu, FakeExit(reason=R.CPUID, in_hook=1)) is Outcome.RESUME
    assert [vcpu.regs.gpr[i] for i in (RAX, RBX, RCX, RDX)] == [3, 0, 0, 0]


def test_a_leaf_beyond_the_last_says_nothing_of_a_hypervisor() -> None:
    domain, vcpu = para_domain()
    vcpu.regs.gpr[RAX] = 0x4000_0003
    handle_exit(domain, vcpu, FakeExit(reason=R.CPUID, in_hook=1))
    beyond = list(vcpu.regs.gpr)
    vcpu.regs.gpr[RAX] = 0x16  # the last basic leaf: its values are shown (SDM 2A, CPUID)
    handle_exit(domain, vcpu, FakeExit(reason=R.CPUID, in_hook=1))
    assert beyond == list(vcpu.regs.gpr)


def test_rdtsc_is_virtual_time() -> None:
    domain, vcpu = para_domain()
    vcpu.regs.gpr[RAX] = vcpu.regs.gpr[RDX] = U64
    handle_exit(domain, vcpu, FakeExit(reason=R.RDTSC, in_hook=1, virtual_ns=0x1_2345_6789))
    assert (vcpu.regs.gpr[RAX], vcpu.regs.gpr[RDX]) == (0x2345_6789, 1)


def test_rdtscp_gives_tsc_aux_as_well() -> None:
    domain, vcpu = para_domain()
    vcpu.regs.gpr[RCX] = U64
    handle_exit(domain, vcpu, FakeExit(reason=R.RDTSC, in_hook=1, value=1, virtual_ns=9))
    assert (vcpu.regs.gpr[RAX], vcpu.regs.gpr[RCX]) == (9, 0)
