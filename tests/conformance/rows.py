# SPDX-License-Identifier: GPL-2.0-or-later
"""What hypercalls.md promises, as rows: each is tried on the bare handlers and again by a real guest.

Memory is a picture of four pages in a row: A and B may be read and written, C only read, D is not there.
An address in a row is an offset from the start of A, or a number of 64 bits where it begins with `Raw`.
"""

from __future__ import annotations

from dataclasses import dataclass

from pvisor.abi import constants
from pvisor.abi.areas import console, itself, power, time
from pvisor.abi.errnos import EFAULT, EINVAL, ENOSYS, ERRNOS
from pvisor.abi.model import Errno, Hypercall
from pvisor.machine.memory import PAGE_BYTES

A, B, C, D, END = (i * PAGE_BYTES for i in range(5))
HOLE = constants.HOLE_START.number
WRITE_MAX, READ_MAX = constants.CONSOLE_WRITE_MAX.number, constants.CONSOLE_READ_MAX.number
U64 = (1 << 64) - 1


@dataclass(frozen=True)
class Raw:
    """An address as it is, not an offset."""

    address: int


@dataclass(frozen=True)
class Row:
    """A call with its arguments; the result; what it prints; and bytes of A and B that it changes.

    `typed` is the input that has arrived, `left` what of it is there afterwards. `ends` is the exit status
    of a call that ends the domain, or -1 where it crashes it.
    """

    id: str
    call: Hypercall | int
    args: tuple[int | Raw, ...] = ()
    result: int = 0
    pointer: bool = False
    prints: bytes = b""
    typed: bytes = b""
    left: bytes = b""
    changes: tuple[int, int] | None = None
    """(offset, length) of what may change; None: nothing."""
    ends: int | None = None
    offered: int = 2

    @property
    def number(self) -> int:
        """The call's number."""
        return self.call if isinstance(self.call, int) else self.call.nr

    @property
    def errno(self) -> Errno | None:
        """The error that the row is about."""
        return next((errno for errno in ERRNOS if self.result == -errno.number), None)


def initial(n_bytes: int = 2 * PAGE_BYTES) -> bytes:
    """What A and B hold at the start: letters, the same in each page but the first."""
    return bytes(ord("a") + i % 23 for i in range(n_bytes))


_FAULT, _INVAL, _NOSYS = -EFAULT.number, -EINVAL.number, -ENOSYS.number
_TEXT = initial()


def _write(id: str, buffer: int | Raw, size: int, result: int, prints: bytes = b"") -> Row:
    return Row(f"write-{id}", console.CONSOLE_WRITE, (buffer, size), result, pointer=True, prints=prints)


def _read(id: str, buffer: int | Raw, size: int, result: int, typed: bytes = b"hello", left: bytes = b"hello",
          changes: tuple[int, int] | None = None, offered: int = 2) -> Row:  # fmt: skip
    return Row(f"read-{id}", console.CONSOLE_READ, (buffer, size), result, pointer=True, typed=typed,
               left=left, changes=changes, offered=offered)  # fmt: skip


def _time(id: str, at: int | Raw, result: int, changes: tuple[int, int] | None = None) -> Row:
    return Row(f"time-{id}", time.TIME_GET, (at,), result, pointer=True, changes=changes)


def _end(id: str, reason: int, status: int, ends: int | None = None, result: int = 0) -> Row:
    return Row(f"shutdown-{id}", power.SHUTDOWN, (reason, status), result, ends=ends)


ROWS: tuple[Row, ...] = (
    Row("version", itself.ABI_VERSION, (), 1),
    Row("version-ignores-registers", itself.ABI_VERSION, (U64, U64, U64, U64, U64), 1),
    Row("features", itself.FEATURES, (0,), 2),
    Row("features-raw-vmcall", itself.FEATURES, (0,), 3, offered=3),
    Row("features-beyond", itself.FEATURES, (1,), 0),
    Row("features-last-word", itself.FEATURES, (0xFFFF_FFFF,), 0),
    Row("features-upper-half", itself.FEATURES, (1 << 32,), _INVAL),
    Row("features-all-ones", itself.FEATURES, (U64,), _INVAL),
    Row("noop", itself.NOOP, (), 0),
    Row("noop-ignores-registers", itself.NOOP, (U64, U64, U64, U64, U64), 0),
    _write("a-few", A, 5, 5, _TEXT[:5]),
    _write("unaligned", A + 3, 1, 1, _TEXT[3:4]),
    _write("nothing", A, 0, 0),
    _write("nothing-nowhere", Raw(0xDEAD_0000_0000_0000), 0, 0),
    _write("two-pages", B - 4, 8, 8, _TEXT[B - 4 : B + 4]),
    _write("read-only", C, 3, 3, b"ccc"),
    _write("null", Raw(0), 1, _FAULT),
    _write("absent", D, 1, _FAULT),
    _write("last-byte-absent", C, PAGE_BYTES + 1, _FAULT),
    _write("up-to-the-last-byte", D - 3, 3, 3, b"ccc"),
    _write("hole", Raw(HOLE), 1, _FAULT),
    _write("hypercall-page", Raw(HOLE + PAGE_BYTES), 1, _FAULT),
    _write("above-memory", Raw(1 << 40), 1, _FAULT),
    _write("not-canonical", Raw(1 << 47), 1, _FAULT),
    _write("the-last-byte", Raw(U64), 1, _FAULT),
    _write("wraps", Raw(U64 - 3), 8, _FAULT),
    _write("more-than-there-is", D - 3, U64, _FAULT),
    _read("all", A, 100, 5, left=b"", changes=(A, 5)),
    _read("some", A + 1, 2, 2, left=b"llo", changes=(A + 1, 2)),
    _read("two-pages", B - 2, 5, 5, left=b"", changes=(B - 2, 5)),
    _read("nothing-there", A, 8, 0, typed=b"", left=b""),
    _read("no-room", A, 0, 0),
    _read("no-room-nowhere", Raw(0), 0, 0),
    _read("null", Raw(0), 1, _FAULT),
    _read("read-only", C, 1, _FAULT),
    _read("absent", D, 1, _FAULT),
    _read("last-byte-read-only", C - 4, 5, _FAULT),
    _read("up-to-the-last-byte", C - 4, 4, 4, left=b"o", changes=(C - 4, 4)),
    _read("input-would-fit-but-not-the-range", C - 5, 6, _FAULT),
    _read("bad-range-without-input", C, 1, _FAULT, typed=b"", left=b""),
    _read("hole", Raw(HOLE), 1, _FAULT),
    _read("wraps", Raw(U64), 2, _FAULT),
    _read("huge-size", C - 5, U64, _FAULT),
    _read("not-offered", A, 5, _NOSYS, offered=0),
    _read("not-offered-is-judged-first", Raw(0), U64, _NOSYS, offered=0),
    _time("aligned", A, 0, (A, 24)),
    _time("unaligned", A + 5, 0, (A + 5, 24)),
    _time("two-pages", B - 10, 0, (B - 10, 24)),
    _time("null", Raw(0), _FAULT),
    _time("read-only", C, _FAULT),
    _time("last-byte-read-only", C - 23, _FAULT),
    _time("absent", D, _FAULT),
    _time("hole", Raw(HOLE + PAGE_BYTES), _FAULT),
    Row("yield", power.YIELD, (), 0),
    Row("block", power.BLOCK, (), 0, ends=124),
    _end("well", 0, 0, 0),
    _end("status-1", 0, 1, 3),
    _end("status-127", 0, 127, 255),
    _end("status-128", 0, 128, 1),
    _end("status-all-ones", 0, 0xFFFF_FFFF, 255),
    _end("reboot", 1, 0, 0),
    _end("reboot-hands-no-status-on", 1, 5, 0),
    _end("crash", 2, 9, 134),
    _end("unknown-reason", 3, 0, result=_INVAL),
    _end("last-reason", 0xFFFF_FFFF, 0, result=_INVAL),
    _end("reason-upper-half", 1 << 32, 0, result=_INVAL),
    _end("status-upper-half", 0, 1 << 32, result=_INVAL),
    *(Row(f"unknown-{number:#x}", number, (), _NOSYS) for number in (0x0F, 0x1F, 0x2F, 0x7F, 0x8F, 0xFF)),
    Row("unknown-with-registers", 0x9F, (U64, U64, U64, U64, U64), _NOSYS),
)
"""Every promise about a single call. Numbers above 0xff have no stub: only raw VMCALL reaches them."""
