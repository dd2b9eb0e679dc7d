# SPDX-License-Identifier: GPL-2.0-or-later
"""SYSCALL, SYSRET, SYSENTER, SYSEXIT with random MSRs, from every ring and width."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pvisor.cpu.vcpu import R11, RCX, RDX
from tests.full.differential import image
from tests.full.differential.draws import Draw, examples
from tests.full.differential.image import Mode
from tests.full.differential.pair import Pair
from tests.full.differential.state import (
    AC,
    FMASK,
    ID,
    IF,
    IOPL,
    LSTAR,
    STAR,
    STATUS,
    SYSENTER_CS,
    SYSENTER_EIP,
    SYSENTER_ESP,
    TF,
    Start,
    start,
)  # fmt: skip

SCE = 1
LANDINGS = (image.LANDING, image.LANDING + 0x10, image.HANDLERS + 0x805)
FAR_LANDINGS = (0x7FFF_FFFF_F000, 0xFFFF_8000_0000_0000)
NOT_CANONICAL = (0x8000_0000_0000, 1 << 63)


def drawn_start(draw: Draw, modes: list[Mode]) -> Start:
    """A mode of these, any ring and width; EFER.SCE mostly set."""
    mode = draw.of(modes)
    widths = {Mode.LONG: (64, 64, 64, 32)}.get(mode, (32,))
    made = start(mode, b"", ring=draw.of((0, 3)), bits=draw.of(widths), gpr=draw.registers())
    made.rflags = draw.flags(TF | STATUS | IF | IOPL | AC | ID)
    made.efer = made.efer & ~SCE | draw.rarely(SCE, (0,), 6)
    star = draw.of((0x0018, 0x0008, 0x0010, 0, 3, 0xFFE3)) << 32 | draw.of((0x23, 0x20, 0x10, 0xFFE3)) << 48
    landing = draw.rarely(draw.of(LANDINGS), FAR_LANDINGS) if mode.is_long else draw.of(LANDINGS)
    stack = draw.rarely(image.TSS_STACK, (0, 0x7FFF_FFFF_FFF0))
    made.msrs = {
        STAR: star | draw.of(LANDINGS), LSTAR: landing, FMASK: draw.noise.getrandbits(22) & ~0x1_0002,
        SYSENTER_CS: draw.of((0x08, 0x0B, 0x18, 0, 3, 0xFFC3)), SYSENTER_EIP: landing,
        SYSENTER_ESP: stack & (1 << 47 if mode.is_long else 1 << 32) - 1,
    }  # fmt: skip
    return made


@examples(120)
@given(st.data())
def test_syscall(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw, list(Mode))
    made.code = b"\x0f\x05"
    if made.bits == 64 or not made.efer & SCE:  # SDM 2B, SYSCALL: #UD elsewhere; the lane does as AMD's CPUs
        pair.check(made)


@examples(200)
@given(st.data())
def test_sysret(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw, list(Mode))
    made.gpr[RCX] = draw.of((*LANDINGS, *FAR_LANDINGS) if made.bits == 64 else LANDINGS)
    # SDM 2B, SYSRET: VM and RF are cleared, and what is reserved; the engine loads them.
    made.gpr[R11] = draw.noise.getrandbits(22) & 0x24_FFD7 | draw.noise.getrandbits(32) << 32
    made.code = draw.of((b"", b"\x48")) + b"\x0f\x07"
    # SDM 2B, SYSRET: #UD outside 64-bit mode, and it comes before #GP; the engine does as AMD's CPUs.
    if made.bits == 64 and made.cpl == 0:
        pair.check(made)


@examples(120)
@given(st.data())
def test_sysenter(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw, list(Mode))
    made.code = b"\x0f\x34"
    pair.check(made)


@examples(150)
@given(st.data())
def test_sysexit(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw, list(Mode))
    wide = made.bits == 64 and draw.coin()
    far = FAR_LANDINGS if wide else ()  # else the engine leaves bits above the 32 that there are
    made.gpr[RDX], made.gpr[RCX] = draw.of((*LANDINGS, *far)), draw.of((image.USER_STACK, *far))
    made.code = (b"\x48" if wide else b"") + b"\x0f\x35"
    if made.msrs[SYSENTER_CS] == 3:
        return  # SDM 2B, SYSEXIT: #GP(0) unless CS[15:2] names something; the engine looks at all 16 bits
    pair.check(made)
