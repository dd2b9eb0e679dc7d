# SPDX-License-Identifier: GPL-2.0-or-later
"""PVH entry: struct hvm_start_info by start_info.h, where things are put, which protocol a kernel gets."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pvisor.errors import GuestRefused, UsageError
from pvisor.full import firmware, start
from pvisor.full.kernel_file import read_image
from pvisor.machine.memory import GuestMemory
from pvisor.machine.modules import Module
from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.run import run_domain
from tests.full.kernels import MIB, PVH_NOTE, RSDP, elf32, header, placed, pvh_elf, string_at
from tests.machine.elf_bytes import PT_NOTE, Elf, Part, note
from tests.qemu import pc

MAP_64M = [
    (0, 0x9_FC00, 1),
    (0x9_FC00, 0x400, 2),
    (0xF_0000, 0x1_0000, 2),
    (0x10_0000, 0x3EE_0000, 1),
    (0x3FE_0000, 0x2_0000, 2),
    (0xFFFC_0000, 0x4_0000, 2),
]
"""What SeaBIOS gives on `qemu-system-x86_64 -M pc -m 64` with an Intel CPU."""


def start_info(memory: GuestMemory, at: int) -> tuple[int, ...]:
    """magic, version, flags, n_modules, modules, cmdline, rsdp, memory map, its entries, reserved."""
    return struct.unpack("<IIIIQQQQII", memory.read(at, 56))


def test_start_info_has_its_layout(tmp_path: Path) -> None:
    entry, memory = placed(tmp_path, pvh_elf(), cmdline="a  b")
    assert (entry.rip, entry.eax) == (MIB + 4, 0)
    magic, version, flags, n_modules, modules, cmdline, rsdp, memmap, n_entries, reserved = start_info(
        memory, entry.ebx
    )
    assert (magic, version, flags, n_modules, modules, rsdp, reserved) == (
        0x336E_C578, 1, 0, 0, 0, RSDP, 0)  # fmt: skip
    assert string_at(memory, cmdline) == b"a  b"
    entries = [struct.unpack("<QQII", memory.read(memmap + 24 * i, 24)) for i in range(n_entries)]
    assert [e[:3] for e in entries] == MAP_64M
    assert all(e[3] == 0 for e in entries)


def test_modules_lie_at_the_top_of_ram_with_their_command_lines(tmp_path: Path) -> None:
    modules = (
        Module(b"first", b"", b"x" * 5000),
        Module(b"second", b"quiet \xff", b"yy"),
        Module(b"none", b"", b""),
    )
    entry, memory = placed(tmp_path, pvh_elf(), modules=modules)
    _, _, _, n_modules, at, *_ = start_info(memory, entry.ebx)
    listed = [struct.unpack("<QQQQ", memory.read(at + 32 * i, 32)) for i in range(n_modules)]
    assert [m[1] for m in listed] == [5000, 2, 0]
    assert [m[0] for m in listed] == [0x3FD_E000, 0x3FD_D000, 0x3FD_C000]
    assert all(m[3] == 0 for m in listed)
    assert memory.read(listed[0][0], 5000) == b"x" * 5000
    assert memory.read(listed[1][0], 3) == b"yy\0"
    assert [m[2] != 0 for m in listed] == [False, True, False]
    assert string_at(memory, listed[1][2]) == b"quiet \xff"


@pytest.mark.parametrize(
    "parts",
    [
        (Part(b"\xf4", vaddr=MIB), Part(bytes(4), vaddr=0x9_0000, memory_bytes=0xFC00)),
        (Part(b"\xf4", vaddr=MIB), Part(b"", vaddr=0, memory_bytes=0x9_FC00)),
        (Part(b"\xf4", vaddr=MIB), Part(b"\x55" * 0x9_0000, vaddr=0x1000)),
    ],
)
def test_the_start_info_avoids_the_kernel(tmp_path: Path, parts: tuple[Part, ...]) -> None:
    entry, memory = placed(tmp_path, pvh_elf(*parts), cmdline="x" * 4095)
    ends = entry.ebx + 56, start_info(memory, entry.ebx)[5] + 4096
    for part in parts:
        size = part.memory_bytes or len(part.data)
        assert max(ends) <= part.vaddr or part.vaddr + size <= entry.ebx
    assert start_info(memory, entry.ebx)[0] == 0x336E_C578


def test_memory_below_1_mib_is_cleared_where_the_kernel_wants_zeroes(tmp_path: Path) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(pvh_elf(Part(b"\xf4", vaddr=MIB), Part(b"ab", vaddr=0x400, memory_bytes=0x200)))
    memory = GuestMemory(4 * MIB)
    firmware.install(memory, 0, 0)
    assert memory.read(0x413, 2) != b"\0\0"
    start.place(read_image(path), memory, cmdline="", modules=(), rsdp=0)
    assert memory.read(0x400, 0x200) == b"ab" + bytes(0x1FE)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((Part(b"\xf4", vaddr=3 * MIB + 0xE_0000, memory_bytes=1),), "at least 4100K of memory"),
        ((Part(b"\xf4", vaddr=0xFFFF_FFFF_8000_0000),), "needs memory up to"),
        ((Part(b"\xf4", vaddr=0xB_8000),), "0xb8000, where a PC has no RAM"),
        ((Part(b"\xf4" * 0x2000, vaddr=0x9_F000),), "0x9fc00, where a PC has no RAM"),
        ((Part(b"\xf4", vaddr=0xF_FFFF),), "0xfffff, where a PC has no RAM"),
    ],
)
def test_a_kernel_outside_ram_is_refused(tmp_path: Path, parts: tuple[Part, ...], words: str) -> None:
    with pytest.raises(GuestRefused, match=words):
        placed(tmp_path, pvh_elf(*parts), memory_bytes=4 * MIB)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"big: no room for its 2097152 bytes .* more --memory"):
        placed(tmp_path, pvh_elf(), memory_bytes=3 * MIB, modules=(Module(b"big", b"", bytes(2 * MIB)),))
    with pytest.raises(UsageError, match="4096 bytes; at most 4095"):
        placed(tmp_path, pvh_elf(), cmdline="x" * 4096)
    everything = (Part(b"\xf4", vaddr=0, memory_bytes=0x9_FC00), Part(b"\xf4", memory_bytes=0xE_0000))
    with pytest.raises(GuestRefused, match="leaves no room in memory"):
        placed(tmp_path, pvh_elf(*everything), memory_bytes=2 * MIB)


def test_notes_that_will_not_do(tmp_path: Path) -> None:
    code = Part(b"\xf4")
    with pytest.raises(GuestRefused, match="above 4 GiB"):
        placed(tmp_path, bytes(Elf([code, Part(note(b"Xen", 18, bytes(7) + b"\1"), kind=PT_NOTE)])))
    with pytest.raises(GuestRefused, match="neither a PVH note"):
        placed(tmp_path, bytes(Elf([code, Part(note(b"Xen", 18, b"\1\2"), kind=PT_NOTE)])))
    with pytest.raises(GuestRefused, match="neither a PVH note"):
        placed(tmp_path, bytes(Elf([code])))


def test_which_protocol_a_kernel_is_entered_by(tmp_path: Path) -> None:
    """QEMU tries Multiboot first; it turns down an ELF64 with a bare header, where PVH would do."""
    notes = PVH_NOTE.data
    multiboot, pvh = 0x2BAD_B002, 0
    both32 = elf32(header(3) + b"\xf4" * 4, notes=notes, entry=MIB + 12)
    both64 = bytes(Elf([Part(header(3) + b"\xf4" * 4), PVH_NOTE]))
    at = both64.index(header(3))
    fields = header(0x1_0003, MIB + at, MIB, 0, 0, MIB + 8)
    addresses64 = bytes(Elf([Part(fields + b"\xf4" * 4), PVH_NOTE]))
    assert (placed(tmp_path, both32)[0].eax, placed(tmp_path, both32)[0].rip) == (multiboot, MIB + 12)
    assert (placed(tmp_path, both64)[0].eax, placed(tmp_path, both64)[0].rip) == (pvh, MIB + 4)
    assert (placed(tmp_path, addresses64)[0].eax, placed(tmp_path, addresses64)[0].rip) == (
        multiboot,
        MIB + 8,
    )
    assert placed(tmp_path, elf32(b"\xf4" * 8, notes=notes))[0].eax == pvh
    with pytest.raises(GuestRefused, match="needs a 32-bit ELF file"):
        placed(tmp_path, bytes(Elf([Part(header(3) + b"\xf4" * 4)])))


def run(elf: Path, **settings: object) -> RunResult:
    """Run a bare PC guest."""
    config = DomainConfig(elf, mode="full", max_insns=20_000_000, timeout_s=20, **settings)  # type: ignore[arg-type]
    return run_domain(config)


@pytest.mark.needs_gcc
@pytest.mark.needs_qemu
@pytest.mark.parametrize("bits", [32, 64])
def test_a_kernel_sees_what_it_sees_under_qemu(tmp_path: Path, bits: int) -> None:
    elf = pc.build("boot", bits, tmp_path)
    initrd = tmp_path / "initrd"
    initrd.write_bytes(bytes(range(256)) * 20)
    theirs = pc.run(elf, more=["-append", "root=/dev/ram0  quiet", "-initrd", str(initrd)])
    ours = run(elf, cmdline="root=/dev/ram0  quiet", initrd=initrd)
    assert (ours.ending.status, ours.output.decode()) == (1, theirs[1].decode())
    assert theirs[0] == 1
    assert "PVH\n" in ours.output.decode() and "module of: 0x1400" in ours.output.decode()
    assert "[root=/dev/ram0  quiet]" in ours.output.decode()
