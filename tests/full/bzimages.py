# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux bzImages made by hand, by Documentation/arch/x86/boot.rst: each field of the header can be bent."""

from __future__ import annotations

import struct

MIB = 1 << 20
N_SETUP_SECTORS = 2
CODE_START = 512 * (N_SETUP_SECTORS + 1)
HEADER_BYTES = {0x204: 0x30, 0x206: 0x3C, 0x20A: 0x64, 0x20C: 0x68, 0x20F: 0x6C}
"""Where the header ends, from 0x200 on, by version."""
_FIELDS = {
    "setup_sects": (0x1F1, "B"), "syssize": (0x1F4, "I"), "boot_flag": (0x1FE, "H"), "jump": (0x200, "B"),
    "n_jump": (0x201, "B"), "version": (0x206, "H"), "kernel_version": (0x20E, "H"),
    "loadflags": (0x211, "B"), "code32_start": (0x214, "I"), "initrd_addr_max": (0x22C, "I"),
    "kernel_alignment": (0x230, "I"),
    "relocatable_kernel": (0x234, "B"), "min_alignment": (0x235, "B"), "xloadflags": (0x236, "H"),
    "cmdline_size": (0x238, "I"), "payload_offset": (0x248, "I"), "payload_length": (0x24C, "I"),
    "pref_address": (0x258, "Q"), "init_size": (0x260, "I"),
}  # fmt: skip
EMIT = b"\xee"  # out dx, al


def bzimage(code: bytes = b"\xf4" * 0x210, *, header_end: int | None = None, **fields: int) -> bytes:
    """A file with this protected-mode code: relocatable, with both entries, of protocol 2.15."""
    version = fields.get("version", 0x20F)
    end = 0x200 + HEADER_BYTES[version] if header_end is None else header_end
    values = {
        "setup_sects": N_SETUP_SECTORS, "syssize": -(-len(code) // 16), "boot_flag": 0xAA55, "jump": 0xEB,
        "n_jump": end - 0x202, "version": version, "loadflags": 1, "code32_start": MIB,
        "initrd_addr_max": 0x7FFF_FFFF, "kernel_alignment": 2 * MIB, "relocatable_kernel": 1,
        "min_alignment": 21, "xloadflags": 1, "cmdline_size": 2047, "pref_address": 16 * MIB,
        "init_size": 4 * MIB,
    } | fields  # fmt: skip
    setup = bytearray(CODE_START)
    setup[0x202:0x206] = b"HdrS"
    for name, value in values.items():
        at, form = _FIELDS[name]
        struct.pack_into("<" + form, setup, at, value)
    for at in range(end, CODE_START):
        setup[at] = 0xCC  # the setup code, of which nothing may be taken for a field
    return bytes(setup) + code


def two_entries(code32: bytes, code64: bytes) -> bytes:
    """The protected-mode code of a kernel with its 32-bit entry at 0 and its 64-bit one at 0x200."""
    return code32.ljust(0x200, b"\xf4") + code64


def reporter(mark: bytes) -> bytes:
    """Code of 32 or 64 bits that tells on the serial port how it was entered, and ends the run with status 1.

    A mark; CS, DS, ES, SS (a byte each); RSI (4); EBX, EBP, EDI; bit 1: IF; CR0 (lowest and highest byte);
    CR4; EFER >> 8; a letter out of boot_params, by RSI; then DS and SS loaded anew, and the mark again.
    """

    def out(code: str) -> bytes:
        return bytes.fromhex(code) + EMIT

    code = bytes.fromhex("66 ba f8 03") + b"\xb0" + mark + EMIT
    code += out("8c c8") + out("8c d8") + out("8c c0") + out("8c d0")
    code += out("89 f0") + 3 * out("c1 e8 08")
    code += out("89 d8") + out("89 e8") + out("89 f8")
    code += bytes.fromhex("bc 00 00 09 00 9c 58") + out("c1 e8 08")
    code += out("0f 20 c0") + out("c1 e8 18") + out("0f 20 e0")
    code += bytes.fromhex("b9 80 00 00 c0 66 52 0f 32 66 5a") + out("c1 e8 08")
    code += out("8b 86 02 02 00 00")
    code += bytes.fromhex("b8 18 00 00 00 8e d8 8e d0") + b"\xb0" + mark + EMIT
    return code + bytes.fromhex("b0 00 66 ba f4 00 ee f4")
