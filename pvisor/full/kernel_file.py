# SPDX-License-Identifier: GPL-2.0-or-later
"""What a PC kernel's file is: ELF, a Linux bzImage or plain bytes; how it is entered; or why it is no guest.

Multiboot comes before PVH where a kernel offers both, as in QEMU; but an ELF64 with a PVH note is not turned
down for a Multiboot header that asks for ELF32. A bzImage is entered in 64-bit mode where it can be.
"""

from __future__ import annotations

from pathlib import Path

from pvisor.errors import GuestRefused, UsageError
from pvisor.full import linux_boot, linux_header, linux_payload, multiboot
from pvisor.full.linux_boot import LinuxImage
from pvisor.full.multiboot import Header
from pvisor.machine.elf import ElfImage, RawImage, Segment, read_file

PVH_NOTE = ("Xen", 18)
"""XEN_ELFNOTE_PHYS32_ENTRY (xen/include/public/elfnote.h)."""
GUEST_OS_NOTE = ("Xen", 6)
"""XEN_ELFNOTE_GUEST_OS, likewise."""
ENTRIES = ("auto", "pvh", "multiboot", "linux32", "linux64")
"""The boot protocols by which a kernel can be entered; `auto`: the best of those that it offers."""
LINUX_ENTRIES = ("linux32", "linux64")
MULTIBOOT2 = "a Multiboot 2 kernel, which is not supported; Multiboot 1 and PVH are"


def read_image(path: Path, entry: str = "auto") -> ElfImage:
    """A kernel's file: as ELF, as bzImage, or as plain bytes that a Multiboot header says how to load.

    Of a bzImage that shall be entered by PVH it is the ELF file inside. Raises UsageError, or GuestRefused
    with what the file is instead.
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
    if linux_header.is_bzimage(content):
        bzimage = LinuxImage(path, content)
        return ElfImage(path, linux_payload.unpack(bzimage)) if entry == "pvh" else bzimage
    if not multiboot.is_entered_by(RawImage(path, content), header):
        raise GuestRefused(f"{path}: {what_it_is(content)}")
    return RawImage(path, content)


def what_it_is(content: bytes) -> str:
    """Why a file that is no ELF and has no Multiboot header with address fields cannot be a guest."""
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
    return "not an ELF file, nor a Linux bzImage or a Multiboot kernel; `pvisor build` makes guests from C"


def protocol_of(image: ElfImage, entry: str = "auto") -> str:
    """The boot protocol by which a kernel is entered, one of ENTRIES but `auto`, or by which it is refused.

    Raises UsageError for an entry that there is not, GuestRefused for one that the file does not have.
    """
    if entry not in ENTRIES:
        raise UsageError(f"--entry {entry}: there is {', '.join(ENTRIES)}")
    if isinstance(image, LinuxImage) and entry != "multiboot":
        if entry == "linux64":
            linux_boot.check_entry_64(image)
        if entry == "auto":
            return "linux64" if image.header.has_64bit_entry else "linux32"
        return entry
    if entry in LINUX_ENTRIES:
        raise GuestRefused(f"{image.path}: --entry {entry} is for a Linux bzImage, which this is not")
    if entry == "pvh":
        return entry
    header = multiboot.find_header(image.content)
    if entry == "multiboot" and header is None:
        raise GuestRefused(f"{image.path}: has no Multiboot header; leave --entry out")
    is_entered = multiboot.is_entered_by(image, header)
    if entry == "multiboot" or is_entered or (header is not None and image.note(*PVH_NOTE) is None):
        return "multiboot"
    return "pvh"


def multiboot_header(image: ElfImage, entry: str = "auto") -> Header | None:
    """The Multiboot header by which a kernel is entered, or refused; None: it is another protocol's matter.

    Raises as `protocol_of`.
    """
    is_multiboot = protocol_of(image, entry) == "multiboot"
    return multiboot.find_header(image.content) if is_multiboot else None


def is_pc_kernel(image: ElfImage) -> bool:
    """Is it a bzImage, or does it have a PVH note or a Multiboot header?"""
    return isinstance(image, LinuxImage) or image.note(*PVH_NOTE) is not None or protocol_of(image) != "pvh"


def is_linux(image: ElfImage) -> bool:
    """Is it a Linux kernel? Others come as a bzImage, too, but without a packed kernel in it (memtest86+).

    As ELF, Linux says so to Xen (XEN_ELFNOTE_GUEST_OS), or has notes of its own (include/linux/elfnote.h).
    """
    if isinstance(image, LinuxImage):
        return image.header.payload_length > 0
    guest_os = image.note(*GUEST_OS_NOTE)
    is_said = guest_os is not None and guest_os.desc.rstrip(b"\0") == b"linux"
    return is_said or any(note.name == "Linux" for note in image.notes)


def loaded_segments(image: ElfImage, entry: str = "auto") -> tuple[Segment, ...]:
    """What is put into memory where a kernel is entered so. Raises GuestRefused if it is no PC kernel."""
    protocol = protocol_of(image, entry)
    header = multiboot_header(image, entry)
    if header is not None:
        return multiboot.kernel_of(image, header).segments
    if isinstance(image, LinuxImage) and protocol in LINUX_ENTRIES:
        return image.loaded
    pvh_entry(image)
    return image.segments


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
