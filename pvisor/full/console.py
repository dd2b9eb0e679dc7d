# SPDX-License-Identifier: GPL-2.0-or-later
"""The PC's serial port: a 16550A UART at I/O port 0x3f8, polled. Twin of para/console.py.

Source: the PC16550D data sheet. A byte leaves at once, so the transmitter is always empty; bytes from the
host arrive as ConsoleInput says. No interrupt line is wired, so IER is kept but nothing is raised.
"""

from __future__ import annotations

from collections.abc import Callable

from pvisor.machine.console import ConsoleInput, ConsoleOutput

COM1 = 0x3F8
N_IOPORTS = 8

DATA, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR = range(8)
LCR_DLAB = 0x80
LSR_DATA_READY, LSR_OVERRUN, LSR_THR_EMPTY, LSR_IDLE = 0x01, 0x02, 0x20, 0x40
IIR_NO_INTERRUPT, IIR_FIFOS = 0x01, 0xC0
MCR_LOOPBACK = 0x10
MSR_CTS, MSR_DSR, MSR_DCD = 0x10, 0x20, 0x80
FIFO_BYTES = 16


class Uart:
    """One 16550A. `now` gives the virtual time of the access in nanoseconds."""

    widest_bytes = 1

    def __init__(self, output: ConsoleOutput, input: ConsoleInput, now: Callable[[], int]) -> None:
        self._output = output
        self._input = input
        self._now = now
        self._registers = {IER: 0, LCR: 0, MCR: 0, SCR: 0}
        self._divisor = 1
        self._fifos_on = False
        self._looped = bytearray()
        self._overrun = False

    def read(self, offset: int, size_bytes: int) -> int:
        """A register; with DLAB set the first two are the divisor."""
        if self._registers[LCR] & LCR_DLAB and offset <= IER:
            return self._divisor >> 8 * offset & 0xFF
        if offset == DATA:
            return self._receive()
        if offset == IIR_FCR:
            return IIR_NO_INTERRUPT | (IIR_FIFOS if self._fifos_on else 0)
        if offset == LSR:
            return self._line_status()
        if offset == MSR:
            return self._modem_status()
        return self._registers[offset]

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """A register; with DLAB set the first two are the divisor. LSR and MSR are not for writing."""
        if self._registers[LCR] & LCR_DLAB and offset <= IER:
            self._divisor = self._divisor & ~(0xFF << 8 * offset) | value << 8 * offset
        elif offset == DATA:
            self._send(value)
        elif offset == IIR_FCR:
            self._fifos_on = bool(value & 1)
            if value & 2:
                self._looped.clear()
        elif offset in (LSR, MSR):
            return
        else:
            self._registers[offset] = value & (0x0F if offset == IER else 0x1F if offset == MCR else 0xFF)

    def _line_status(self) -> int:
        """LSR; reading it clears the overrun."""
        overrun, self._overrun = LSR_OVERRUN if self._overrun else 0, False
        return LSR_THR_EMPTY | LSR_IDLE | overrun | (LSR_DATA_READY if self._has_data() else 0)

    def _send(self, value: int) -> None:
        if self._registers[MCR] & MCR_LOOPBACK:
            self._loop_back(value)
        else:
            self._output.write(bytes((value,)))

    def _loop_back(self, value: int) -> None:
        """A full FIFO keeps what it has, the single register takes the new byte; both are an overrun."""
        if len(self._looped) == (FIFO_BYTES if self._fifos_on else 1):
            self._overrun = True
            if self._fifos_on:
                return
            self._looped.clear()
        self._looped.append(value)

    def _has_data(self) -> bool:
        if self._registers[MCR] & MCR_LOOPBACK:
            return bool(self._looped)
        return self._input.has_arrived(self._now())

    def _receive(self) -> int:
        if self._registers[MCR] & MCR_LOOPBACK:
            return self._looped.pop(0) if self._looped else 0
        data = self._input.take(self._now(), 1)
        return data[0] if data else 0

    def _modem_status(self) -> int:
        """In loopback the modem outputs come back: RTS as CTS, DTR as DSR, OUT1 as RI, OUT2 as DCD."""
        mcr = self._registers[MCR]
        if mcr & MCR_LOOPBACK:
            return (mcr & 2) << 3 | (mcr & 1) << 5 | (mcr & 4) << 4 | (mcr & 8) << 4
        return MSR_CTS | MSR_DSR | MSR_DCD
