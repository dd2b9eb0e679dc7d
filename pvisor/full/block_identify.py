# SPDX-License-Identifier: GPL-2.0-or-later
"""What the ATA drive says about itself: the 256 words of IDENTIFY DEVICE (T13/1410D)."""

from __future__ import annotations

from pvisor.full.block_registers import Geometry

MODEL, FIRMWARE, SERIAL = "PVISOR HARDDISK", "1.0", "PV00001"
MAX_28BIT_SECTORS = 0x0FFF_FFFF
MAX_48BIT_SECTORS = 1 << 48
MAX_CYLINDERS = 16383
N_HEADS, SECTORS_PER_TRACK = 16, 63
MAX_MULTIPLE = 16
"""Sectors in one DRQ block of READ and WRITE MULTIPLE."""

_FIXED = 0x0040  # word 0: an ATA device, not removable
_IORDY, _IORDY_MAY_GO, _LBA, _STANDBY_TIMER = 1 << 11, 1 << 10, 1 << 9, 1 << 13
_VALID = 1 << 14  # words 50, 83, 84, 87, 93: bit 14 is 1, bit 15 is 0
_WRITE_CACHE, _POWER_MANAGEMENT, _NOP = 1 << 5, 1 << 3, 1 << 14
_FLUSH_EXT, _FLUSH, _LBA48 = 1 << 13, 1 << 12, 1 << 10
_ATA_4_TO_6 = 0x0070
_CYCLE_NS = 120  # of PIO mode 4
_PIO_3_AND_4 = 0x0003
_INTEGRITY = 0xA5


def identify(n_sectors: int, current: Geometry, multiple: int, write_cache: bool) -> bytes:
    """The 512 bytes. No DMA is offered. `current` is what INITIALIZE DEVICE PARAMETERS has chosen."""
    words = [0] * 256
    n_28bit = min(n_sectors, MAX_28BIT_SECTORS)
    words[0] = _FIXED
    words[1] = n_cylinders(n_sectors, Geometry(N_HEADS, SECTORS_PER_TRACK), MAX_CYLINDERS)
    words[3], words[6] = N_HEADS, SECTORS_PER_TRACK
    words[10:20] = _text(SERIAL, 20)
    words[23:27] = _text(FIRMWARE, 8)
    words[27:47] = _text(MODEL, 40)
    words[47] = 0x8000 | MAX_MULTIPLE
    words[49] = _IORDY | _IORDY_MAY_GO | _LBA | _STANDBY_TIMER
    words[50] = _VALID
    words[51] = 0x0200  # PIO mode 2 without flow control
    words[53] = 0x0003  # words 54-58 and 64-70 are valid
    words[54] = n_cylinders(n_sectors, current, 0xFFFF)
    words[55], words[56] = current.n_heads, current.sectors_per_track
    words[57:59] = _little(words[54] * current.sectors_per_cylinder, 2)
    words[59] = 0x0100 | multiple if multiple else 0
    words[60:62] = _little(n_28bit, 2)
    words[64] = _PIO_3_AND_4
    words[67] = words[68] = _CYCLE_NS
    words[80] = _ATA_4_TO_6
    words[82] = _NOP | _WRITE_CACHE | _POWER_MANAGEMENT
    words[83] = _VALID | _FLUSH_EXT | _FLUSH | _LBA48
    words[84] = _VALID
    words[85] = _NOP | _POWER_MANAGEMENT | (_WRITE_CACHE if write_cache else 0)
    words[86] = _FLUSH_EXT | _FLUSH | _LBA48
    words[87] = _VALID
    words[93] = _VALID | 0x2001  # the reset's result: an 80-conductor cable, device 0 by jumper
    words[100:104] = _little(n_sectors, 4)
    data = b"".join(word.to_bytes(2, "little") for word in words[:255]) + bytes((_INTEGRITY,))
    return data + bytes((-sum(data) & 0xFF,))


def n_cylinders(n_sectors: int, geometry: Geometry, most: int) -> int:
    """Whole cylinders of a disk: at least one, and no more than the registers can say."""
    return max(1, min(n_sectors // geometry.sectors_per_cylinder, most))


def _text(text: str, n_bytes: int) -> list[int]:
    """ASCII, padded with spaces; the first of two characters is the word's upper byte."""
    padded = text.ljust(n_bytes).encode("ascii")
    return [padded[i] << 8 | padded[i + 1] for i in range(0, n_bytes, 2)]


def _little(value: int, n_words: int) -> list[int]:
    """A number, its lowest word first."""
    return [value >> 16 * i & 0xFFFF for i in range(n_words)]
