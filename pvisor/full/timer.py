# SPDX-License-Identifier: GPL-2.0-or-later
"""The PC's interval timer: an 8254 at I/O port 0x40, three counters at 1 193 182 Hz. Twin of para/timer.py.

Source: the Intel 82C54 data sheet. Counter 0's output is IRQ 0; counter 1, which refreshed memory once, leads
nowhere; counter 2's gate and output are bits of I/O port 0x61 (platform.py).

A count is taken to be written just before a CLK pulse, which loads it. All times are computed from there:
tick n comes ceil(n * 1e9 / 1193182) ns later, so that no period drifts. Nothing runs between accesses but one
deadline for the next rise of counter 0's output. In the periodic modes rises are at least two ticks (1676 ns
of virtual time) apart, and the others need a new count for each: no count makes the host spin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pvisor.cpu.shim import ffi
from pvisor.machine.clock import NS_PER_S
from pvisor.machine.lines import Line
from pvisor.machine.timers import Timers

IOPORT = 0x40
N_IOPORTS = 4
HZ = 1_193_182

CONTROL = 3
"""Offset of the control word; counters are at 0 to 2."""

READ_BACK = 3
READ_BACK_NOT_COUNT, READ_BACK_NOT_STATUS = 0x20, 0x10
LATCH, LSB, MSB, WORD = range(4)
STATUS_OUT, STATUS_NULL_COUNT = 0x80, 0x40
NONE = -1
"""In fields of a counter's state where 0 is a value."""

# As SeaBIOS 1.16 leaves them under QEMU's pc: counter 0 in mode 2 with a count of 65536 (18.2 Hz), the others
# as QEMU's reset does, in mode 3 with 65536 and no access mode, which is taken as LSB.
FIRMWARE_CONTROLS = (0x34, 0x06, 0x06)


# --- what each mode does: `elapsed` are the CLK pulses since the count was loaded


def output_at(mode: int, count: int, elapsed: int) -> bool:
    """OUT, of a counter whose gate is high."""
    if mode <= 1:
        return elapsed >= count
    if mode == 2:
        return elapsed % count != count - 1
    if mode == 3:
        return elapsed % count < high_ticks(count)
    return elapsed != count


def value_at(mode: int, count: int, elapsed: int) -> int:
    """The counting element; the others than modes 2 and 3 count on below zero."""
    if mode == 2:
        return count - elapsed % count
    if mode == 3:
        into, high = elapsed % count, high_ticks(count)
        return (count & ~1) - 2 * (into if into < high else into - high)
    return count - elapsed


def next_rise(mode: int, count: int, elapsed: int) -> int | None:
    """When OUT goes from low to high next, in the same terms as `elapsed`; None for never."""
    if mode <= 1:
        return count if elapsed < count else None
    if mode <= 3:
        return (elapsed // count + 1) * count
    return count + 1 if elapsed <= count else None


def high_ticks(count: int) -> int:
    """How long mode 3's output is high: one tick longer than low, if the count is odd."""
    return (count + 1) // 2


def from_bcd(value: int) -> int:
    """The number that four BCD digits stand for; digits above 9 count for what they are."""
    return sum((value >> 4 * digit & 0xF) * 10**digit for digit in range(4))


def to_bcd(number: int) -> int:
    """The last four decimal digits of a number, as BCD."""
    return sum(number // 10**digit % 10 << 4 * digit for digit in range(4))


class Counter:
    """One of the three. `state` is its struct; ticks are CLK pulses since its `origin_ns`."""

    def __init__(self, now: Callable[[], int], state: Any, control: int, *, gate: bool) -> None:
        self._now = now
        self._state = state
        state.gate = gate
        state.control = control
        state.low_byte = state.latched_status = NONE
        self._load(0x10000)

    @property
    def mode(self) -> int:
        """0 to 5: the top bit of three does not matter for modes 2 and 3."""
        mode = self._state.control >> 1 & 7
        return int(mode & 3 if mode & 2 else mode)

    @property
    def output(self) -> bool:
        """OUT now. Without a count it is low in mode 0 and high in the others."""
        s, mode, elapsed = self._state, self.mode, self._elapsed()
        if not s.count:
            return mode != 0
        return output_at(mode, s.count, elapsed) or (mode in (2, 3) and not s.gate)

    def next_rise_ns(self) -> int | None:
        """The virtual time at which OUT goes high next by counting, or None."""
        s, mode, elapsed = self._state, self.mode, self._elapsed()
        if not s.count or s.held != NONE:
            return None
        rise = next_rise(mode, s.count, elapsed)
        if rise is None:
            return None
        tick = s.start_tick + rise
        if mode == 3 and s.next_count and s.reload_tick < tick:
            tick = s.reload_tick + s.next_count // 2  # the new count's low half comes first
        return int(s.origin_ns - (-tick * NS_PER_S // HZ))

    # --- counting

    def _tick(self) -> int:
        return int((self._now() - self._state.origin_ns) * HZ // NS_PER_S)

    def _elapsed(self) -> int:
        """CLK pulses since the count was loaded. Loads a new one first, if that is due."""
        s = self._state
        if not s.count or s.held != NONE:
            return max(0, int(s.held))
        tick = self._tick()
        if s.next_count and self.mode in (2, 3) and tick >= s.reload_tick:
            ends_high_half = (s.reload_tick - s.start_tick) % s.count != 0
            s.count, s.next_count = s.next_count, 0
            s.start_tick = s.reload_tick - (high_ticks(s.count) if ends_high_half else 0)
        return tick - int(s.start_tick)

    def _load(self, count: int) -> None:
        s = self._state
        s.count, s.next_count = count, 0
        s.origin_ns, s.start_tick = self._now(), 0
        s.held = NONE if s.gate or self.mode in (1, 5) else 0

    def _value(self) -> int:
        """What a read gives, 16 bits."""
        s, elapsed = self._state, self._elapsed()
        if not s.count:
            return int(s.idle_value)
        value = value_at(self.mode, s.count, elapsed)
        return to_bcd(value) if s.control & 1 else value & 0xFFFF

    def set_gate(self, level: bool) -> None:
        """GATE: low stops counting in modes 0, 2, 3 and 4; its rise loads anew in modes 1, 2, 3 and 5."""
        s, elapsed = self._state, self._elapsed()
        if level == bool(s.gate):
            return
        s.gate = level
        if not level:
            s.held = elapsed if self.mode not in (1, 5) else NONE
        elif self.mode in (0, 4):
            s.held, s.start_tick = NONE, self._tick() - elapsed
        elif count := s.next_count or s.count:
            self._load(count)

    # --- the I/O port

    def program(self, control: int) -> None:
        """A control word: all that went before is void, and a count is awaited."""
        s = self._state
        s.idle_value = self._value()
        s.control = control & 0x3F
        s.count = s.next_count = s.n_latched = 0
        s.low_byte = s.latched_status = NONE
        s.reads_high = False

    def write(self, value: int) -> None:
        """One byte of a count. In mode 0, the first of two stops the count that runs."""
        s = self._state
        access = s.control >> 4
        if access == WORD and s.low_byte == NONE:
            s.low_byte = value
            if self.mode == 0:
                s.idle_value, s.count = self._value(), 0
            return
        if access == MSB:
            value <<= 8
        elif access == WORD:
            value = value << 8 | s.low_byte
            s.low_byte = NONE
        self._write_count(value)

    def _write_count(self, value: int) -> None:
        s = self._state
        count = (from_bcd(value) or 10_000) if s.control & 1 else (value or 0x10000)
        elapsed, mode = self._elapsed(), self.mode
        if mode in (2, 3):
            count = max(count, 2)  # 1 is not allowed there
        if mode in (0, 4) or (mode in (2, 3) and not s.count):
            self._load(count)
            return
        s.next_count = count
        if s.count:
            into, high = elapsed % s.count, high_ticks(s.count)
            part = high if mode == 3 and into < high else s.count
            s.reload_tick = s.start_tick + elapsed - into + part

    def latch_count(self) -> None:
        """The counter latch command; one more before the count is read has no effect."""
        s = self._state
        if not s.n_latched:
            value = self._value()
            access = s.control >> 4
            s.latched = [(value >> 8 if access == MSB else value) & 0xFF, value >> 8]
            s.n_latched = 2 if access == WORD else 1

    def latch_status(self) -> None:
        """The read-back command for the status; one more before it is read has no effect."""
        s = self._state
        if s.latched_status == NONE:
            out = STATUS_OUT if self.output else 0
            is_null = not s.count or s.next_count
            s.latched_status = out | (STATUS_NULL_COUNT if is_null else 0) | s.control

    def read(self) -> int:
        """The status if it is latched, then the count if it is latched, else the count as it runs."""
        s = self._state
        if s.latched_status != NONE:
            status, s.latched_status = s.latched_status, NONE
            return int(status)
        if s.n_latched:
            value, s.latched[0] = s.latched[0], s.latched[1]
            s.n_latched -= 1
            return int(value)
        access = s.control >> 4
        is_high = bool(s.reads_high) if access == WORD else access == MSB
        s.reads_high = access == WORD and not is_high
        return self._value() >> (8 if is_high else 0) & 0xFF


class Pit:
    """The 8254 as an I/O device. `irq` is IRQ 0; `state` is for native handlers (PV_DEVICE_PIT).

    It begins as firmware leaves it: FIRMWARE_CONTROLS, each with the full count, loaded at that moment. IRQ 0
    is told of the output's rises; of a fall when the guest causes it, and else together with the next rise,
    as nobody on a PC listens for falls of IRQ 0.
    """

    widest_bytes = 1

    def __init__(self, timers: Timers, irq: Line) -> None:
        self.state: Any = ffi.new("pv_pit *")
        self._irq = irq
        self._deadline = timers.own(self._rise)
        self.state.deadline = self._deadline.index
        # As if the line were low: firmware has served the edge with which the output went high.
        self.state.was_high = True
        self._counters = [
            Counter(timers.now, self.state.counters[i], control, gate=i < 2)
            for i, control in enumerate(FIRMWARE_CONTROLS)
        ]
        self._arm()

    def set_gate(self, level: bool) -> None:
        """Counter 2's gate, bit 0 of I/O port 0x61. Those of the others are tied high."""
        self._counters[2].set_gate(level)

    def output(self) -> bool:
        """Counter 2's output, bit 5 of I/O port 0x61."""
        return self._counters[2].output

    def read(self, offset: int, size_bytes: int) -> int:
        """A counter, or what is latched of it. The control word cannot be read: 0, as in QEMU."""
        return 0 if offset == CONTROL else self._counters[offset].read()

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """A byte of a count, or a control word."""
        if offset == CONTROL:
            self._write_control(value)
        else:
            self._counters[offset].write(value)
            if offset == 0:
                self._follow_output()

    def _write_control(self, value: int) -> None:
        selected = value >> 6
        if selected == READ_BACK:
            for i, counter in enumerate(self._counters):
                if value & 2 << i:
                    if not value & READ_BACK_NOT_COUNT:
                        counter.latch_count()
                    if not value & READ_BACK_NOT_STATUS:
                        counter.latch_status()
        elif value >> 4 & 3 == LATCH:
            self._counters[selected].latch_count()
        else:
            self._counters[selected].program(value)
            if selected == 0:
                self._follow_output()

    # --- IRQ 0

    def _follow_output(self) -> None:
        is_high = self._counters[0].output
        if is_high != bool(self.state.was_high):
            self.state.was_high = is_high
            self._irq(is_high)
        self._arm()

    def _arm(self) -> None:
        due_ns = self._counters[0].next_rise_ns()
        if due_ns != self._deadline.due_ns:
            self._deadline.set(due_ns)

    def _rise(self) -> None:
        """The output has gone high. Rises that have been missed since are one with it: the CPU saw none."""
        self.state.was_high = True
        self._irq(False)
        self._irq(True)
        self._arm()
