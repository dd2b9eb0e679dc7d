# SPDX-License-Identifier: GPL-2.0-or-later
"""Who called whom, without frame pointers: a scan of the stack for return addresses.

A word counts where it points into a function of the kernel's text, behind a call instruction. It may be left
over from an earlier call all the same, which is why each such line has a `?`, as Linux has it; it has none
where the call before it is a direct one of the function in the line above.
"""

from __future__ import annotations

from dataclasses import dataclass

from pvisor.observe.linux.symbols import Symbols
from pvisor.observe.linux.view import GuestView

STACK_BYTES = 16384
"""A kernel's stacks are 16 KiB, and aligned, on x86-64 (THREAD_SIZE); 8 KiB on i386, where a scan ends
earlier.
"""
MAX_STACKS = 3
CALL_REL32, INDIRECT = 0xE8, 0xFF


@dataclass(frozen=True, slots=True)
class StackLine:
    """An address of code, its name, and whether it is sure that it belongs to the call that goes on."""

    address: int
    name: str | None
    is_sure: bool


def scan_stack(view: GuestView, symbols: Symbols, rip: int, rsp: int, n_lines: int) -> tuple[StackLine, ...]:
    """RIP, then what the stack from `rsp` on tells, innermost first."""
    lines = [StackLine(rip, symbols.text_at(rip), True)]
    above = symbols.function_at(rip)
    for address in _return_addresses(view, symbols, rsp):
        found = symbols.function_at(address - 1)
        target = call_target(view, address)
        if found is None or target is None:
            continue
        called = above is not None and target >= 0 and symbols.function_at(target) == (above[0], 0)
        lines.append(StackLine(address, f"{found[0]}+{found[1] + 1:#x}", called))
        above = found
        if len(lines) >= n_lines:
            break
    return tuple(lines)


def _return_addresses(view: GuestView, symbols: Symbols, rsp: int) -> list[int]:
    """Words that point into the kernel's text, from this stack and from those it says it came from."""
    word, found = view.word_bytes, []
    for _ in range(MAX_STACKS):
        end = (rsp | STACK_BYTES - 1) + 1
        data = _as_far_as_mapped(view, rsp & -word, end)
        words = [int.from_bytes(data[i : i + word], "little") for i in range(0, len(data) - word + 1, word)]
        found += [value for value in words if symbols.function_at(value) is not None]
        # The uppermost word of an interrupt's stack leads back to the stack that was left for it.
        if not words or len(data) < end - (rsp & -word) or rsp <= words[-1] < end or words[-1] % word:
            break
        rsp = words[-1]
    return found


def _as_far_as_mapped(view: GuestView, at: int, end: int) -> bytes:
    data = b""
    while at < end:
        n = min(view.translate(at)[1], end - at)
        part = view.read(at, n)
        if part is None:
            break
        data, at = data + part, at + n
    return data


def call_target(view: GuestView, address: int) -> int | None:
    """Where the call before a return address leads: -1 for an indirect one; None: there is no call there."""
    code = view.read(address - 7, 7)
    if code is None:
        return None
    if code[2] == CALL_REL32:
        mask = (1 << 8 * view.word_bytes) - 1
        return address + int.from_bytes(code[3:], "little", signed=True) & mask
    # FF /2 with a register, or memory of any form: 2, 3, 4, 6 or 7 bytes (SDM 2A 2.1)
    for n_bytes in (2, 3, 4, 6, 7):
        at = 7 - n_bytes
        if code[at] == INDIRECT and code[at + 1] >> 3 & 7 == 2:
            return -1
    return None
