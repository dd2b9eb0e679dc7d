# SPDX-License-Identifier: GPL-2.0-or-later
"""What a PC kernel's file is: ELF or plain bytes, entered by PVH or by Multiboot; or why it is no guest.

Multiboot comes before PVH where a kernel offers both, as in QEMU; but an ELF64 with a PVH note is not turned
down for a Multiboot header that asks for ELF32.
"""

from __future__ import annotations

from pathlib import Path

from pvisor.errors import GuestRefused
from pvisor.full import multiboot
from pvisor.full.multiboot import Header
from pvisor.machine.elf import ElfImage, RawImage, read_file

PVH_NOTE = ("Xen", 18)
"""XEN_ELFNOTE_PHYS32_ENTRY (xen/include/public/elfnote.h)."""
MULTIBOOT2 = "a Multiboot 2 kernel, which is not supported; Multiboot 1 and PVH are"


def read_image(path: Path) -> ElfImage:
    """A kernel's file: as ELF, or as plain bytes that a Multiboot header's address fields say how to load.

    Raises UsageError, or GuestRefused with what the file is instead.
    """
    content = read_file(path)
    header = multiboot.find_header(content)
    is_elf = content[:4] == b"\x7fELF"
    try:
        if is_elf:
            return ElfImage(path, content)
    except GuestRefused:
        if header is None or header.addresses is None:
            raise
    if is_bzimage(content) or not multiboot.is_entered_by(RawImage(path, content), header):
        raise GuestRefused(f"{path}: {what_it_is(content)}")
    return RawImage(path, content)


def is_bzimage(content: bytes) -> bool:
    """Is it a Linux kernel with its 16-bit setup code (Linux, Documentation/arch/x86/boot.rst)?"""
    return content[0x202:0x206] == b"HdrS"


def what_it_is(content: bytes) -> str:
    """Why a file that is no ELF and has no Multiboot header with address fields cannot be a guest."""
    if is_bzimage(content):
        return (
            "a Linux bzImage, which starts in 16-bit real mode: not supported; "
            "unpack its vmlinux (scripts/extract-vmlinux), which starts by PVH"
        )
    if content[:2] == b"\x1f\x8b":
        return "compressed by gzip; unpack it first"
    if multiboot.find_header(content) is not None:
        return (
            "not an ELF file, and its Multiboot header has no address fields: nothing says where to load it"
        )
    if multiboot.has_multiboot2(content):
        return MULTIBOOT2
    if content[0x8001:0x8006] == b"CD001":
        return "a CD image: booting from disks is not supported; give the kernel that is on it"
    if content[510:512] == b"\x55\xaa":
        return "a boot sector or disk image, which starts in 16-bit real mode: not supported; give a kernel"
    return "not an ELF file, nor a Multiboot kernel; `pvisor build` makes guests from C"


def multiboot_header(image: ElfImage) -> Header | None:
    """The Multiboot header by which a kernel is entered, or refused; None: it is a matter of PVH."""
    header = multiboot.find_header(image.content)
    if multiboot.is_entered_by(image, header) or image.note(*PVH_NOTE) is None:
        return header
    return None


def is_pc_kernel(image: ElfImage) -> bool:
    """Does it have a PVH note or a Multiboot header?"""
    return image.note(*PVH_NOTE) is not None or multiboot_header(image) is not None


def pvh_entry(image: ElfImage) -> int:
    """The 32-bit entry point that the PVH note names. Refuses an ELF without one."""
    note = image.note(*PVH_NOTE)
    if note is None or len(note.desc) not in (4, 8):
        refuse_multiboot2(image)
        raise GuestRefused(
            f"{image.path}: no PC kernel that can be entered (neither a PVH note, XEN_ELFNOTE_PHYS32_ENTRY, "
            "nor a Multiboot 1 header); try --mode para"
        )
    entry = int.from_bytes(note.desc, "little")
    if entry >> 32:
        raise GuestRefused(f"{image.path}: its PVH entry point {entry:#x} is above 4 GiB")
    return entry


def refuse_multiboot2(image: ElfImage) -> None:
    """Name what a kernel is that would start by Multiboot 2 only."""
    if multiboot.has_multiboot2(image.content):
        raise GuestRefused(f"{image.path}: {MULTIBOOT2}")
