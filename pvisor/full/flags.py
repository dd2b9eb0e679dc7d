# SPDX-License-Identifier: GPL-2.0-or-later
"""The arithmetic status flags, as the ALU sets them (SDM 1 3.4.3.1, appendix A).

Pure functions on unsigned values of a given size. This room has no twin: hypercalls do not compute.
"""

from __future__ import annotations

CF, PF, AF, ZF, SF, DF, OF = 1 << 0, 1 << 2, 1 << 4, 1 << 6, 1 << 7, 1 << 10, 1 << 11
STATUS = CF | PF | AF | ZF | SF | OF


def mask_of(size_bytes: int) -> int:
    """All ones of an operand's size."""
    return (1 << 8 * size_bytes) - 1


def signed(value: int, size_bytes: int) -> int:
    """A value read as two's complement."""
    sign = 1 << 8 * size_bytes - 1
    return (value & mask_of(size_bytes) ^ sign) - sign


def of_result(result: int, size_bytes: int) -> int:
    """ZF, SF and PF of a result; also all flags of AND, OR, XOR and TEST, whose AF the manual leaves open."""
    flags = ZF if result == 0 else 0
    if result >> 8 * size_bytes - 1:
        flags |= SF
    if not bin(result & 0xFF).count("1") & 1:
        flags |= PF
    return flags


def add(left: int, right: int, size_bytes: int, carry: int = 0) -> tuple[int, int]:
    """(left + right + carry, all status flags)."""
    total = left + right + carry
    result = total & mask_of(size_bytes)
    flags = of_result(result, size_bytes) | (CF if total != result else 0)
    return result, flags | _af_and_of(left, right, result, (left ^ result) & (right ^ result), size_bytes)


def subtract(left: int, right: int, size_bytes: int, borrow: int = 0) -> tuple[int, int]:
    """(left - right - borrow, all status flags)."""
    total = left - right - borrow
    result = total & mask_of(size_bytes)
    flags = of_result(result, size_bytes) | (CF if total < 0 else 0)
    return result, flags | _af_and_of(left, right, result, (left ^ right) & (left ^ result), size_bytes)


def _af_and_of(left: int, right: int, result: int, overflow: int, size_bytes: int) -> int:
    """AF is the carry into bit 4; OF is the sign bit of `overflow`."""
    return (left ^ right ^ result) & AF | (OF if overflow >> 8 * size_bytes - 1 else 0)


def holds(condition: int, flags: int) -> bool:
    """Does a condition of Jcc, SETcc and CMOVcc hold? By its number, the opcode's lower four bits."""
    less = bool(flags & SF) != bool(flags & OF)
    truth = (
        bool(flags & OF),
        bool(flags & CF),
        bool(flags & ZF),
        bool(flags & (CF | ZF)),
        bool(flags & SF),
        bool(flags & PF),
        less,
        less or bool(flags & ZF),
    )
    return truth[condition >> 1] != bool(condition & 1)
