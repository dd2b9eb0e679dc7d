# SPDX-License-Identifier: GPL-2.0-or-later
"""Far JMP, CALL and RET: over random descriptors, call gates and stacks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pvisor.cpu.vcpu import RBX, RSP
from tests.full.differential import image
from tests.full.differential.draws import Draw, examples
from tests.full.differential.pair import Pair
from tests.full.differential.state import Start
from tests.full.differential.targets import (
    USUAL_CODE,
    beyond_limit,
    both_widths,
    code_descriptor,
    drawn_start,
    entry_of,
    limit_of,
    mix_data_segments,
    put,
    some_selector,
    stack_descriptor,
    target_offset,
    words_of,
)  # fmt: skip


def far_pointer(draw: Draw, made: Start, selector: int, target: int, is_call: bool) -> None:
    """Set the instruction: direct, or through memory at [EBX]."""
    prefix = draw.rarely(b"", (b"\x66",), 8)
    n_bytes = 4 if bool(prefix) == (made.bits == 16) else 2
    is_direct = made.bits != 64 and draw.coin()
    if made.bits == 64 and draw.coin():
        prefix, n_bytes = b"\x48", 8
    pointer = words_of([target], n_bytes) + selector.to_bytes(2, "little")
    if is_direct:
        made.code = prefix + (b"\x9a" if is_call else b"\xea") + pointer
        return
    at = made.gpr[RBX] = image.DATA + draw.of((0, 3, 0xFFD))
    made.changes[at] = pointer
    made.code = (b"\x67" if made.bits == 16 else b"") + prefix + bytes((0xFF, 0x1B if is_call else 0x2B))


@examples(250)
@given(st.data())
def test_jmp_and_call(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw)
    selector = some_selector(draw, made)
    put(made, selector, code_descriptor(draw, made))
    target = target_offset(draw, made, entry_of(made, selector))
    is_call = draw.coin()
    far_pointer(draw, made, selector, target, is_call)
    entry = entry_of(made, selector)
    if is_call and target & 0xFFFF_FFFF > limit_of(entry):
        return  # 64-bit code has no limit (SDM 3A 5.3.1); the engine's CALL looks at it
    # SDM 2A, CALL, JMP: #GP(0) beyond the limit; the engine names the selector in the error code.
    if not beyond_limit(made, entry, target) and not both_widths(made, entry):
        pair.check(made)


@examples(250)
@given(st.data())
def test_call_gates(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw)
    through = 0x80 | draw.below(4)
    into = draw.of((draw.selector(), 0x60 | draw.below(4), *USUAL_CODE[0][:2]))
    if into & 0xFFF8 not in (0x80, 0x88):
        put(made, into, code_descriptor(draw, made))
    target = target_offset(draw, made, entry_of(made, into))
    kind, extra = draw.rarely(12, range(16), 8), draw.rarely(0, range(32))
    gate = image.gate(
        made.mode, into, target, kind, draw.of((3, 3, 0, 1)), present=draw.below(6) > 0,
        ist=0 if made.mode.is_long else extra,
    )  # fmt: skip
    # Of two faults at once, the manual does not say which comes first.
    if made.mode.is_long and gate[5] & 0x80:
        gate = gate[:13] + bytes((draw.rarely(0, (1, 0x10, 0x1F), 8),)) + gate[14:]
    put(made, through, gate)
    # Not 9, at which the engine takes SS0 to have 4 bytes.
    made.tss_limit = draw.rarely(image.TSS_LIMIT, (3, 7, 8, 0xB), 8)
    is_call = draw.coin()
    far_pointer(draw, made, through, draw.word(), is_call)
    made.changes[made.gpr[RSP]] = bytes(range(128))
    if not made.mode.is_long and gate[5] & 0x1F in (1, 3, 5, 9, 11):
        return  # a task switch: tests/guests/pc/tasks.c has those
    if not made.mode.is_long and gate[5] & 0x1F == 4 and any(gate[6:8]):
        return  # SDM 3A figure 5-8: a 16-bit gate has no upper half of an offset; the engine takes one
    into_flags = entry_of(made, into)[5]
    if into_flags & 0x1C == 0x1C and into_flags >> 5 & 3 != made.cpl:
        return  # SDM 3A 5.8.1.2: a conforming segment keeps the CPL; the engine makes it the segment's DPL
    if not is_call and not into_flags & 0x80:
        return  # SDM 2A, JMP: #NP where the code segment of the gate is not present; the engine says #GP
    # SDM 2A, CALL, JMP: #GP(0) beyond the limit; the engine does not look.
    if not both_widths(made, entry_of(made, into)) and not beyond_limit(made, entry_of(made, into), target):
        pair.check(made)


@examples(250)
@given(st.data())
def test_far_return(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw)
    selector = draw.of((some_selector(draw, made), some_selector(draw, made), *USUAL_CODE[3][:2]))
    put(made, selector, code_descriptor(draw, made))
    stack = draw.of((image.USER_DATA, image.USER_DATA, 0x90 | draw.below(4), draw.selector()))
    if (stack ^ selector) & 0xFFFC:
        put(made, stack, stack_descriptor(draw))
    target = target_offset(draw, made, entry_of(made, selector))
    size = draw.of((b"", b"", b"\x48") if made.bits == 64 else (b"", b"", b"", b"\x66"))
    n_bytes = 8 if size == b"\x48" else 2 if bool(size) == (made.bits == 32) else 4
    extra = draw.of((None, None, 0, 8, 0x10))
    new_stack = draw.of((image.USER_STACK - 0x400, draw.word()))
    noise = draw.noise.getrandbits(48) << 16
    frame = words_of([target, selector | noise], n_bytes) + bytes(extra or 0)
    frame += words_of([new_stack, stack | noise], n_bytes)
    made.changes[made.gpr[RSP]] = frame
    mix_data_segments(draw, made)
    made.code = size + (b"\xcb" if extra is None else b"\xca" + extra.to_bytes(2, "little"))
    entry = entry_of(made, selector)
    # SDM 2B, RET: #GP(0) beyond the limit; the engine goes there.
    if not beyond_limit(made, entry, target & (1 << 8 * n_bytes) - 1) and not both_widths(made, entry):
        pair.check(made)
