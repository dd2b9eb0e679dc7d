# SPDX-License-Identifier: GPL-2.0-or-later
"""The setup header of a Linux bzImage: what the kernel says about itself to boot loaders.

Source: Linux, Documentation/arch/x86/boot.rst ("Details of Header Fields"); fields are named as there. A
field that the header's version does not have, or that lies behind the header's end, has the value that
boot.rst gives for its absence.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pvisor.errors import GuestRefused

HEADER_START, JUMP, MAGIC_AT, MAGIC = 0x1F1, 0x200, 0x202, b"HdrS"
SHORT_JUMP, MAX_JUMP = 0xEB, 0x7F
"""The byte behind the jump counts from MAGIC_AT: the header ends there."""
SECTOR_BYTES, PARAGRAPH_BYTES = 512, 16
LEAST_VERSION = 0x204
"""Before it, nothing says how large the protected-mode code is."""
LOADED_HIGH = 1 << 0
XLF_KERNEL_64 = 1 << 0
KERNEL_VERSION_BYTES = 128


@dataclass(frozen=True, slots=True)
class SetupHeader:
    """The fields that a boot loader reads, checked."""

    version: int
    """(major << 8) + minor."""
    end: int
    """Offset of the first byte behind the header, in the file and in struct boot_params."""
    code_start: int
    code_end: int
    """Offsets in the file of the protected-mode code."""
    initrd_addr_max: int
    """The last address that an initrd may occupy."""
    kernel_alignment: int
    is_relocatable: bool
    xloadflags: int
    cmdline_size: int
    """The longest command line, in bytes, without the NUL behind it."""
    payload_offset: int
    payload_length: int
    """Of the compressed kernel, counted from the start of the protected-mode code; 0: it does not say."""
    pref_address: int
    """Where the kernel wants to run; 0: it does not say."""
    init_size: int
    """Bytes of memory that it needs from there on until it knows its memory map; 0: it does not say."""
    kernel_version: str

    @property
    def has_64bit_entry(self) -> bool:
        """Can it be entered in 64-bit mode, 0x200 bytes behind its start?"""
        return bool(self.xloadflags & XLF_KERNEL_64)

    @property
    def protocol(self) -> str:
        """The version as boot.rst writes it: `2.15`."""
        return f"{self.version >> 8}.{self.version & 0xFF:02}"


class _Fields:
    """The header's bytes, and numbers in them."""

    def __init__(self, content: bytes, end: int, version: int) -> None:
        self._content = content
        self._end = end
        self._version = version

    def number(self, at: int, n_bytes: int, since: int = 0, absent: int = 0) -> int:
        """A field; `absent` where the protocol has it since a later version, or the header is shorter."""
        if self._version < since or at + n_bytes > self._end:
            return absent
        return int.from_bytes(self._content[at : at + n_bytes], "little")


def is_bzimage(content: bytes) -> bool:
    """Does the file begin as a Linux kernel with its 16-bit setup code does?"""
    return content[MAGIC_AT : MAGIC_AT + len(MAGIC)] == MAGIC


def read_header(path: Path, content: bytes) -> SetupHeader:
    """The setup header of a bzImage. Raises GuestRefused for one that contradicts itself or the file."""

    def refused(words: str) -> GuestRefused:
        return GuestRefused(f"{path}: a Linux kernel that cannot be loaded: {words}")

    n_jump = content[JUMP + 1]
    end = MAGIC_AT + n_jump
    if content[JUMP] != SHORT_JUMP or n_jump > MAX_JUMP:
        raise refused("no jump over its setup header, which would say where that ends")
    if len(content) < end:
        raise refused(f"the file is cut off: its setup header ends at byte {end}, the file at {len(content)}")
    version = int.from_bytes(content[0x206:0x208], "little")
    fields = _Fields(content, end, version)
    if version < LEAST_VERSION:
        raise refused(f"boot protocol {version >> 8}.{version & 0xFF:02}; 2.04 (Linux 2.6.14) is the first")
    if not fields.number(0x211, 1) & LOADED_HIGH:
        raise refused("a zImage, which is loaded below 640 KiB; build a bzImage")
    code_start = SECTOR_BYTES * ((content[HEADER_START] or 4) + 1)
    code_end = code_start + PARAGRAPH_BYTES * fields.number(0x1F4, 4)
    # The last paragraph may lack bytes: the size is rounded up.
    if len(content) <= code_end - PARAGRAPH_BYTES:
        raise refused(f"the file is cut off: its code ends at byte {code_end}, the file at {len(content)}")
    if code_end == code_start:
        raise refused("its setup header says that there is no code (syssize is 0)")
    alignment = fields.number(0x230, 4, 0x205, 1)
    is_relocatable = bool(fields.number(0x234, 1, 0x205))
    if is_relocatable and (alignment == 0 or alignment & alignment - 1):
        raise refused(f"its kernel_alignment, {alignment:#x}, is no power of 2")
    header = SetupHeader(
        version, end, code_start, min(code_end, len(content)),
        initrd_addr_max=fields.number(0x22C, 4, 0x203, 0x37FF_FFFF),
        kernel_alignment=alignment if is_relocatable else 1,
        is_relocatable=is_relocatable,
        xloadflags=fields.number(0x236, 2, 0x20C),
        cmdline_size=fields.number(0x238, 4, 0x206, 255),
        payload_offset=fields.number(0x248, 4, 0x208),
        payload_length=fields.number(0x24C, 4, 0x208),
        pref_address=fields.number(0x258, 8, 0x20A),
        init_size=fields.number(0x260, 4, 0x20A),
        kernel_version=_kernel_version(content, fields.number(0x20E, 2), code_start),
    )  # fmt: skip
    if header.has_64bit_entry and code_end - code_start <= JUMP:
        raise refused("its 64-bit entry point (XLF_KERNEL_64) is behind the end of its code")
    return header


def _kernel_version(content: bytes, pointer: int, code_start: int) -> str:
    """The text that the kernel calls itself by, where there is one: `6.1.0 (...) #1 SMP ...`."""
    at = pointer + MAGIC_AT - 2
    if not pointer or at >= code_start:
        return ""
    text = content[at : min(at + KERNEL_VERSION_BYTES, code_start)].split(b"\0")[0]
    return "".join(c for c in text.decode("ascii", "replace") if c.isprintable())
