# SPDX-License-Identifier: GPL-2.0-or-later
"""The ATA drive: what each command does with registers, sector buffer and disk (T13/1410D, ATA-6, chapter 8).

A command is carried out at once; what it costs the guest is the transfer, word by word. DRQ blocks are one
sector, or as many as SET MULTIPLE MODE has chosen. Where the standard leaves a choice the drive does as
QEMU's: the address registers move on when a block is ready, a command in the middle of a transfer is ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pvisor.cpu.shim import ffi, lib
from pvisor.full.block_identify import (
    MAX_28BIT_SECTORS,
    MAX_48BIT_SECTORS,
    MAX_MULTIPLE,
    identify,
)
from pvisor.full.block_registers import CommandRegisters
from pvisor.machine.disk import SECTOR_BYTES, DiskError, DiskImage

IDLE, TO_HOST, TO_DRIVE = lib.PV_ATA_IDLE, lib.PV_ATA_TO_HOST, lib.PV_ATA_TO_DRIVE

BSY, DRDY, DF, DSC, DRQ, ERR = 0x80, 0x40, 0x20, 0x10, 0x08, 0x01
READY = DRDY | DSC
"""DSC (seek complete) is obsolete; drives and QEMU keep it set."""
UNC, WP, IDNF, ABRT = 0x40, 0x40, 0x10, 0x04
PASSED = 0x01
"""Diagnostic code in the error register: device 0 is well, device 1 as well or not there."""
EXECUTE_DEVICE_DIAGNOSTIC = 0x90
POWER_STANDBY, POWER_ACTIVE_OR_IDLE = 0x00, 0xFF
VERIFY_SECTORS = 128
"""Sectors that READ VERIFY reads from the host at a time."""


class _CommandError(Exception):
    """A command ends with ERR: `error` goes to the error register, `fault` to the status."""

    def __init__(self, error: int, fault: int = 0) -> None:
        super().__init__()
        self.error = error
        self.fault = fault


class AtaDrive:
    """Device 0 with a disk in it. `interrupt` is called where the drive wants the host's attention.

    `state` is the struct that the native handlers of the data port share.
    """

    def __init__(
        self, disk: DiskImage, state: Any, registers: CommandRegisters, interrupt: Callable[[], object]
    ) -> None:
        self._disk = disk
        self._state = state
        self._buffer = ffi.buffer(state.buffer)
        self._registers = registers
        self._interrupt = interrupt
        self._n_sectors = min(disk.n_sectors, MAX_48BIT_SECTORS)
        self._multiple = MAX_MULTIPLE
        self._write_cache = True
        self._power = POWER_ACTIVE_OR_IDLE
        self._lba = self._n_left = self._n_per_block = 0
        self._ext = False
        self._after_block: Callable[[], None] = self._nothing
        self._without_data = self._commands_without_data()
        self._with_data = self._commands_with_data()
        state.status = READY
        registers.error = PASSED

    def _commands_without_data(self) -> dict[int, Callable[[], None]]:
        """Those that end with an interrupt and transfer nothing, by opcode. What is not here is aborted."""
        standby, idle = (
            partial(self._set_power, POWER_STANDBY),
            partial(self._set_power, POWER_ACTIVE_OR_IDLE),
        )
        verify = partial(self._verify, ext=False)
        return {
            0x10: self._nothing,  # RECALIBRATE
            0x27: partial(self._native_max, ext=True),
            0x40: verify, 0x41: verify, 0x42: partial(self._verify, ext=True),
            0x70: self._seek,
            EXECUTE_DEVICE_DIAGNOSTIC: self._diagnose,
            0x91: self._set_geometry,  # INITIALIZE DEVICE PARAMETERS
            0x94: standby, 0x95: idle, 0x96: standby, 0x97: idle, 0x98: self._check_power, 0x99: standby,
            0xC6: self._set_multiple,
            0xE0: standby, 0xE1: idle, 0xE2: standby, 0xE3: idle, 0xE5: self._check_power,
            0xE6: standby,  # SLEEP: left by any command, not by a reset alone
            0xE7: self._flush, 0xEA: self._flush,
            0xEF: self._set_features,
            0xF8: partial(self._native_max, ext=False),
        }  # fmt: skip

    def _commands_with_data(self) -> dict[int, Callable[[], None]]:
        """READ and WRITE, with and without retries, 28 and 48 bits, by sectors and by blocks; IDENTIFY."""
        read, write = (
            partial(self._read, ext=False, multiple=False),
            partial(self._write, ext=False, multiple=False),
        )
        return {
            0x20: read, 0x21: read, 0x24: partial(self._read, ext=True, multiple=False),
            0x29: partial(self._read, ext=True, multiple=True),
            0x30: write, 0x31: write, 0x34: partial(self._write, ext=True, multiple=False),
            0x39: partial(self._write, ext=True, multiple=True),
            0xC4: partial(self._read, ext=False, multiple=True),
            0xC5: partial(self._write, ext=False, multiple=True),
            0xEC: self._identify,
        }  # fmt: skip

    # --- for the channel

    def execute(self, opcode: int) -> None:
        """The command register was written, and no transfer is under way."""
        self._registers.error = 0
        self._state.status = READY
        with_data = self._with_data.get(opcode)
        if with_data is not None:
            self._try(with_data)
        else:
            self._try(self._without_data.get(opcode, self._abort), self._interrupt)

    def reset(self) -> None:
        """After a reset: idle, passed, and with its signature in the registers."""
        self.stop()
        self._diagnose()
        self._state.status = READY

    def stop(self) -> None:
        """Leave the command and its transfer."""
        self._state.transfer = IDLE

    def read_data(self, size_bytes: int) -> int:
        """IN from the data port: one or two words. Without DRQ it reads as 0, by the byte as all ones."""
        state = self._state
        if size_bytes == 1:
            return 0xFF
        if state.transfer != TO_HOST:
            return 0
        begin = state.position
        if size_bytes > state.end - begin:  # of two cycles, the second belongs to the next block
            return self.read_data(2) | self.read_data(2) << 16
        state.position = end = begin + size_bytes
        value = int.from_bytes(self._buffer[begin:end], "little")
        if end == state.end:
            self._end_block()
        return value

    def write_data(self, size_bytes: int, value: int) -> None:
        """OUT to the data port. Without DRQ, and by the byte, it has no effect."""
        state = self._state
        if size_bytes == 1 or state.transfer != TO_DRIVE:
            return
        begin = state.position
        if size_bytes > state.end - begin:
            self.write_data(2, value & 0xFFFF)
            self.write_data(2, value >> 16)
            return
        state.position = end = begin + size_bytes
        self._buffer[begin:end] = value.to_bytes(size_bytes, "little")
        if end == state.end:
            self._end_block()

    # --- how commands end

    def _try(self, act: Callable[[], object], then: Callable[[], object] | None = None) -> None:
        try:
            act()
        except _CommandError as failure:
            self._state.transfer = IDLE
            self._state.status = DRDY | ERR | failure.fault
            self._registers.error = failure.error
            self._interrupt()
            return
        if then is not None:
            then()

    def _abort(self) -> None:
        """NOP, DMA, packet commands, and what is no command at all."""
        raise _CommandError(ABRT)

    def _nothing(self) -> None:
        """Done already."""

    # --- transfers

    def _begin(self, *, ext: bool) -> None:
        """Take address and count from the registers."""
        lba = self._registers.address(ext)
        if lba is None:
            raise _CommandError(IDNF)
        self._lba, self._n_left, self._ext = lba, self._registers.n_sectors(ext), ext
        self._power = POWER_ACTIVE_OR_IDLE

    def _begin_blocks(self, *, ext: bool, multiple: bool) -> None:
        if multiple and not self._multiple:
            raise _CommandError(ABRT)
        self._begin(ext=ext)
        self._n_per_block = self._multiple if multiple else 1

    def _advance_to(self, lba: int) -> None:
        """All sectors before this one are done."""
        self._n_left -= lba - self._lba
        self._lba = lba
        self._registers.show(lba, self._n_left, self._ext)

    def _limit(self, ext: bool) -> int:
        """The first LBA that a command cannot reach."""
        return self._n_sectors if ext else min(self._n_sectors, MAX_28BIT_SECTORS)

    def _n_existing(self, n: int) -> int:
        """How many of the next n sectors the disk has."""
        return max(0, min(n, self._limit(self._ext) - self._lba))

    def _require(self, n: int) -> None:
        n_existing = self._n_existing(n)
        if n_existing < n:
            self._advance_to(self._lba + n_existing)
            raise _CommandError(IDNF)

    def _from_disk(self, n: int) -> bytes:
        try:
            return self._disk.read(self._lba, n)
        except DiskError as error:
            self._advance_to(error.lba)
            raise _CommandError(UNC) from None

    def _request(self, transfer: int, n_bytes: int, after_block: Callable[[], None]) -> None:
        """Set DRQ: the host shall transfer a block, and then `after_block` goes on."""
        state = self._state
        state.position, state.end, state.transfer = 0, n_bytes, transfer
        state.status = READY | DRQ
        self._after_block = after_block

    def _end_block(self) -> None:
        self._state.transfer = IDLE
        self._state.status = READY
        self._try(self._after_block)

    def _offer(self, data: bytes, after_block: Callable[[], None]) -> None:
        """A block for the host to read; each raises an interrupt."""
        self._buffer[0 : len(data)] = data
        self._request(TO_HOST, len(data), after_block)
        self._interrupt()

    def _read(self, *, ext: bool, multiple: bool) -> None:
        self._begin_blocks(ext=ext, multiple=multiple)
        self._read_block()

    def _read_block(self) -> None:
        """The next block; there is no interrupt after the last one."""
        n = min(self._n_left, self._n_per_block)
        if n:
            self._require(n)
            data = self._from_disk(n)
            self._advance_to(self._lba + n)
            self._offer(data, self._read_block)

    def _write(self, *, ext: bool, multiple: bool) -> None:
        """The first block is asked for without an interrupt."""
        if self._disk.read_only:
            raise _CommandError(ABRT | WP)
        self._begin_blocks(ext=ext, multiple=multiple)
        self._ask_for_block()

    def _ask_for_block(self) -> None:
        n = min(self._n_left, self._n_per_block)
        self._request(TO_DRIVE, n * SECTOR_BYTES, self._write_block)

    def _write_block(self) -> None:
        """Store the block, as far as the disk has its sectors."""
        n = self._state.end // SECTOR_BYTES
        n_existing = self._n_existing(n)
        try:
            if n_existing:
                self._disk.write(self._lba, self._buffer[0 : n_existing * SECTOR_BYTES])
        except DiskError as error:
            self._advance_to(error.lba)
            raise _CommandError(ABRT, DF) from None
        self._advance_to(self._lba + n_existing)
        if n_existing < n:
            raise _CommandError(IDNF)
        if self._n_left:
            self._ask_for_block()
        elif not self._write_cache:
            self._flush()
        self._interrupt()

    def _identify(self) -> None:
        data = identify(self._n_sectors, self._registers.geometry, self._multiple, self._write_cache)
        self._offer(data, self._nothing)

    # --- commands without data

    def _verify(self, *, ext: bool) -> None:
        self._begin(ext=ext)
        while self._n_left:
            n = self._n_existing(min(self._n_left, VERIFY_SECTORS))
            if not n:
                self._require(1)
            self._from_disk(n)
            self._advance_to(self._lba + n)

    def _seek(self) -> None:
        lba = self._registers.address(ext=False)
        if lba is None or lba >= self._limit(ext=False):
            raise _CommandError(IDNF)

    def _native_max(self, *, ext: bool) -> None:
        self._registers.show_address(self._limit(ext) - 1, ext)

    def _diagnose(self) -> None:
        self._registers.set_signature()
        self._registers.error = PASSED

    def _set_geometry(self) -> None:
        if not self._registers.count:
            raise _CommandError(ABRT)
        geometry = self._registers.geometry
        geometry.n_heads, geometry.sectors_per_track = self._registers.head + 1, self._registers.count

    def _set_multiple(self) -> None:
        """Powers of two up to 16; 0 switches READ and WRITE MULTIPLE off."""
        n = self._registers.count
        if n > MAX_MULTIPLE or n & n - 1:
            raise _CommandError(ABRT)
        self._multiple = n

    def _set_power(self, mode: int) -> None:
        """The timers of IDLE and STANDBY never run out; entering standby flushes."""
        if mode == POWER_STANDBY:
            self._flush()
        self._power = mode

    def _check_power(self) -> None:
        self._registers.count = self._power

    def _flush(self) -> None:
        try:
            self._disk.flush()
        except DiskError:
            raise _CommandError(ABRT, DF) from None

    def _set_features(self) -> None:
        """The write cache, and the PIO modes; the rest is not offered by IDENTIFY DEVICE."""
        features, count = self._registers.features, self._registers.count
        if features == 0x02:
            self._write_cache = True
        elif features == 0x82:
            self._flush()
            self._write_cache = False
        elif features != 0x03 or count not in (0x00, 0x01, 0x08, 0x09, 0x0A, 0x0B, 0x0C):
            raise _CommandError(ABRT)
