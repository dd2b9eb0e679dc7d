# SPDX-License-Identifier: GPL-2.0-or-later
"""IRET, IRETD, IRETQ: to the same ring and to ring 3, with random frames, descriptors and flags."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pvisor.cpu.vcpu import RSP
from tests.full.differential import image
from tests.full.differential.draws import Draw, examples
from tests.full.differential.pair import Pair
from tests.full.differential.state import AC, ID, IF, IOPL, NT, STATUS, TF
from tests.full.differential.targets import (
    USUAL_CODE,
    beyond_limit,
    both_widths,
    code_descriptor,
    drawn_start,
    entry_of,
    mix_data_segments,
    put,
    some_selector,
    stack_descriptor,
    target_offset,
    words_of,
)  # fmt: skip

VM, VIF_VIP = 1 << 17, 3 << 19


@examples(400)
@given(st.data())
def test_iret(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw)
    made.rflags = draw.flags(TF | STATUS | IF | IOPL | AC | ID) | draw.rarely(0, (NT,), 10)
    selector = draw.of((some_selector(draw, made), *USUAL_CODE[made.cpl][:2], *USUAL_CODE[3][:2]))
    put(made, selector, code_descriptor(draw, made))
    usual_stack = image.DATA0 if selector & 3 == 0 else image.USER_DATA
    stack = draw.of((usual_stack, usual_stack, 0x90 | selector & 3, draw.selector(), 0, 3))
    if (stack ^ selector) & 0xFFFC:
        put(made, stack, stack_descriptor(draw))
    target = target_offset(draw, made, entry_of(made, selector))
    size = draw.of((b"", b"\x48", b"\x48", b"\x48") if made.bits == 64 else (b"", b"", b"", b"\x66"))
    n_bytes = 8 if size == b"\x48" else 2 if bool(size) == (made.bits == 32) else 4
    # SDM 2A, IRET: ring 0 sets VIF and VIP as well; the engine does not.
    # VM counts in ring 0 outside IA-32e mode, where `full` refuses it; the engine takes it from all.
    rflags = draw.flags((1 << 22) - 1) & ~VIF_VIP & ~(VM if n_bytes == 4 else 0) & ~draw.rarely(TF, (0,), 4)
    entry = entry_of(made, selector)
    to_64bit = bool(made.mode.is_long and entry[6] & 0x20)
    new_stack = draw.of((image.USER_STACK - 0x400, draw.word()))
    if made.bits == 64 and not to_64bit:  # bits that the new stack has not are undefined (SDM 1 3.4.1.1)
        new_stack = made.gpr[RSP] & ~0xFFFF | new_stack & 0xFFFF
    noise = draw.noise.getrandbits(48) << 16
    words = [target, selector | noise, rflags, new_stack, stack | noise]
    made.changes[made.gpr[RSP]] = words_of(words, n_bytes)
    mix_data_segments(draw, made)
    made.code = size + b"\xcf"
    if made.rflags & NT and not made.mode.is_long:
        return  # a task switch: tests/guests/pc/tasks.c has those
    if beyond_limit(made, entry, target & (1 << 8 * n_bytes) - 1) or both_widths(made, entry):
        return  # SDM 2A, IRET: #GP(0) beyond the limit; the engine goes there
    if not stack & 0xFFFC and made.mode.is_long and (not to_64bit or stack & 3 != selector & 3):
        return  # a null SS is for 64-bit code only, and needs the ring's RPL; the engine takes any
    pair.check(made)
