# SPDX-License-Identifier: GPL-2.0-or-later
"""The PC's serial port: a 16550A UART at I/O port 0x3f8, IRQ 4. Twin of para/console.py.

Source: the PC16550D data sheet (National, 1995), section 8; its wiring on a PC: the IBM 5150 Technical
Reference, where OUT2 gates the interrupt. The line's two ends differ:

- A byte leaves at once, so the transmitter is always empty. Bytes are gathered and written together, after
  FLUSH_NS at the latest (ConsoleOutput.gather_from). The host takes whole bytes, whatever LCR says.
- Bytes of the host come at their virtual times, and are held back where there is no room, as by a host that
  honours flow control: they never overrun. One is received when the guest looks (at RBR or LSR) or when it
  has asked for interrupts, so none is lost that was not there to be seen. No byte comes damaged.
- To a kernel of which it is known that its driver receives by interrupts, with the FIFOs on, the host sends
  nothing before both is so: drivers empty the receiver when they begin, as nobody has typed yet on a PC.

The state is one struct that the native handlers of native/console.c work on, too.
"""

from __future__ import annotations

import time
from typing import Any

from pvisor.cpu.shim import ffi
from pvisor.machine.alarm import Alarm
from pvisor.machine.console import ConsoleInput, ConsoleOutput
from pvisor.machine.input_watch import InputWatch
from pvisor.machine.lines import Line
from pvisor.machine.timers import Timers

COM1 = 0x3F8
N_IOPORTS = 8
IRQ = 4

DATA, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR = range(8)
IER_RECEIVED, IER_THR_EMPTY, IER_LINE, IER_MODEM = 1, 2, 4, 8
IIR_MODEM, IIR_NONE, IIR_THR_EMPTY, IIR_RECEIVED, IIR_LINE, IIR_TIMEOUT = 0, 1, 2, 4, 6, 12
IIR_FIFOS = 0xC0
FCR_ENABLE, FCR_CLEAR_RECEIVER, FCR_CLEAR_TRANSMITTER = 1, 2, 4
LCR_TWO_STOP_BITS, LCR_PARITY, LCR_DLAB = 0x04, 0x08, 0x80
MCR_OUT2, MCR_LOOPBACK = 0x08, 0x10
LSR_DATA_READY, LSR_OVERRUN, LSR_THR_EMPTY, LSR_IDLE = 0x01, 0x02, 0x20, 0x40
MSR_CTS, MSR_DSR, MSR_RI, MSR_DCD = 0x10, 0x20, 0x40, 0x80
MSR_DELTAS, MSR_TRAILING_RI = 0x0F, 0x04
FIFO_BYTES = 16
TRIGGER_BYTES = (1, 4, 8, 14)
"""By the two upper bits of FCR."""
TIMEOUT_CHARACTERS = 4
BAUD_CLOCK_HZ = 1_843_200
"""The PC's crystal; a bit takes 16 of its ticks times the divisor."""
DIVISOR_AT_RESET = 12
"""9600 baud, as QEMU's has it; the data sheet leaves the latch undefined."""
FLUSH_NS = 1_000_000
"""Virtual time that a byte may wait for others before it is written."""
NEVER = (1 << 64) - 1


class Uart:
    """One 16550A. `state` is for the engine (PV_DEVICE_CONSOLE), `watch` for a run loop whose guest idles."""

    widest_bytes = 1

    def __init__(
        self, output: ConsoleOutput, input: ConsoleInput, timers: Timers, irq: Line, *,
        awaits_driver: bool = False,
    ) -> None:  # fmt: skip
        self.state: Any = ffi.new("pv_uart *")
        self._out_bytes = len(self.state.out)
        self._output = output
        self._input = input
        self._timers = timers
        self._irq = irq
        self._awaits_driver = awaits_driver
        self.watch = InputWatch(input, timers, self._look)
        self._idle_receiver = Alarm(timers, self._look)
        self._flush_deadline = timers.own(output.flush)
        self.state.deadline = self._flush_deadline.index
        output.gather_from(self._gathered)
        self.reset()

    def reset(self) -> None:
        """As SeaBIOS leaves it: like a reset, but OUT2 set, as QEMU's is. What waits in the FIFO is lost."""
        self._divisor = DIVISOR_AT_RESET
        self._trigger_bytes = TRIGGER_BYTES[0]
        self._received = bytearray()
        self._last_read = 0
        self._timed_out = False
        self._timeout_ns = NEVER
        self._is_heard = not self._awaits_driver
        s = self.state
        s.ier = s.lcr = s.scr = 0
        s.fifos_on = s.thr_empty_pending = False
        s.mcr = MCR_OUT2
        s.lsr = LSR_THR_EMPTY | LSR_IDLE
        s.msr = MSR_CTS | MSR_DSR | MSR_DCD
        self._plan()
        self._update()

    @property
    def has_pending(self) -> bool:
        """Are there bytes that the console has not got yet?"""
        return bool(self.state.n_out)

    # --- registers

    def read(self, offset: int, size_bytes: int) -> int:
        """A register; with DLAB set the first two are the divisor."""
        s = self.state
        if s.lcr & LCR_DLAB and offset <= IER:
            return self._divisor >> 8 * offset & 0xFF
        if offset == DATA:
            return self._read_data()
        if offset == IER:
            return int(s.ier)
        if offset == IIR_FCR:
            return self._read_identification()
        if offset == LSR:
            return self._read_line_status()
        if offset == MSR:
            return self._read_modem_status()
        return int(s.lcr if offset == LCR else s.mcr if offset == MCR else s.scr)

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """A register; with DLAB set the first two are the divisor. LSR and MSR are not for writing."""
        s = self.state
        if s.lcr & LCR_DLAB and offset <= IER:
            self._divisor = self._divisor & ~(0xFF << 8 * offset) | value << 8 * offset
        elif offset == DATA:
            self._send(value)
        elif offset == IER:
            self._write_enables(value & 0x0F)
        elif offset == IIR_FCR:
            self._write_fifo_control(value)
        elif offset == LCR:
            s.lcr = value
        elif offset == MCR:
            self._write_modem_control(value & 0x1F)
        elif offset == SCR:
            s.scr = value

    def _read_identification(self) -> int:
        """IIR; reading it takes the cause "THR is empty" away, and no other (table 5)."""
        if self.state.ier & IER_RECEIVED:
            self._look_if_due()
        value = int(self.state.iir)
        if value & ~IIR_FIFOS == IIR_THR_EMPTY:
            self.state.thr_empty_pending = False
            self._update()
        return value

    def _read_line_status(self) -> int:
        """LSR; reading it clears the overrun."""
        self._look_if_due()
        value = int(self.state.lsr)
        if value & LSR_OVERRUN:
            self.state.lsr = value & ~LSR_OVERRUN
            self._update()
        return value

    def _read_modem_status(self) -> int:
        """MSR; reading it clears what tells of changes."""
        value = int(self.state.msr)
        if value & MSR_DELTAS:
            self.state.msr = value & ~MSR_DELTAS
            self._update()
        return value

    def _write_enables(self, value: int) -> None:
        """IER. THR is empty when its interrupt is enabled, so it comes at once; once for each enabling."""
        if (value ^ self.state.ier) & IER_THR_EMPTY:
            self.state.thr_empty_pending = bool(value & IER_THR_EMPTY)
        self.state.ier = value
        self._see_driver()
        if value & IER_RECEIVED:
            self._look_if_due()
        self._plan()
        self._update()

    def _write_fifo_control(self, value: int) -> None:
        """FCR. Without its bit 0 the others do not count; switching the FIFOs on or off empties them."""
        fifos_on = bool(value & FCR_ENABLE)
        if fifos_on != bool(self.state.fifos_on):
            value |= FCR_CLEAR_RECEIVER | FCR_CLEAR_TRANSMITTER
        elif not fifos_on:
            return
        self.state.fifos_on = fifos_on
        self._see_driver()
        self._trigger_bytes = TRIGGER_BYTES[value >> 6] if fifos_on else 1
        if value & FCR_CLEAR_RECEIVER:
            self._received.clear()
            self._timed_out = False
        if value & FCR_CLEAR_TRANSMITTER and self.state.ier & IER_THR_EMPTY:
            self.state.thr_empty_pending = True
        self._plan()
        self._update()

    def _write_modem_control(self, value: int) -> None:
        """MCR. In loopback its outputs are the modem's inputs: DTR is DSR, RTS CTS, OUT1 RI, OUT2 DCD."""
        s = self.state
        s.mcr = value
        now = MSR_CTS | MSR_DSR | MSR_DCD
        if value & MCR_LOOPBACK:
            now = (value & 1) << 5 | (value & 2) << 3 | (value & 0x0C) << 4
        before = int(s.msr)
        changed = (now ^ before) >> 4 & MSR_DELTAS & ~MSR_TRAILING_RI
        if before & ~now & MSR_RI:
            changed |= MSR_TRAILING_RI
        s.msr = now | before & MSR_DELTAS | changed
        self._plan()
        self._update()

    # --- the transmitter

    def _send(self, value: int) -> None:
        s = self.state
        if s.ier & IER_THR_EMPTY:  # no longer empty: the line falls, and rises anew when the byte has left
            self.state.thr_empty_pending = False
            self._update()
            self.state.thr_empty_pending = True
        if s.mcr & MCR_LOOPBACK:
            self._loop_back(value & (0x20 << (s.lcr & 3)) - 1)
        else:
            self._gather(value)
        if s.ier & IER_THR_EMPTY:
            self._update()

    def _gather(self, value: int) -> None:
        s = self.state
        if s.n_out >= self._out_bytes:
            self._output.flush()
        if not s.n_out:
            self._flush_deadline.set(self._timers.now() + FLUSH_NS)
        s.out[s.n_out] = value
        s.n_out += 1
        if value == 0x0A:
            s.newline_host_ns = time.monotonic_ns()

    def _gathered(self) -> tuple[bytes, int]:
        """For ConsoleOutput: the bytes so far, and when the last was sent: exactly, where it ends a line."""
        s = self.state
        if not s.n_out:
            return b"", 0
        data = bytes(ffi.buffer(s.out, s.n_out))
        s.n_out = 0
        self._flush_deadline.set(None)
        return data, int(s.newline_host_ns) if data[-1] == 0x0A else time.monotonic_ns()

    # --- the receiver

    def _loop_back(self, value: int) -> None:
        """A full FIFO keeps what it has, the single register takes the new byte; both are an overrun."""
        if len(self._received) == self._capacity:
            self.state.lsr |= LSR_OVERRUN
            if not self.state.fifos_on:
                self._received[0] = value
        else:
            self._received.append(value)
            self._restart_timeout()
        self._plan()
        self._update()

    def _read_data(self) -> int:
        """RBR. An empty FIFO gives 0, the single register what it gave before."""
        self._look_if_due()
        if not self._received:
            return 0 if self.state.fifos_on else self._last_read
        self._last_read = self._received.pop(0)
        self._timed_out = False
        self._restart_timeout()
        self._plan()
        self._update()
        return self._last_read

    def _see_driver(self) -> None:
        s = self.state
        self._is_heard = self._is_heard or bool(s.fifos_on and s.ier & IER_RECEIVED)

    def _look_if_due(self) -> None:
        if self._timers.now() >= self.state.look_ns:
            self._look()

    def _look(self) -> None:
        """Receive what has come, as far as there is room; see whether the receiver has been idle too long."""
        now = self._timers.now()
        room = self._room
        if room:
            data = self._input.take(now, room)
            if data:
                self._received += data
                self._restart_timeout()
        if self.state.fifos_on and self._received and now >= self._timeout_ns:
            self._timed_out = True
        self._plan()
        self._update()

    @property
    def _capacity(self) -> int:
        return FIFO_BYTES if self.state.fifos_on else 1

    @property
    def _room(self) -> int:
        """How many bytes the host may send; in loopback none, SIN is cut off."""
        is_open = self._is_heard and not self.state.mcr & MCR_LOOPBACK
        return self._capacity - len(self._received) if is_open else 0

    def _restart_timeout(self) -> None:
        """Four characters' time at the line's speed, from now: each byte in and each read restart it."""
        lcr = self.state.lcr
        n_bits = 7 + (lcr & 3) + bool(lcr & LCR_PARITY) + bool(lcr & LCR_TWO_STOP_BITS)
        ticks = TIMEOUT_CHARACTERS * n_bits * 16 * (self._divisor or 1)
        self._timeout_ns = self._timers.now() + ticks * 1_000_000_000 // BAUD_CLOCK_HZ

    def _plan(self) -> None:
        """When the receiver must be looked at next: for whoever reads it, and for its interrupts."""
        s = self.state
        arrival_ns = self._input.next_arrival_ns(self._timers.now()) if self._room else None
        waits = self.state.fifos_on and self._received and not self._timed_out
        timeout_ns = self._timeout_ns if waits else None
        s.look_ns = min(NEVER if due is None else due for due in (arrival_ns, timeout_ns))
        raises = bool(s.ier & IER_RECEIVED)
        self.watch.set(arrival_ns if raises else None)
        self._idle_receiver.set(timeout_ns if raises else None)

    # --- the interrupt

    def _update(self) -> None:
        """What is seen of the present state: data ready, the most urgent cause, the line."""
        s = self.state
        s.lsr = s.lsr | LSR_DATA_READY if self._received else s.lsr & ~LSR_DATA_READY
        s.received_cause = self._received_cause()
        cause = self._cause()
        s.iir = cause | (IIR_FIFOS if s.fifos_on else 0)
        self._irq(cause != IIR_NONE and bool(s.mcr & MCR_OUT2))

    def _received_cause(self) -> int:
        """Of the two of the second rank (table 5) the time-out comes first, as in QEMU."""
        if self._timed_out:
            return IIR_TIMEOUT
        return IIR_RECEIVED if len(self._received) >= self._trigger_bytes else IIR_NONE

    def _cause(self) -> int:
        """By the ranks of table 5."""
        s = self.state
        enabled = s.ier
        if enabled & IER_LINE and s.lsr & LSR_OVERRUN:
            return IIR_LINE
        if enabled & IER_RECEIVED and s.received_cause != IIR_NONE:
            return int(s.received_cause)
        if enabled & IER_THR_EMPTY and s.thr_empty_pending:
            return IIR_THR_EMPTY
        if enabled & IER_MODEM and s.msr & MSR_DELTAS:
            return IIR_MODEM
        return IIR_NONE
