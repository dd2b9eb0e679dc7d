# SPDX-License-Identifier: GPL-2.0-or-later
"""Native handlers beside their Python twins: any state, one instruction, and both leave the same behind.

A native handler does the plain case and leaves the rest to its twin: both are tried here. That the plain
cases are served natively is in test_natives.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from pvisor.cpu.engine_start import native_names
from pvisor.cpu.vcpu import RAX, RBX, RCX, RDX, RSP
from tests.full import wing_rig as w
from tests.full.wing_rig import KERNEL, MODES, USER, Start, served_alike

EVERY = native_names("full")
LIMITED = settings(max_examples=200, deadline=None)
U64 = (1 << 64) - 1

PAGES = (USER, w.KERNEL_STACK, w.KERNEL_STACK - 0x1000, w.SPARE_STACK - 0x1000, w.USER_STACK - 0x1000,
         w.GDT, w.IDT, w.TSS, w.LDT, w.DATA & ~0xFFF, w.UNMAPPED)  # fmt: skip
ENTRY_BITS = (w.P, w.W, w.U, w.A, w.D, w.NX, 1 << 40, 1 << 51, 1 << 52, 1 << 62)
SELECTORS = st.one_of(
    st.sampled_from((w.CODE0, w.DATA0, w.CODE32_0, w.DATA3 | 3, w.CODE3 | 3, w.CODE32_3 | 3)),
    st.builds(lambda index, low: index << 3 | low, st.integers(0, 26), st.sampled_from((0, 1, 3, 4, 7))),
)
ADDRESSES = st.one_of(
    st.sampled_from((KERNEL + 0x10, USER + 0x10, w.DATA, w.DATA + 0x7FE, w.UNMAPPED, w.NOT_CANONICAL, 0)),
    st.sampled_from((w.KERNEL_STACK, w.USER_STACK, w.KERNEL_STACK - 0x1004, w.SPARE_STACK)),
    st.sampled_from((w.MEMORY_BYTES, U64)),
    st.integers(0, U64),
)
STACKS = st.sampled_from((w.KERNEL_STACK - 0x100, w.KERNEL_STACK - 0xFEC, w.KERNEL_STACK + 0xFFC, 0xFFFC,
                          w.USER_STACK - 0x100, w.USER_STACK + 2, w.UNMAPPED + 8, w.NOT_CANONICAL + 8,
                          ))  # fmt: skip
DESCRIPTORS = st.builds(w.descriptor, st.integers(0, 255), st.integers(0, 15), st.sampled_from((0, 0x1000)),
                        st.sampled_from((0, 0xFFF, 0xF_FFFF)))  # fmt: skip


def rarely(values: st.SearchStrategy[Mapping[int, int]]) -> st.SearchStrategy[Mapping[int, int]]:
    """Most often nothing out of the ordinary."""
    return st.one_of(st.just({}), st.just({}), values)


MACHINES = {
    "mode": st.sampled_from(("long", "long", *MODES)),
    "user": st.booleans(),
    "rflags": st.builds(lambda flags, nt: flags & 0x25_0CD5 | 2 | nt, st.integers(0, 1 << 22),
                        st.sampled_from((0,) * 9 + (1 << 14,))),
    "virtual_if": st.booleans(),
    "nmi_pending": st.sampled_from((False,) * 7 + (True,)),
    "nmi_blocked": st.sampled_from((False,) * 5 + (True,)),
    "iopl": st.sampled_from((0, 0, 3)),
    "pages": rarely(st.dictionaries(st.sampled_from(PAGES), st.sampled_from(ENTRY_BITS), max_size=2)),
    "gdt": st.lists(DESCRIPTORS, max_size=3),
    "ldt": st.one_of(st.just([]), st.lists(DESCRIPTORS, max_size=3)),
}  # fmt: skip


def insns(text: str) -> st.SearchStrategy[bytes]:
    """Machine code of one or a few instructions, each in hexadecimal digits."""
    return st.sampled_from([bytes.fromhex(word) for word in text.split()])


def starts(
    insns: st.SearchStrategy[bytes], **settings: st.SearchStrategy[object]
) -> st.SearchStrategy[Start]:
    """A start for one of the instructions; code of the other width now and then."""

    def of(compatible: bool, **drawn: object) -> Start:
        start = Start(**drawn)  # type: ignore[arg-type]
        if compatible and start.mode == "long":
            start.code = w.CODE32_3 if start.user else w.CODE32_0
        return start

    strategies: dict[str, st.SearchStrategy[object]] = {"insn": insns, **MACHINES, **settings}
    return st.builds(of, compatible=st.sampled_from((False, False, False, True)), **strategies)


def alike(start: Start) -> None:
    """Both tiers leave the same, whichever natives there are."""
    served_alike(start, EVERY)


def at_rsp(**more: st.SearchStrategy[int]) -> st.SearchStrategy[Mapping[int, int]]:
    """Some registers, and now and then a stack of another kind."""
    registers = {int(name[1:]): values for name, values in more.items()}
    usual = st.fixed_dictionaries(registers)
    return st.one_of(usual, usual, st.fixed_dictionaries({**registers, RSP: STACKS}))


FRAMES = st.sampled_from(
    (
        (KERNEL, w.CODE0, w.KERNEL_STACK - 0x80, w.DATA0),
        (KERNEL, w.CODE0, w.KERNEL_STACK, 0),
        (KERNEL, w.CODE32_0, 0x3_0800, w.DATA0),
        (USER, w.CODE3 | 3, w.USER_STACK, w.DATA3 | 3),
        (USER, w.CODE32_3 | 3, w.USER_STACK, w.DATA3 | 3),
    )
)
POPPED_FLAGS = st.integers(0, 1 << 22).map(lambda flags: flags & ~0x2_0100)
WORDS = st.one_of(ADDRESSES, SELECTORS, st.integers(0, 1 << 22))


def frame(usual: tuple[int, int, int, int], flags: int, changes: Mapping[int, int]) -> list[int]:
    """What IRET pops."""
    words = [usual[0] + 0x10, usual[1], flags, usual[2], usual[3]]
    return [changes.get(i, word) for i, word in enumerate(words)]


@settings(LIMITED, max_examples=400)
@given(
    starts(
        insns("cf 48cf 48cf 66cf 6648cf"),
        stack=st.builds(
            frame, FRAMES, POPPED_FLAGS, rarely(st.dictionaries(st.integers(0, 4), WORDS, max_size=1))
        ),
        word_bytes=st.sampled_from((2, 4, 4, 8, 8, 8)),
        gpr=at_rsp(),
    )
)
def test_iret(start: Start) -> None:
    if start.word_bytes == 8 and start.mode != "long":
        start.word_bytes = 4
    alike(start)


GATES = st.dictionaries(
    st.sampled_from((0, 3, 6, 8, 13, 14, 0x30, 0x31)),
    st.tuples(
        st.one_of(st.just(KERNEL + 0x180), st.just(USER + 0x180), ADDRESSES), SELECTORS,
        st.sampled_from((0x8E, 0x8F, 0xEE, 0xEF, 0x0E, 0xEC, 0x85, 0xF1)), st.sampled_from((0, 0, 1, 2, 7))),
    max_size=3,
)  # fmt: skip


def _low(word: int) -> int:
    return word & 0xFFFF_FFFF


EVENTS = insns("0f0b cd30 cd31 cc f7f1 8803 8a03 cd3f f1 0f33 660f6fc0 8ed8 ffe3 f4 9090fb909090")


@LIMITED
@given(
    starts(
        EVENTS,
        gates=GATES,
        tss=rarely(st.dictionaries(st.sampled_from((4, 8, 0x24, 0x28)), WORDS.map(_low), max_size=2)),
        tss_limit=st.sampled_from((0x67, 0x67, 7, 0x20)),
        idt_limit=st.sampled_from((0xFFF, 0xFFF, 0xFF)),
        gpr=at_rsp(_3=ADDRESSES, _0=SELECTORS),
        interrupt=st.sampled_from((None, None, 0x30, 0x31)),
        cr0=st.sampled_from((0, 8, 1 << 16)),
    )
)  # fmt: skip
def test_events(start: Start) -> None:
    alike(start)


LOADS = insns(
    "8ed8 8ec0 8ed0 8ee0 8ee8 8ec8 668ed8 8e1b 8e4310 8e940b40000000 8e2424 648e1b 1f 07 17 661f "
    "0fa1 0fa9 660fa1 480fa1 66480fa9 418ed8 8e5d00 c503 8e1d00000000 448ed8 678e1b 8ef8"
)


@LIMITED
@given(
    starts(
        LOADS,
        stack=st.tuples(SELECTORS, SELECTORS),
        word_bytes=st.sampled_from((2, 4, 8)),
        gpr=at_rsp(_0=SELECTORS, _3=ADDRESSES, _1=st.sampled_from((0, 8, U64)), _5=ADDRESSES),
    )
)
def test_segment_loads(start: Start) -> None:
    alike(start)


QUERIES = insns(
    "0f02c8 660f02c8 480f02c8 440f03c8 0f03c8 660f03c8 0f00e0 0f00e8 0f02cb 0f030b 0f0023 0f002b 0f006d10 "
    "640f002b 0f002c2500100000 410f00e8 f00f02c8 0f02ca 0f00eb66"
)


@LIMITED
@given(starts(QUERIES, gpr=at_rsp(_0=SELECTORS, _2=SELECTORS, _3=ADDRESSES, _5=ADDRESSES)))
def test_questions_about_segments(start: Start) -> None:
    alike(start)


FLAGS = insns("9c 9d 669c 669d fa fb 489c 66489c 66489d 9c9d fafb 9cfa9d fbfa 66fa")


@LIMITED
@given(
    starts(
        FLAGS,
        stack=st.tuples(st.integers(0, 1 << 22).map(lambda flags: flags & ~0x100)),
        word_bytes=st.sampled_from((4, 8)),
        gpr=at_rsp(),
        interrupt=st.sampled_from((None, 0x30)),
    )
)
def test_flags(start: Start) -> None:
    alike(start)


CALLS = insns("0f05 0f07 480f07 0f34 0f35 480f35 660f07")


@LIMITED
@given(
    starts(
        CALLS,
        gpr=at_rsp(_1=ADDRESSES, _2=ADDRESSES, _11=st.integers(0, 1 << 22)),
        fields=st.fixed_dictionaries({}, optional={
            "efer": st.sampled_from((0xD00, 0xD01, 0x501)), "star": st.integers(0, U64), "lstar": ADDRESSES,
            "fmask": st.integers(0, (1 << 32) - 1).map(lambda mask: mask | 0x100),
            "sysenter_cs": st.sampled_from((0, 3, w.CODE0, 0x1_0008)), "sysenter_eip": ADDRESSES}),
        interrupt=st.sampled_from((None, 0x30)),
    )
)  # fmt: skip
def test_system_calls(start: Start) -> None:
    if start.mode != "long" and "efer" in start.fields:
        start.fields = {**start.fields, "efer": start.fields["efer"] & ~0x500}
    alike(start)


CONTROL = insns(
    "0f20c0 0f20d0 0f20d8 0f20e0 0f20c8 440f20c0 410f20c3 0f22c0 0f22d0 0f22d8 0f22e0 0f2200 0f22d9 "
    "0f06 660f20c0 440f22c0 0f013b 0f017b40 640f013b 0f013c0b 0f017d04 0f013d00000000 0f01f8 0f31 "
    "0f01f9 440f20d8 0f22d00f20d1"
)
MSRS = (0x10, 0x3B, 0x174, 0x175, 0x176, 0x1A0, 0x277, *range(0xC000_0080, 0xC000_0085),
        *range(0xC000_0100, 0xC000_0104), 0x1B, 0x250, 0x1234)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from((0x8001_0031, 0x8001_003B, 0x8005_0033, 0x31, 0x39)),
    st.sampled_from((0x6A0, 0x620, 0x690, 0x6A4, 0xD01, 0x1000)),
    st.sampled_from((0x1018, 1 << 38, 0x7FFF_F000, 0xFFFF_8000_0000_0000, w.NOT_CANONICAL)),
    st.integers(0, U64),
)


STATE = st.fixed_dictionaries({}, optional={"kernel_gs_base": VALUES, "tsc_offset": VALUES,
                                            "tsc_aux": st.integers(0, (1 << 32) - 1)})  # fmt: skip


@LIMITED
@given(
    starts(
        CONTROL,
        user=st.sampled_from((False, False, True)),
        gpr=at_rsp(_0=VALUES, _1=VALUES, _3=ADDRESSES, _5=ADDRESSES),
        cr4=st.sampled_from((0, 0, 4)),
        interrupt=st.sampled_from((None, None, 0x30)),
        fields=STATE,
    )
)
def test_control_registers(start: Start) -> None:
    alike(start)


@LIMITED
@given(
    starts(
        insns("0f32 0f30 0f300f32 660f32"),
        user=st.just(False),
        gpr=at_rsp(_0=VALUES, _1=st.sampled_from(MSRS), _2=st.sampled_from((0, 1, 0xFFFF_FFFF, 0x8000))),
        fields=STATE,
    )
)
def test_msrs(start: Start) -> None:
    alike(start)


WALKS = insns("8803 8a03 ffe3 ffd3 53 89038b03 8a038803 88030f013b8803 c603f4ffe3")


@LIMITED
@given(
    starts(
        WALKS,
        pages=st.dictionaries(st.sampled_from((KERNEL, *PAGES)), st.sampled_from(ENTRY_BITS), max_size=3),
        tables=rarely(st.dictionaries(st.integers(0, 2), st.sampled_from((*ENTRY_BITS, 1 << 7)), max_size=1)),
        large=st.sampled_from((False, False, True)),
        gpr=at_rsp(_3=ADDRESSES),
        cr0=st.sampled_from((0, 1 << 16)),
        fields=st.sampled_from(({}, {}, {"efer": 0x501})),
    )
)
def test_page_faults(start: Start) -> None:
    if start.mode != "long":
        start.fields = {}
    if start.mode != "long" or start.large:
        last = {"long": 2, "pae": 1, "legacy": 0, "unpaged": -1}[start.mode]
        start.tables = {level: bits for level, bits in start.tables.items() if level <= last}
    alike(start)


@LIMITED
@given(st.integers(0, 255), st.binary(max_size=6), st.sampled_from(MODES), st.booleans(), st.integers(0, U64))
def test_any_bytes(first: int, rest: bytes, mode: str, user: bool, value: int) -> None:
    """Whatever traps, traps alike."""
    gpr = {RAX: value, RBX: w.DATA, RCX: w.DATA & 0xFFFF, RDX: value >> 32}
    alike(Start(bytes([first]) + rest, mode=mode, user=user, gpr=gpr, iopl=value & 3 and 3))
