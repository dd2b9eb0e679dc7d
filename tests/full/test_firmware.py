# SPDX-License-Identifier: GPL-2.0-or-later
"""What firmware leaves: the memory map, BIOS data, the MP table (MP 1.4), ACPI's tables (ACPI 6.5, 5.2)."""

from __future__ import annotations

import shutil
import struct
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from pvisor.errors import UsageError
from pvisor.full import acpi, firmware, mp_table
from pvisor.machine.memory import GuestMemory
from tests.full.test_start import MAP_64M, run
from tests.qemu import pc

MIB = 1 << 20
SIGNATURE, FEATURES = 0x206A1, 0x789_FBFD
SIZES = (MIB, MIB + 4096, 2 * MIB, 64 * MIB)


def left(memory_bytes: int = 64 * MIB) -> GuestMemory:
    """Memory as firmware leaves it."""
    memory = GuestMemory(memory_bytes)
    assert firmware.install(memory, SIGNATURE, FEATURES) == 0xF_5000
    return memory


def number(data: bytes, at: int, n_bytes: int) -> int:
    """A little-endian field."""
    return int.from_bytes(data[at : at + n_bytes], "little")


def scan(memory: GuestMemory, start: int, end: int, text: bytes) -> int:
    """The first 16-byte boundary at which a text stands."""
    return next(at for at in range(start, end, 16) if memory.read(at, len(text)) == text)


def table(memory: GuestMemory, at: int) -> bytes:
    """A System Description Table, its length and checksum right."""
    data = memory.read(at, number(memory.read(at, 8), 4, 4))
    assert sum(data) & 0xFF == 0
    assert (data[10:16], data[16:24], data[28:32]) == (b"PVISOR", b"PVISORPC", b"PVIS")
    return data


def tables(memory: GuestMemory) -> dict[bytes, bytes]:
    """All tables that RSDT and XSDT lead to, by signature; the two lists must agree."""
    pointer = memory.read(scan(memory, 0xE_0000, MIB, b"RSD PTR "), 36)
    rsdt, xsdt = table(memory, number(pointer, 16, 4)), table(memory, number(pointer, 24, 8))
    listed = [number(rsdt, at, 4) for at in range(36, len(rsdt), 4)]
    assert listed == [number(xsdt, at, 8) for at in range(36, len(xsdt), 8)]
    assert (rsdt[:4], xsdt[:4]) == (b"RSDT", b"XSDT")
    return {data[:4]: data for data in (table(memory, at) for at in listed)}


# --- the memory map


def test_the_map_is_qemus() -> None:
    assert firmware.memory_map(64 * MIB) == MAP_64M
    assert firmware.memory_map(3 << 30)[3:5] == [
        (MIB, (3 << 30) - MIB - 0x2_0000, 1),
        (0xBFFE_0000, 0x2_0000, 2),
    ]


@pytest.mark.parametrize("memory_bytes", [*SIZES, 3 << 30])
def test_ranges_do_not_overlap_and_tables_lie_in_reserved_ones(memory_bytes: int) -> None:
    ranges = firmware.memory_map(memory_bytes)
    assert all(a.start + a.n_bytes <= b.start for a, b in pairwise(ranges))
    assert all(r.start + r.n_bytes <= memory_bytes for r in ranges if r.type == 1)
    start = firmware.tables_at(memory_bytes)
    end = start + len(acpi.build(start).content)
    assert any(r.type == 2 and r.start <= start and end <= r.start + r.n_bytes for r in ranges)
    assert start % 64 == 0


def test_a_pc_has_at_most_3_gib() -> None:
    with pytest.raises(UsageError, match=r"--memory: 3073M is more .* at most 3072M"):
        firmware.memory_map((3 << 30) + MIB)


# --- BIOS data


@pytest.mark.parametrize(
    ("address", "n_bytes", "value"),
    [
        (0x400, 2, 0x3F8), (0x402, 2, 0), (0x40E, 2, 0x9FC0), (0x413, 2, 639), (0x449, 1, 3), (0x44A, 2, 80),
        (0x44C, 2, 4096), (0x462, 1, 0), (0x463, 2, 0x3D4), (0x484, 1, 24), (0x485, 2, 16), (0x41A, 2, 0x1E),
        (0x41C, 2, 0x1E), (0x480, 2, 0x1E), (0x482, 2, 0x3E), (0x9_FC00, 1, 1),
    ],
)  # fmt: skip
def test_bios_data(address: int, n_bytes: int, value: int) -> None:
    assert int.from_bytes(left().read(address, n_bytes), "little") == value


def test_equipment_says_colour_text_one_serial_port_and_no_floppy() -> None:
    equipment = int.from_bytes(left().read(0x410, 2), "little")
    assert (equipment >> 4 & 3, equipment >> 9 & 7, equipment & 1, equipment >> 1 & 1) == (2, 1, 0, 1)


# --- the MP table


def test_the_mp_floating_pointer_is_where_kernels_look() -> None:
    """4: the first KiB of the EBDA, the last of base memory, or the BIOS ROM from 0xf0000."""
    memory = left()
    at = scan(memory, 0xF_0000, MIB, b"_MP_")
    pointer = memory.read(at, 16)
    assert sum(pointer) & 0xFF == 0
    assert (pointer[8], pointer[9]) == (1, 4)
    assert pointer[11:] == bytes(5)  # a table and no default configuration; no IMCR
    assert memory.read(number(pointer, 4, 4), 4) == b"PCMP"


def test_the_mp_table() -> None:
    memory = left()
    at = number(memory.read(scan(memory, 0xF_0000, MIB, b"_MP_"), 16), 4, 4)
    data = memory.read(at, number(memory.read(at, 6), 4, 2))
    assert sum(data) & 0xFF == 0 and data[6] == 4
    assert number(data, 36, 4) == 0xFEE0_0000
    assert (number(data, 28, 4), number(data, 32, 2), number(data, 40, 4)) == (0, 0, 0)
    entries, offset = [], 44
    while offset < len(data):
        size = 20 if data[offset] == 0 else 8
        entries.append(data[offset : offset + size])
        offset += size
    assert len(entries) == number(data, 34, 2)
    assert [e[0] for e in entries] == sorted(e[0] for e in entries)
    processor, bus, ioapic = entries[:3]
    assert processor == struct.pack("<BBBBIIQ", 0, 0, 0x14, 3, SIGNATURE, FEATURES, 0)
    assert bus == b"\x01\x00ISA   "
    assert ioapic == b"\x02\x00\x11\x01" + (0xFEC0_0000).to_bytes(4, "little")
    pins = {e[5]: e[7] for e in entries if e[0] == 3}
    assert pins == {0: 2, **{irq: irq for irq in range(1, 16) if irq != 2}}
    assert all(e[1:5] == bytes(4) and e[6] == 0 for e in entries if e[0] == 3)
    assert [e for e in entries if e[0] == 4] == [b"\4\3\0\0\0\0\0\0", b"\4\1\0\0\0\0\xff\1"]


# --- ACPI


@pytest.mark.parametrize("memory_bytes", SIZES)
def test_the_rsdp_is_found_by_scanning(memory_bytes: int) -> None:
    memory = left(memory_bytes)
    pointer = memory.read(scan(memory, 0xE_0000, MIB, b"RSD PTR "), 36)
    assert (sum(pointer[:20]) & 0xFF, sum(pointer) & 0xFF) == (0, 0)
    assert (pointer[9:15], pointer[15], number(pointer, 20, 4)) == (b"PVISOR", 2, 36)
    assert set(tables(memory)) == {b"FACP", b"APIC"}


def test_the_fadt() -> None:
    memory = left()
    fadt = tables(memory)[b"FACP"]
    fields = {
        "revision": (8, 1, 3), "sci": (46, 2, 9), "smi": (48, 4, 0xB2), "enable": (52, 1, 0xF1),
        "disable": (53, 1, 0xF0), "pm1a_evt": (56, 4, 0x600), "pm1b_evt": (60, 4, 0),
        "pm1a_cnt": (64, 4, 0x604), "pm1b_cnt": (68, 4, 0), "pm2": (72, 4, 0), "pm_tmr": (76, 4, 0x608),
        "gpe0": (80, 4, 0), "gpe1": (84, 4, 0), "evt_len": (88, 1, 4), "cnt_len": (89, 1, 2),
        "tmr_len": (91, 1, 4), "gpe_lens": (92, 2, 0),
        "century": (108, 1, 0x32), "boot_arch": (109, 2, 3), "flags": (112, 4, 0x75), "reset": (116, 8, 0),
        "x_evt": (152, 8, 0x600), "x_cnt": (176, 8, 0x604), "x_tmr": (212, 8, 0x608),
    }  # fmt: skip
    assert len(fadt) == 244
    for name, (at, n_bytes, value) in fields.items():
        assert number(fadt, at, n_bytes) == value, name
    assert number(fadt, 96, 2) > 100 and number(fadt, 98, 2) > 1000
    facs_at, dsdt_at = number(fadt, 36, 4), number(fadt, 40, 4)
    assert (number(fadt, 132, 8), number(fadt, 140, 8)) == (facs_at, dsdt_at)
    facs = memory.read(facs_at, 64)
    assert facs_at % 64 == 0 and facs[:8] == b"FACS" + (64).to_bytes(4, "little") and facs[32] == 1
    assert table(memory, dsdt_at)[36:] == b"\x08_S5_\x12\x06\x04\0\0\0\0"


def test_the_madt() -> None:
    madt = tables(left())[b"APIC"]
    assert (number(madt, 36, 4), number(madt, 40, 4)) == (0xFEE0_0000, 1)
    entries, at = [], 44
    while at < len(madt):
        entries.append(madt[at : at + madt[at + 1]])
        at += madt[at + 1]
    assert entries == [
        struct.pack("<BBBBI", 0, 8, 0, 0, 1),
        struct.pack("<BBBBII", 1, 12, 0, 0, 0xFEC0_0000, 0),
        struct.pack("<BBBBIH", 2, 10, 0, 0, 2, 0),
        struct.pack("<BBBBIH", 2, 10, 0, 9, 9, 0xD),
        struct.pack("<BBBHB", 4, 6, 0xFF, 0, 1),
    ]


@pytest.mark.skipif(shutil.which("iasl") is None, reason="iasl is not installed")
def test_iasl_takes_the_tables(tmp_path: Path) -> None:
    """The reference compiler disassembles each table; the DSDT's source compiles back to the same bytes."""
    fadt, madt, dsdt = acpi.fadt(0x10_0000, 0x10_0040), acpi.madt(), acpi.dsdt()
    for name, data in (("facp", fadt), ("apic", madt), ("dsdt", dsdt)):
        (tmp_path / f"{name}.dat").write_bytes(data)
        done = subprocess.run(["iasl", "-d", f"{name}.dat"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert not [
            line for line in (done.stdout + done.stderr).splitlines() if "rror" in line or "arning" in line
        ]
    source = (tmp_path / "dsdt.dsl").read_text()
    assert "Name (_S5, Package (0x04)" in source
    done = subprocess.run(["iasl", "-p", "again", "dsdt.dsl"], cwd=tmp_path, capture_output=True, text=True)
    assert "0 Errors, 0 Warnings" in done.stdout
    assert (tmp_path / "again.aml").read_bytes()[36:] == dsdt[36:]


def test_a_checksum_makes_the_sum_0() -> None:
    for data in (b"abc\xff", bytes(8), b"\xff" * 300):
        assert sum(mp_table.with_checksum(data, 2)) & 0xFF == 0


@pytest.mark.needs_gcc
@pytest.mark.parametrize("bits", [32, 64])
def test_a_kernel_finds_what_it_finds_under_qemu(tmp_path: Path, bits: int) -> None:
    elf = pc.build("firmware", bits, tmp_path)
    ours = run(elf)
    assert (ours.ending.status, "wrong" in ours.output.decode()) == (1, False)
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is not installed")
    assert ours.output.decode() == pc.run(elf)[1].decode()
