# SPDX-License-Identifier: GPL-2.0-or-later
"""The ATA disk by its I/O ports, as T13/1410D says: commands, their registers, their errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.full.ata_rig import (
    AT_DATA,
    COMMAND,
    CONTROL,
    COUNT,
    DATA,
    DEVICE,
    DF,
    ERROR,
    FAILED,
    HIGH,
    HOB,
    LOW,
    MID,
    N_SECTORS,
    NIEN,
    READY,
    Rig,
    sector,
)

UNC, WP, IDNF, ABRT = 0x40, 0x40, 0x10, 0x04


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "disk.img")


def sectors(first: int, n: int) -> bytes:
    return b"".join(sector(i) for i in range(first, first + n))


# --- reading


@pytest.mark.parametrize("opcode", [0x20, 0x21])
def test_read_sectors(rig: Rig, opcode: int) -> None:
    assert rig.command(opcode, 1000, 3) == AT_DATA
    for i in range(3):
        assert (rig.status, rig.inb(COUNT), rig.address) == (AT_DATA, 2 - i, 1001 + i)
        assert rig.take() == sector(1000 + i)
    assert (rig.status, rig.inb(ERROR)) == (READY, 0)


def test_a_count_of_0_is_256_sectors(rig: Rig) -> None:
    rig.command(0x20, 7, 0)
    assert rig.take(256) == sectors(7, 256)
    assert rig.status == READY
    rig.command48(0x24, 7, 0)
    low = rig.inb(COUNT)
    rig.outb(CONTROL, HOB)
    assert (low, rig.inb(COUNT)) == (0xFF, 0xFF), "65535 left after the first"


def test_read_multiple_transfers_16_sectors_a_block(rig: Rig) -> None:
    assert rig.command(0xC4, 100, 40) == AT_DATA
    for i, n in enumerate((16, 16, 8)):
        assert rig.take(n) == sectors(100 + 16 * i, n)
        assert rig.status == (READY if n == 8 else AT_DATA)


@pytest.mark.parametrize(("opcode", "n_per_block"), [(0x24, 1), (0x29, 4)])
def test_48_bit_reads(rig: Rig, opcode: int, n_per_block: int) -> None:
    rig.command(0xC6, count=4)
    assert rig.command48(opcode, 2000, 0x108) == AT_DATA
    assert rig.inb(COUNT) == 0x108 - n_per_block & 0xFF
    assert rig.take(0x108) == sectors(2000, 0x108)
    assert rig.status == READY


@pytest.mark.parametrize("n_per_block", [0, 1, 2, 4, 8, 16])
def test_set_multiple_mode(rig: Rig, n_per_block: int) -> None:
    assert rig.command(0xC6, count=n_per_block) == READY
    assert rig.identify()[59] == (0x100 | n_per_block if n_per_block else 0)
    if not n_per_block:
        assert (rig.command(0xC4, 0, 1), rig.inb(ERROR)) == (FAILED, ABRT)
        assert (rig.command(0xC5, 0, 1), rig.inb(ERROR)) == (FAILED, ABRT)


@pytest.mark.parametrize("count", [3, 17, 32, 255])
def test_multiples_that_are_not_supported(rig: Rig, count: int) -> None:
    assert (rig.command(0xC6, count=count), rig.inb(ERROR)) == (FAILED, ABRT)
    assert rig.identify()[59] == 0x110


def test_chs_addresses(rig: Rig) -> None:
    for cylinder, head, number in ((0, 0, 1), (1, 2, 3), (2, 15, 63)):
        rig.outb(DEVICE, head)
        for ioport, value in ((COUNT, 1), (LOW, number), (MID, cylinder), (HIGH, 0), (COMMAND, 0x20)):
            rig.outb(ioport, value)
        lba = (cylinder * 16 + head) * 63 + number - 1
        if lba < N_SECTORS:
            assert rig.take() == sector(lba)
            after = (rig.inb(MID) * 16 + (rig.inb(DEVICE) & 15)) * 63 + rig.inb(LOW) - 1
            assert after == lba + 1
        else:
            assert (rig.status, rig.inb(ERROR)) == (FAILED, IDNF)


@pytest.mark.parametrize(("head", "number"), [(0, 0), (0, 64), (4, 1), (15, 63)])
def test_chs_addresses_outside_the_geometry(rig: Rig, head: int, number: int) -> None:
    rig.outb(DEVICE, 3)
    rig.outb(COUNT, 63)
    rig.outb(COMMAND, 0x91)  # INITIALIZE DEVICE PARAMETERS: 4 heads, 63 sectors
    assert rig.identify()[54:59] == [N_SECTORS // 252, 4, 63, N_SECTORS // 252 * 252, 0]
    rig.outb(DEVICE, head)
    for ioport, value in ((COUNT, 1), (LOW, number), (MID, 0), (HIGH, 0), (COMMAND, 0x20)):
        rig.outb(ioport, value)
    assert (rig.status, rig.inb(ERROR)) == (FAILED, IDNF)


def test_no_tracks_without_sectors(rig: Rig) -> None:
    assert (rig.command(0x91, count=0), rig.inb(ERROR)) == (FAILED, ABRT)


# --- the data port


@pytest.mark.parametrize("width", [2, 4])
def test_widths_of_the_data_port(rig: Rig, width: int) -> None:
    rig.command(0x20, 5, 2)
    assert rig.take(2, width) == sectors(5, 2)
    rig.command(0x30, 5, 2)
    rig.give(sectors(90, 2), width)
    assert (rig.status, rig.disk.read(5, 2)) == (READY, sectors(90, 2))


def test_the_data_port_by_the_byte_moves_nothing(rig: Rig) -> None:
    rig.command(0x20, 5, 1)
    assert rig.inb(DATA) == 0xFF
    rig.outb(DATA, 1)
    assert rig.take() == sector(5)


def test_the_data_port_without_a_transfer(rig: Rig) -> None:
    assert (rig.bus.read(DATA, 2), rig.bus.read(DATA, 4)) == (0, 0)
    rig.bus.write(DATA, 4, 1)
    rig.command(0x20, 5, 1)
    rig.bus.write(DATA, 2, 0xAAAA)  # the wrong way
    assert rig.take() == sector(5)
    rig.command(0x30, 5, 1)
    assert rig.bus.read(DATA, 2) == 0
    rig.give(sector(6))
    assert rig.disk.read(5, 1) == sector(6)


def test_two_words_over_the_end_of_a_block(rig: Rig) -> None:
    """They are two cycles, the second of the next block, if there is one."""
    rig.command(0x20, 5, 2)
    rig.bus.read(DATA, 2)
    words = [rig.bus.read(DATA, 4) for _ in range(128)]
    assert words[127] == 5 >> 16 | 6 << 16
    rig.take()
    assert rig.status == READY
    rig.command(0x30, 5, 1)
    rig.give(sector(1)[:510])
    rig.bus.write(DATA, 4, 0x1234_0000)
    assert (rig.status, rig.disk.read(5, 1)) == (READY, sector(1)[:510] + bytes(2))


def test_words_at_other_registers_go_by_the_byte(rig: Rig) -> None:
    rig.outb(CONTROL, NIEN)
    rig.bus.write(COUNT, 2, 0x0201)
    assert (rig.inb(COUNT), rig.inb(LOW)) == (1, 2)
    assert rig.bus.read(COUNT, 2) == 0x0201


# --- writing


@pytest.mark.parametrize("opcode", [0x30, 0x31, 0xC5, 0x34, 0x39])
def test_writes(rig: Rig, opcode: int) -> None:
    command: Callable[[int, int, int], int] = rig.command48 if opcode in (0x34, 0x39) else rig.command
    n_per_block = 16 if opcode in (0xC5, 0x39) else 1
    assert command(opcode, 200, 20) == AT_DATA
    assert rig.edges == [], "no interrupt before the first block"
    for first in range(0, 20, n_per_block):
        n = min(n_per_block, 20 - first)
        assert (rig.status, rig.address, rig.inb(COUNT)) == (AT_DATA, 200 + first, 20 - first)
        rig.give(sectors(700 + first, n))
    assert (rig.status, rig.inb(ERROR), rig.address) == (READY, 0, 220)
    assert rig.disk.read(199, 22) == sector(199) + sectors(700, 20) + sector(220)


def test_a_block_is_written_when_it_is_whole(rig: Rig) -> None:
    rig.command(0x30, 200, 1)
    rig.give(sector(0)[:510])
    assert (rig.status, rig.disk.read(200, 1)) == (AT_DATA, sector(200))
    rig.outb(CONTROL, 4)
    rig.outb(CONTROL, 0)
    rig.give(sector(0)[:2])
    assert (rig.status, rig.disk.read(200, 1)) == (READY, sector(200))


@pytest.mark.parametrize("opcode", [0x30, 0x34, 0xC5, 0x39])
def test_a_disk_that_is_only_read(tmp_path: Path, opcode: int) -> None:
    path = tmp_path / "disk.img"
    Rig(path).disk.close()
    rig = Rig(path, read_only=True)
    assert (rig.command(opcode, 0, 1), rig.inb(ERROR)) == (FAILED, ABRT | WP)
    rig.give(sector(9))
    assert rig.command(0xE7) == READY
    rig.command(0x20, 0, 1)
    assert rig.take() == sector(0)


def test_without_the_write_cache_each_write_is_flushed(rig: Rig) -> None:
    rig.command(0x30, 0, 1)
    rig.give(sector(0))
    assert rig.disk.n_flushed == 0
    assert rig.identify()[85] & 0x20
    rig.command(0xEF, features=0x82)
    assert rig.disk.n_flushed == 1
    assert not rig.identify()[85] & 0x20
    rig.command(0x30, 0, 2)
    rig.give(sectors(0, 2))
    assert rig.disk.n_flushed == 2
    for opcode in (0xE7, 0xEA, 0xE0):  # FLUSH CACHE, FLUSH CACHE EXT, STANDBY IMMEDIATE
        assert rig.command(opcode) == READY
    assert rig.disk.n_flushed == 5


# --- addresses that are not there


@pytest.mark.parametrize("lba", [N_SECTORS, N_SECTORS + 1, 0xFFF_FFFF])
@pytest.mark.parametrize("opcode", [0x20, 0xC4, 0x40, 0x70])
def test_an_address_past_the_end(rig: Rig, opcode: int, lba: int) -> None:
    assert (rig.command(opcode, lba, 1), rig.inb(ERROR)) == (FAILED, IDNF)
    assert (rig.address, rig.inb(DEVICE) & 15, rig.inb(COUNT)) == (lba & 0xFF_FFFF, lba >> 24, 1)


@pytest.mark.parametrize("opcode", [0x24, 0x29, 0x42])
def test_a_48_bit_address_past_the_end(rig: Rig, opcode: int) -> None:
    assert (rig.command48(opcode, 0xFEDC_BA98_7654, 0x1234), rig.inb(ERROR)) == (FAILED, IDNF)
    assert (rig.address, rig.inb(COUNT)) == (0x98_7654, 0x34)
    rig.outb(CONTROL, HOB)
    assert (rig.address, rig.inb(COUNT)) == (0xFE_DCBA, 0x12)


def test_reading_over_the_end(rig: Rig) -> None:
    """The sectors before it are good, and the registers name the first that is not there."""
    rig.command(0x20, N_SECTORS - 2, 5)
    assert rig.take(2) == sectors(N_SECTORS - 2, 2)
    assert (rig.status, rig.inb(ERROR), rig.address, rig.inb(COUNT)) == (FAILED, IDNF, N_SECTORS, 3)
    rig.command(0xC4, N_SECTORS - 20, 30)
    assert rig.take(16) == sectors(N_SECTORS - 20, 16)
    assert (rig.status, rig.inb(ERROR), rig.address, rig.inb(COUNT)) == (FAILED, IDNF, N_SECTORS, 10)
    assert rig.command(0x40, N_SECTORS - 200, 0) == FAILED
    assert (rig.inb(ERROR), rig.address, rig.inb(COUNT)) == (IDNF, N_SECTORS, 56)


def test_writing_over_the_end(rig: Rig) -> None:
    rig.command(0x30, N_SECTORS - 1, 2)
    rig.give(sector(1))
    assert rig.status == AT_DATA
    rig.give(sector(2))
    assert (rig.status, rig.inb(ERROR), rig.address, rig.inb(COUNT)) == (FAILED, IDNF, N_SECTORS, 1)
    rig.command(0xC5, N_SECTORS - 3, 8)
    rig.give(sectors(10, 8))
    assert (rig.status, rig.inb(ERROR), rig.address, rig.inb(COUNT)) == (FAILED, IDNF, N_SECTORS, 5)
    assert rig.disk.read(N_SECTORS - 3, 3) == sectors(10, 3)
    assert rig.path.stat().st_size == N_SECTORS * 512


# --- trouble of the host


def test_sectors_that_the_host_cannot_read(rig: Rig) -> None:
    rig.disk.bad_from = 105
    rig.command(0x20, 104, 3)
    assert rig.take() == sector(104)
    assert (rig.status, rig.inb(ERROR), rig.address, rig.inb(COUNT)) == (FAILED, UNC, 105, 2)
    assert (rig.command(0xC4, 100, 8), rig.inb(ERROR), rig.address, rig.inb(COUNT)) == (FAILED, UNC, 105, 3)
    assert (rig.command(0x40, 100, 8), rig.inb(ERROR), rig.address) == (FAILED, UNC, 105)
    assert rig.command(0x40, 100, 5) == READY


def test_sectors_that_the_host_cannot_write(rig: Rig) -> None:
    rig.disk.bad_from = 105
    rig.command(0x30, 104, 3)
    rig.give(sectors(0, 2))
    assert (rig.status, rig.inb(ERROR), rig.address, rig.inb(COUNT)) == (FAILED | DF, ABRT, 105, 2)


def test_a_host_that_cannot_flush(rig: Rig) -> None:
    rig.disk.cannot_flush = True
    assert (rig.command(0xE7), rig.inb(ERROR)) == (FAILED | DF, ABRT)
    assert rig.command(0x20, 0, 1) == AT_DATA, "the fault does not stay"


# --- the rest


def test_identify_device(rig: Rig) -> None:
    words = rig.identify()
    assert rig.status == READY
    assert words[0] & 0x8000 == 0, "no packet device"
    assert (words[1], words[3], words[6]) == (N_SECTORS // 1008, 16, 63)
    names = b"".join(word.to_bytes(2, "big") for word in words)
    assert names[20:40].strip() == b"PV00001"
    assert names[54:94] == b"PVISOR HARDDISK".ljust(40)
    assert words[47] & 0xFF == 16
    assert words[49] & 0x0300 == 0x0200, "LBA and no DMA"
    assert (words[63], words[88], words[53] & 4) == (0, 0, 0), "no DMA modes"
    assert words[60] | words[61] << 16 == N_SECTORS
    assert words[100:104] == [N_SECTORS, 0, 0, 0]
    assert words[83] & 0xC400 == 0x4400, "48-bit addresses"
    assert words[82] & 0x21 == 0x20, "a write cache, no SMART"
    assert sum(byte for word in words for byte in word.to_bytes(2, "little")) & 0xFF == 0
    assert words[255] & 0xFF == 0xA5


def test_a_disk_of_more_than_28_bits(tmp_path: Path) -> None:
    path = tmp_path / "large.img"
    n_sectors = (1 << 28) + 1000
    with path.open("wb") as file:
        file.truncate(n_sectors * 512)
    rig = Rig(path)
    words = rig.identify()
    assert (words[1], words[60] | words[61] << 16) == (16383, 0x0FFF_FFFF)
    assert words[100] | words[101] << 16 == n_sectors
    assert rig.command48(0x24, n_sectors - 1, 1) == AT_DATA
    rig.take()
    assert (rig.command(0x20, 0xFFF_FFFF, 1), rig.inb(ERROR)) == (FAILED, IDNF)
    assert rig.command(0xF8) == READY
    assert (rig.address, rig.inb(DEVICE) & 15) == (0xFF_FFFE, 15)
    assert rig.command(0x27) == READY
    assert rig.address == n_sectors - 1 & 0xFF_FFFF
    rig.outb(CONTROL, HOB)
    assert rig.address == n_sectors - 1 >> 24


def test_native_max_is_the_last_sector(rig: Rig) -> None:
    assert (rig.command(0xF8), rig.address) == (READY, N_SECTORS - 1)
    rig.outb(DEVICE, 0)
    rig.outb(COMMAND, 0xF8)
    assert (rig.inb(HIGH) << 8 | rig.inb(MID), rig.inb(DEVICE) & 15, rig.inb(LOW)) == (2, 15, 39)


def test_power_modes(rig: Rig) -> None:
    def mode() -> int:
        assert rig.command(0xE5) == READY
        return rig.inb(COUNT)

    assert mode() == 0xFF
    for standby in (0xE0, 0xE2, 0xE6, 0x94, 0x96, 0x99):
        assert (rig.command(standby), mode()) == (READY, 0)
        assert (rig.command(0xE1), mode()) == (READY, 0xFF)
    rig.command(0xE0)
    rig.command(0x20, 0, 1)
    rig.take()
    assert mode() == 0xFF, "a command for the medium wakes it"


@pytest.mark.parametrize("mode", [0x00, 0x01, 0x08, 0x0C])
def test_pio_modes_may_be_set(rig: Rig, mode: int) -> None:
    assert rig.command(0xEF, features=0x03, count=mode) == READY


@pytest.mark.parametrize(("features", "count"), [(0x03, 0x20), (0x03, 0x45), (0x03, 0x0D), (0x05, 0), (0, 0)])
def test_features_that_are_not_there(rig: Rig, features: int, count: int) -> None:
    assert (rig.command(0xEF, features=features, count=count), rig.inb(ERROR)) == (FAILED, ABRT)


def test_what_is_no_command_is_aborted(rig: Rig) -> None:
    known = {
        0x10, 0x20, 0x21, 0x24, 0x27, 0x29, 0x30, 0x31, 0x34, 0x39, 0x40, 0x41, 0x42, 0x70, 0x90, 0x91,
        *range(0x94, 0x9A), 0xC4, 0xC5, 0xC6, *range(0xE0, 0xE4), 0xE5, 0xE6, 0xE7, 0xEA, 0xEC, 0xEF, 0xF8,
    }  # fmt: skip
    for opcode in set(range(256)) - known:
        assert (rig.command(opcode, 1, 1), rig.inb(ERROR)) == (FAILED, ABRT), hex(opcode)
    assert rig.command(0x20, 1, 1) == AT_DATA
    assert rig.inb(ERROR) == 0, "the error is gone with the next command"
