# SPDX-License-Identifier: GPL-2.0-or-later
"""CPUID promises only what works, and shows the hypervisor only where it may."""

from __future__ import annotations

import pytest

from pvisor.cpu import features
from pvisor.cpu.exits import ExitReason as R
from pvisor.cpu.features import CpuidTable
from tests.cpu.conftest import MakeRig
from tests.cpu.rig import DATA, HLT

BARE = CpuidTable({})
HIGHEST_HYPERVISOR = 0x4000_0002
GUIDED = CpuidTable({0x4000_0000: (HIGHEST_HYPERVISOR, 1, 2, 3), 0x4000_0001: (1, 1, 0, 0)})


def test_the_hypervisor_shows_only_where_it_has_leaves() -> None:
    assert not BARE.leaf(1)[2] & features.HYPERVISOR
    assert GUIDED.leaf(1)[2] & features.HYPERVISOR
    assert GUIDED.leaf(1)[2] & ~features.HYPERVISOR == BARE.leaf(1)[2]
    assert GUIDED.leaf(0x4000_0000) == (HIGHEST_HYPERVISOR, 1, 2, 3)


@pytest.mark.parametrize("leaf", [0x17, 0xFF, 0x3FFF_FFFF, 0x4000_0000, 0x8000_0009, 0xFFFF_FFFF])
def test_a_leaf_beyond_the_highest_gives_the_highest_basic_one(leaf: int) -> None:
    assert BARE.leaf(leaf) == BARE.leaf(BARE.leaf(0)[0])


@pytest.mark.parametrize("leaf", [2, 4, 7, 0xB, 0xD, 0x14, 0x8000_0005])
def test_a_leaf_within_the_range_that_says_nothing_is_zero(leaf: int) -> None:
    assert BARE.leaf(leaf) == (0, 0, 0, 0)


def test_the_vendor_and_the_brand_are_text() -> None:
    _, ebx, ecx, edx = BARE.leaf(0)
    assert b"".join(word.to_bytes(4, "little") for word in (ebx, edx, ecx)) == b"GenuineIntel"
    brand = b"".join(word.to_bytes(4, "little") for i in range(3) for word in BARE.leaf(0x8000_0002 + i))
    assert brand.rstrip(b"\0").decode().startswith("pvisor")


def test_the_clock_leaf_says_one_gigahertz() -> None:
    denominator, numerator, crystal_hz, _ = BARE.leaf(0x15)
    assert crystal_hz * numerator // denominator == features.TSC_HZ == 1_000_000_000
    # SDM 3A 10.5.4: the local APIC's timer counts the crystal, and that of full/apic_timer.py is 1 GHz.
    assert crystal_hz == 1_000_000_000
    assert BARE.leaf(0x8000_0007)[3] & 1 << 8, "the TSC is invariant"
    assert BARE.leaf(0x16) == (1000, 1000, 1000, 0), "in MHz"


def test_each_leaf_is_four_32_bit_words() -> None:
    for leaf in (*range(0x20), *range(0x4000_0000, 0x4000_0010), *range(0x8000_0000, 0x8000_0010)):
        assert all(0 <= word < 1 << 32 for word in GUIDED.leaf(leaf))


INSTRUCTIONS = {
    "SSE3 addsubps": ("f20fd0c1", 2, features.SSE3),
    "SSSE3 pshufb": ("660f3800c1", 2, features.SSSE3),
    "SSE4.1 pminsd": ("660f3839c1", 2, features.SSE4_1),
    "SSE4.2 pcmpgtq": ("660f3837c1", 2, features.SSE4_2),
    "CX16 cmpxchg16b": ("480fc70e", 2, features.CX16),
    "POPCNT": ("f3480fb8c1", 2, features.POPCNT),
    "CMOV": ("480f44c1", 3, features.CMOV),
    "CX8 cmpxchg8b": ("0fc70e", 3, features.CX8),
    "MMX paddb": ("0ffcc1", 3, features.MMX),
    "SSE addps": ("0f58c1", 3, features.SSE),
    "SSE2 paddq": ("660fd4c1", 3, features.SSE2),
    "FXSR fxsave": ("0fae06", 3, features.FXSR),
    "CLFSH clflush": ("0fae3e", 3, features.CLFSH),
}


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_what_leaf_1_offers_runs_and_nothing_else(rig: MakeRig, name: str) -> None:
    text, word, bit = INSTRUCTIONS[name]
    code = bytes.fromhex(text)
    r = rig(code + HLT)
    r.regs.gpr[6] = DATA
    if BARE.leaf(1)[word] & bit:
        r.expect(R.HLT, len(code))
    else:
        r.expect(R.INVALID_OPCODE, 0)


NOT_OFFERED = {"RDRAND": (2, 30), "XSAVE": (2, 26), "OSXSAVE": (2, 27), "AVX": (2, 28), "x2APIC": (2, 21),
               "MONITOR": (2, 3), "VMX": (2, 5), "PCID": (2, 17), "TSC deadline": (2, 24),
               "SEP": (3, 11)}  # fmt: skip


@pytest.mark.parametrize("name", NOT_OFFERED)
def test_what_does_not_work_is_not_offered(name: str) -> None:
    word, bit = NOT_OFFERED[name]
    assert not BARE.leaf(1)[word] & 1 << bit
