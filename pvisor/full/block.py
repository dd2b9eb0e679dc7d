# SPDX-License-Identifier: GPL-2.0-or-later
"""The PC's disk: an ATA channel with one drive, by PIO, at I/O ports 0x1f0-0x1f7 and 0x3f6, IRQ 14.

Source: T13/1410D (ATA/ATAPI-6). This file is the host's side: I/O ports, selection, reset, the interrupt.
The commands are in block_drive.py, the registers in block_registers.py. The secondary channel, and the
primary one of a PC without a disk, are in block_empty.py.

Drive 1 is never there. As the standard has it for a lone drive 0, its status reads as 0, its other registers
are those of drive 0, and commands for it have no effect but EXECUTE DEVICE DIAGNOSTIC.

Time: a command and each block of it are ready at once, so that polling costs a guest nothing. The interrupt
comes INTERRUPT_NS later, for on a PC a driver that begins a command has gone to wait meanwhile. A guest that
reads the status earlier finds the drive ready, and the interrupt comes there and then.

At the guest's entry the firmware has found the drive and left it ready: its interrupt is enabled, none is
pending, and drive 0 is selected (SeaBIOS leaves drive 1 selected, the last it looked for; a driver that waits
for a ready drive before it chooses one would wait for ever).
"""

from __future__ import annotations

from typing import Any

from pvisor.cpu.shim import ffi
from pvisor.full.block_drive import BSY, EXECUTE_DEVICE_DIAGNOSTIC, IDLE, AtaDrive
from pvisor.full.block_identify import N_HEADS, SECTORS_PER_TRACK
from pvisor.full.block_registers import COMMAND, STATUS, CommandRegisters, Geometry
from pvisor.machine.disk import DiskImage
from pvisor.machine.ioports import IoPortBus
from pvisor.machine.lines import Line
from pvisor.machine.timers import Timer, Timers

DATA_PORT, COMMAND_BLOCK, CONTROL = 0x1F0, 0x1F1, 0x3F6
INTERRUPT_NS = 5_000
"""Virtual time from a drive's wish to the edge of its line."""
CONTROL_HOB, CONTROL_SRST, CONTROL_NIEN = 0x80, 0x04, 0x02


class AtaChannel:
    """The primary channel with a disk as drive 0. `line` is INTRQ; `state` is for the native handlers."""

    def __init__(self, disk: DiskImage, line: Line, timers: Timers) -> None:
        self.state: Any = ffi.new("pv_ata *")
        self._intrq = _Intrq(self.state, line, timers)
        self._registers = CommandRegisters(Geometry(N_HEADS, SECTORS_PER_TRACK))
        self._drive = AtaDrive(disk, self.state, self._registers, self._intrq.request)
        self._control = 0
        self.data_port = _DataPort(self._drive)
        self.command_block = _CommandBlock(self)
        self.control_block = _ControlBlock(self)

    def attach_to(self, ioports: IoPortBus) -> None:
        """Take the I/O ports of a PC's primary channel."""
        ioports.attach(DATA_PORT, 1, self.data_port)
        ioports.attach(COMMAND_BLOCK, 7, self.command_block)
        ioports.attach(CONTROL, 1, self.control_block)

    # --- the command block

    def read(self, register: int) -> int:
        """A register of the command block but DATA. Reading STATUS acknowledges the interrupt."""
        if register != STATUS:
            return self._registers.read(register, bool(self._control & CONTROL_HOB))
        status = self.alternate_status
        if not self.state.is_absent_selected:
            self._intrq.acknowledge()
        return status

    def write(self, register: int, value: int) -> None:
        """Any write clears HOB. A busy drive, or one in a transfer, takes nothing."""
        self._control &= ~CONTROL_HOB
        if self._control & CONTROL_SRST or self.state.transfer != IDLE:
            return
        if register != COMMAND:
            self._registers.write(register, value)
        elif not self.state.is_absent_selected or value == EXECUTE_DEVICE_DIAGNOSTIC:
            self._intrq.withdraw()
            self._drive.execute(value)
        self.state.is_absent_selected = self._registers.is_device_1

    # --- the control block

    @property
    def alternate_status(self) -> int:
        """The status, without an effect on the interrupt; 0 is that of the drive that is not there."""
        return 0 if self.state.is_absent_selected else int(self.state.status)

    def control(self, value: int) -> None:
        """DEVICE CONTROL: HOB, SRST, nIEN. It is both drives' register, whichever is selected."""
        before, self._control = self._control, value & (CONTROL_HOB | CONTROL_SRST | CONTROL_NIEN)
        if value & CONTROL_SRST and not before & CONTROL_SRST:
            self._drive.stop()
            self._intrq.withdraw()
            self.state.status, self.state.is_absent_selected = BSY, 0
        elif before & CONTROL_SRST and not value & CONTROL_SRST:
            self._drive.reset()
        self._intrq.disable(bool(value & CONTROL_NIEN))


class _Intrq:
    """INTRQ: the drive's wish for attention, pending until the status is read or a command comes.

    At most one deadline is out at a time, however often the guest takes and leaves interrupts.
    """

    def __init__(self, state: Any, line: Line, timers: Timers) -> None:
        self._state = state
        self._line = line
        self._timers = timers
        self._timer: Timer | None = None
        self._due_ns: int | None = None

    def request(self) -> None:
        """The drive wants the host. A wish that is pending already stays as it is."""
        if self._state.interrupt_pending:
            return
        self._state.interrupt_pending = 1
        if not self._state.interrupt_disabled:
            self._due_ns = self._timers.now() + INTERRUPT_NS
            if self._timer is None:
                self._timer = self._timers.at(self._due_ns, self._on_time)

    def acknowledge(self) -> None:
        """The host has read the status. A line that had yet to rise does so now, for the edge is owed."""
        if self._due_ns is not None:
            self._line(True)
        self.withdraw()

    def withdraw(self) -> None:
        """Nothing is pending any more."""
        self._state.interrupt_pending = 0
        self._lower()

    def disable(self, disabled: bool) -> None:
        """nIEN keeps the line low; what is pending stays so, and shows when nIEN is cleared."""
        was_disabled, self._state.interrupt_disabled = self._state.interrupt_disabled, disabled
        if disabled:
            self._lower()
        elif was_disabled and self._state.interrupt_pending:
            self._line(True)

    def _lower(self) -> None:
        self._due_ns = None
        self._line(False)

    def _on_time(self) -> None:
        self._timer = None
        if self._due_ns is None:
            return
        if self._timers.now() < self._due_ns:
            self._timer = self._timers.at(self._due_ns, self._on_time)
        else:
            self._due_ns = None
            self._line(True)


class _DataPort:
    """Two words at a time go as two cycles of 16 bits, one after the other."""

    widest_bytes = 4

    def __init__(self, drive: AtaDrive) -> None:
        self._drive = drive

    def read(self, offset: int, size_bytes: int) -> int:
        """IN."""
        return self._drive.read_data(size_bytes)

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """OUT."""
        self._drive.write_data(size_bytes, value)


class _CommandBlock:
    """The seven registers after DATA."""

    widest_bytes = 1

    def __init__(self, channel: AtaChannel) -> None:
        self._channel = channel

    def read(self, offset: int, size_bytes: int) -> int:
        """IN."""
        return self._channel.read(1 + offset)

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """OUT."""
        self._channel.write(1 + offset, value)


class _ControlBlock:
    """ALTERNATE STATUS when read, DEVICE CONTROL when written."""

    widest_bytes = 1

    def __init__(self, channel: AtaChannel) -> None:
        self._channel = channel

    def read(self, offset: int, size_bytes: int) -> int:
        """IN."""
        return self._channel.alternate_status

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """OUT."""
        self._channel.control(value)
