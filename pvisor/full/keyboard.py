# SPDX-License-Identifier: GPL-2.0-or-later
"""The i8042 keyboard controller at I/O ports 0x60 and 0x64, IRQ 1: keyboard, A20 gate, reset line.

Source: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device Controller"; where it
leaves room, QEMU's hw/input/pckbd.c. As there, bits 3 and 4 of the status always read 1, and the system flag
is set by the self-test, not by the command byte. There is a socket for a mouse, and nothing in it.

Typed bytes become key strokes one at a time, when all before has been fetched. Nobody types for a guest that
is not there yet: a kernel that is still about to set up its interrupts would lose the first key, and with it
the interrupts of all others; one that empties the buffer first would swallow the rest. So a byte waits until
its interrupt would be taken (`is_heard`), or until the guest polls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pvisor.cpu.shim import ffi
from pvisor.full.keys import ARROWS, BREAK, TRANSLATION, strokes_of, strokes_of_key
from pvisor.full.ps2 import Ps2Keyboard
from pvisor.machine.console import ConsoleInput
from pvisor.machine.input_watch import InputWatch
from pvisor.machine.lines import Line
from pvisor.machine.timers import Timers

DATA_IOPORT, COMMAND_IOPORT = 0x60, 0x64
IRQ = 1

STATUS_FULL, STATUS_SYSTEM, STATUS_ALWAYS, STATUS_AUX, STATUS_TIMEOUT = 0x01, 0x04, 0x18, 0x20, 0x40
KEYBOARD_INTERRUPT, KEYBOARD_OFF, AUX_OFF, TRANSLATE = 0x01, 0x10, 0x20, 0x40
"""Bits of the command byte. Bit 1 would be the mouse's interrupt."""
AT_ENTRY = TRANSLATE | AUX_OFF | KEYBOARD_INTERRUPT
"""The command byte that SeaBIOS leaves."""

READ_COMMAND_BYTE, WRITE_COMMAND_BYTE = 0x20, 0x60
AUX_DISABLE, AUX_ENABLE, AUX_TEST, SELF_TEST, KEYBOARD_TEST, KEYBOARD_DISABLE, KEYBOARD_ENABLE = (
    0xA7, 0xA8, 0xA9, 0xAA, 0xAB, 0xAD, 0xAE)  # fmt: skip
READ_INPUT_PORT, READ_OUTPUT_PORT, WRITE_OUTPUT_PORT = 0xC0, 0xD0, 0xD1
WRITE_OUTPUT_BUFFER, WRITE_AUX_OUTPUT_BUFFER, WRITE_AUX = 0xD2, 0xD3, 0xD4
CLOSE_A20, OPEN_A20, PULSE = 0xDD, 0xDF, 0xF0
WITH_ARGUMENT = frozenset((WRITE_COMMAND_BYTE, WRITE_OUTPUT_PORT, *range(WRITE_OUTPUT_BUFFER, WRITE_AUX + 1)))

SELF_TEST_OK, TEST_OK, NO_ANSWER = 0x55, 0x00, 0xFE
INPUT_PORT = 0x80
"""Keyboard not locked."""
OUT_NOT_RESET, OUT_A20, OUT_FULL, OUT_AUX_FULL = 0x01, 0x02, 0x10, 0x20
OUT_AT_ENTRY = 0xCF
ESCAPE_BYTE = b"\x1b"

N_READS_OF_A_POLL = 16
"""A guest that reads so often in a row, and finds nothing, waits for a key."""
UNHEARD_NS = 1_000_000
"""Virtual time after which a byte that would not be heard is tried again."""
NEVER = (1 << 64) - 1


class Register:
    """One of the controller's two I/O ports: a byte to read, a byte to write."""

    widest_bytes = 1

    def __init__(self, read: Callable[[], int], write: Callable[[int], object]) -> None:
        self._read = read
        self._write = write

    def read(self, offset: int, size_bytes: int) -> int:
        """IN."""
        return self._read()

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """OUT."""
        self._write(value)


class KeyboardController:
    """An i8042 with a keyboard. `data` belongs at I/O port 0x60, `command` at 0x64.

    `on_reset` is called when the guest pulls the reset line, `set_a20` with True to open the gate; `is_heard`
    tells whether the CPU would take the interrupt now; `watch` is for the run loop of an idle guest; `state`
    is for native handlers (PV_DEVICE_I8042). Between the two I/O ports lies 0x61, which is not this chip's.
    """

    def __init__(
        self,
        irq: Line,
        timers: Timers,
        input: ConsoleInput,
        on_reset: Callable[[], object],
        set_a20: Callable[[bool], object],
        is_heard: Callable[[], bool] = lambda: True,
    ) -> None:
        self.state: Any = ffi.new("pv_i8042 *")
        self._irq = irq
        self._timers = timers
        self._input = input
        self._on_reset = on_reset
        self._set_a20 = set_a20
        self._is_heard = is_heard
        self.data = Register(self._read_data, self._write_data)
        self.command = Register(self._read_status, self._write_command)
        self.watch = InputWatch(input, timers, self._look_if_heard)
        self.reset()

    def reset(self) -> None:
        """As SeaBIOS leaves it: self-test passed, keyboard enabled, translating to set 1, interrupts on."""
        self.keyboard = Ps2Keyboard()
        self._mode = AT_ENTRY
        self._output_port = OUT_AT_ENTRY
        self._flags = STATUS_ALWAYS | STATUS_SYSTEM
        self._full = 0
        self._buffer = 0
        self._reply: tuple[int, int] | None = None
        self._awaits: int | None = None
        self._look_ns: int | None = 0
        self._n_reads = 0
        self._refill()

    # --- 0x64

    def _read_status(self) -> int:
        self._look_if_due()
        return self._flags | self._full

    def _write_command(self, value: int) -> None:
        """A command; a command that no one knows has no effect. It ends one that waits for its argument."""
        self._awaits = None
        self._n_reads = 0
        if value in WITH_ARGUMENT:
            self._awaits = value
        elif value == READ_COMMAND_BYTE:
            self._answer(self._mode)
        elif value == AUX_DISABLE:
            self._mode |= AUX_OFF
        elif value == AUX_ENABLE:
            self._mode &= ~AUX_OFF
        elif value in (AUX_TEST, KEYBOARD_TEST):
            self._answer(TEST_OK)
        elif value == SELF_TEST:
            self._flags |= STATUS_SYSTEM
            self._answer(SELF_TEST_OK)
        elif value == KEYBOARD_DISABLE:
            self._set_mode(self._mode | KEYBOARD_OFF)
        elif value == KEYBOARD_ENABLE:
            self._set_mode(self._mode & ~KEYBOARD_OFF)
        elif value == READ_INPUT_PORT:
            self._answer(INPUT_PORT)
        elif value == READ_OUTPUT_PORT:
            self._answer(self._read_output_port())
        elif value in (OPEN_A20, CLOSE_A20):
            self._gate_a20(value == OPEN_A20)
        elif value >= PULSE and not value & OUT_NOT_RESET:
            self._on_reset()

    # --- 0x60

    def _read_data(self) -> int:
        """The output buffer; what was in it last, when it is empty. Reading makes room for the next byte."""
        self._look_if_due()
        value = self._buffer
        if self._full:
            self._full = 0
            self._set_line()
            self._refill()
        return value

    def _write_data(self, value: int) -> None:
        """The argument of a command, or else a byte for the keyboard, which that enables again."""
        awaits, self._awaits = self._awaits, None
        self._n_reads = 0
        if awaits is None:
            self._mode &= ~KEYBOARD_OFF
            self.keyboard.command(value)
            self._refill()
        elif awaits == WRITE_COMMAND_BYTE:
            self._set_mode(value)
        elif awaits == WRITE_OUTPUT_PORT:
            self._output_port = value
            self._gate_a20(bool(value & OUT_A20))
            if not value & OUT_NOT_RESET:
                self._on_reset()
        elif awaits == WRITE_OUTPUT_BUFFER:
            self._answer(value)
        elif awaits == WRITE_AUX_OUTPUT_BUFFER:
            self._answer(value, STATUS_AUX)
        else:  # for the mouse that is not there: nobody acknowledges
            self._answer(NO_ANSWER, STATUS_AUX | STATUS_TIMEOUT)

    # --- inside

    def _set_mode(self, value: int) -> None:
        self._mode = value
        self._set_line()
        self._refill()

    def _gate_a20(self, is_open: bool) -> None:
        self._output_port = self._output_port & ~OUT_A20 | (OUT_A20 if is_open else 0)
        self._set_a20(is_open)

    def _read_output_port(self) -> int:
        full = (OUT_FULL if self._full else 0) | (OUT_AUX_FULL if self._full & STATUS_AUX else 0)
        return self._output_port & ~(OUT_FULL | OUT_AUX_FULL) | full

    def _answer(self, value: int, flags: int = 0) -> None:
        """The controller's own byte goes before the keyboard's; it waits for one that has not been read."""
        self._reply = (value, flags)
        self._refill()

    def _refill(self) -> None:
        """Put the next byte into the output buffer, if that is empty and there is one."""
        if not self._full:
            if self._reply is not None:
                self._buffer, flags = self._reply
                self._reply = None
                self._full = STATUS_FULL | flags
            elif not self._mode & KEYBOARD_OFF and self.keyboard.has_byte:
                self._buffer = self._from_keyboard()
                self._full = STATUS_FULL
        self._set_line()
        self._plan()

    def _from_keyboard(self) -> int:
        """With TRANSLATE, each byte of the keyboard is made one of set 1, replies too; releases set bit 7."""
        value = self.keyboard.next_byte()
        if not self._mode & TRANSLATE:
            return value
        if value == BREAK and self.keyboard.has_byte:
            return TRANSLATION[self.keyboard.next_byte()] | 0x80
        return TRANSLATION[value]

    def _set_line(self) -> None:
        wanted = self._mode & KEYBOARD_INTERRUPT and not self._mode & KEYBOARD_OFF
        self._irq(bool(wanted and self._full and not self._full & STATUS_AUX))

    # --- who types

    @property
    def _is_ready_for_keys(self) -> bool:
        idle = not self._full and self._reply is None and not self.keyboard.has_byte
        return idle and self.keyboard.is_enabled and not self._mode & KEYBOARD_OFF

    def _plan(self) -> None:
        """When to look for the next typed byte: for a guest that polls, and for the interrupt."""
        self._look_ns = None
        if self._is_ready_for_keys:
            self._look_ns = self._input.next_arrival_ns(self._timers.now())
        self.state.status = self._flags | self._full
        self.state.look_ns = NEVER if self._look_ns is None else self._look_ns
        self.watch.set(self._look_ns if self._mode & KEYBOARD_INTERRUPT else None)

    def _look_if_due(self) -> None:
        """The guest reads one of the I/O ports."""
        if self._look_ns is None or self._timers.now() < self._look_ns:
            return
        self._n_reads += 1
        if self._n_reads >= N_READS_OF_A_POLL or self._is_heard():
            self._look()

    def _look_if_heard(self) -> None:
        if self._is_heard():
            self._look()
        elif self._look_ns is not None:
            self.watch.set(self._timers.now() + UNHEARD_NS)

    def _look(self) -> None:
        """Type the next byte that has come. A terminal's arrow key is three bytes, which come together."""
        if not self._is_ready_for_keys:
            return
        self._n_reads = 0
        now = self._timers.now()
        typed = self._input.take(now, 1)
        if typed == ESCAPE_BYTE:
            typed += self._input.take(now, 2)
        if typed[:1] == ESCAPE_BYTE and typed[1:] in ARROWS:
            self.keyboard.type(strokes_of_key(ARROWS[typed[1:]]))
        else:
            for byte in typed:
                self.keyboard.type(strokes_of(byte))
        self._refill()
