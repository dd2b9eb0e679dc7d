# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls of the console."""

from __future__ import annotations

from pvisor.abi.errnos import EFAULT, ENOSYS
from pvisor.abi.features import CONSOLE_INPUT
from pvisor.abi.model import Constant, Hypercall, Struct, gva_in, gva_out, u64

CONSTANTS: tuple[Constant, ...] = ()

STRUCTS: tuple[Struct, ...] = ()

CONSOLE_WRITE = Hypercall(
    nr=0x10,
    name="CONSOLE_WRITE",
    summary="Write bytes to the console.",
    args=(
        gva_in("buffer", "the bytes"),
        u64("size_bytes", "how many"),
    ),
    result="how many bytes were written: the lesser of `size_bytes` and `PV_CONSOLE_WRITE_MAX`",
    errors={EFAULT: "one of the bytes that would be written is not readable; nothing has been written"},
    notes=(
        "Only the bytes that one call takes are checked: at most `PV_CONSOLE_WRITE_MAX`. A longer text "
        "takes several calls.",
        "With `size_bytes` 0 the result is 0 and `buffer` is not looked at.",
        "Bytes go out as they are: no newline is added, none is translated.",
        "When the call returns the bytes have left the guest; the buffer may be used again.",
    ),
    replaces="the 16550 UART at I/O port 0x3f8: an `IN` for the line status, then an `OUT` a byte",
    example=(
        'static const char text[] = "hello\\n";\n'
        "if (pv_console_write(text, sizeof text - 1) < 0)\n"
        "    give_up();"
    ),
)

CONSOLE_READ = Hypercall(
    nr=0x11,
    name="CONSOLE_READ",
    summary="Read bytes that have arrived on the console.",
    args=(
        gva_out("buffer", "where they go"),
        u64("size_bytes", "how many at most"),
    ),
    result="how many bytes were read, at most `PV_CONSOLE_READ_MAX`; 0 when there are none now",
    errors={
        EFAULT: "the first `size_bytes` bytes of the buffer (at most `PV_CONSOLE_READ_MAX`) are not all "
        "writable; no input has been consumed",
        ENOSYS: "the feature CONSOLE_INPUT is not offered",
    },
    notes=(
        "It never waits. That there is nothing now does not mean that nothing will come: ABI 1 does not "
        "tell a guest when input has ended.",
        "The whole range is checked, whether there is input or not.",
        "With `size_bytes` 0 the result is 0 and `buffer` is not looked at.",
    ),
    feature=CONSOLE_INPUT,
    replaces="the 16550 UART at I/O port 0x3f8: an `IN` for the line status, then an `IN` a byte",
    example="unsigned char key;\nif (pv_console_read(&key, 1) == 1)\n    handle(key);",
)

CALLS: tuple[Hypercall, ...] = (CONSOLE_WRITE, CONSOLE_READ)
