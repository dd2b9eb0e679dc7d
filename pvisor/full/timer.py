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

from pvisor.machine.clock import NS_PER_S
from pvisor.machine.lines import Line
from pvisor.machine.timers import Timer, Timers

IOPORT = 0x40
N_IOPORTS = 4
HZ = 1_193_182

CONTROL = 3
"""Offset of the control word; counters are at 0 to 2."""

READ_BACK = 3
READ_BACK_NOT_COUNT, READ_BACK_NOT_STATUS = 0x20, 0x10
LATCH, LSB, MSB, WORD = range(4)
STATUS_OUT, STATUS_NULL_COUNT = 0x80, 0x40

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
    """One of the three. Ticks are CLK pulses since `_origin_ns`."""

    def __init__(self, now: Callable[[], int], control: int, *, gate: bool) -> None:
        self._now = now
        self._gate = gate
        self._control = control  # the low six bits of the control word: access, mode, BCD
        self._count: int | None = None  # None: idle, without a count or not triggered yet
        self._idle_value = 0
        self._next_count: int | None = None  # written, and not loaded yet
        self._reload_tick = 0  # when modes 2 and 3 load it
        self._origin_ns = 0
        self._start_tick = 0  # when the count was loaded
        self._held: int | None = None  # CLK pulses counted, of a counter that its gate has stopped
        self._low_byte: int | None = None  # the first of two bytes of a count
        self._reads_high = False  # the second of two bytes is read next
        self._latched = b""
        self._latched_status: int | None = None
        self._load(0x10000)

    @property
    def mode(self) -> int:
        """0 to 5: the top bit of three does not matter for modes 2 and 3."""
        mode = self._control >> 1 & 7
        return mode & 3 if mode & 2 else mode

    @property
    def output(self) -> bool:
        """OUT now. Without a count it is low in mode 0 and high in the others."""
        mode, elapsed = self.mode, self._elapsed()
        if self._count is None:
            return mode != 0
        return output_at(mode, self._count, elapsed) or (mode in (2, 3) and not self._gate)

    def next_rise_ns(self) -> int | None:
        """The virtual time at which OUT goes high next by counting, or None."""
        mode, elapsed = self.mode, self._elapsed()
        if self._count is None or self._held is not None:
            return None
        rise = next_rise(mode, self._count, elapsed)
        if rise is None:
            return None
        tick = self._start_tick + rise
        if mode == 3 and self._next_count is not None and self._reload_tick < tick:
            tick = self._reload_tick + self._next_count // 2  # the new count's low half comes first
        return self._origin_ns - (-tick * NS_PER_S // HZ)

    # --- counting

    def _tick(self) -> int:
        return (self._now() - self._origin_ns) * HZ // NS_PER_S

    def _elapsed(self) -> int:
        """CLK pulses since the count was loaded. Loads a new one first, if that is due."""
        if self._count is None or self._held is not None:
            return self._held or 0
        tick = self._tick()
        if self._next_count is not None and self.mode in (2, 3) and tick >= self._reload_tick:
            ends_high_half = (self._reload_tick - self._start_tick) % self._count != 0
            self._count, self._next_count = self._next_count, None
            self._start_tick = self._reload_tick - (high_ticks(self._count) if ends_high_half else 0)
        return tick - self._start_tick

    def _load(self, count: int) -> None:
        self._count, self._next_count = count, None
        self._origin_ns, self._start_tick = self._now(), 0
        self._held = None if self._gate or self.mode in (1, 5) else 0

    def _value(self) -> int:
        """What a read gives, 16 bits."""
        elapsed = self._elapsed()
        if self._count is None:
            return self._idle_value
        value = value_at(self.mode, self._count, elapsed)
        return to_bcd(value) if self._control & 1 else value & 0xFFFF

    def set_gate(self, level: bool) -> None:
        """GATE: low stops counting in modes 0, 2, 3 and 4; its rise loads anew in modes 1, 2, 3 and 5."""
        elapsed = self._elapsed()
        if level == self._gate:
            return
        self._gate = level
        if not level:
            self._held = elapsed if self.mode not in (1, 5) else None
        elif self.mode in (0, 4):
            self._held, self._start_tick = None, self._tick() - elapsed
        elif (count := self._next_count or self._count) is not None:
            self._load(count)

    # --- the I/O port

    def program(self, control: int) -> None:
        """A control word: all that went before is void, and a count is awaited."""
        self._idle_value = self._value()
        self._control = control & 0x3F
        self._count = self._next_count = self._low_byte = self._latched_status = None
        self._reads_high = False
        self._latched = b""

    def write(self, value: int) -> None:
        """One byte of a count. In mode 0, the first of two stops the count that runs."""
        access = self._control >> 4
        if access == WORD and self._low_byte is None:
            self._low_byte = value
            if self.mode == 0:
                self._idle_value, self._count = self._value(), None
            return
        if access == MSB:
            value <<= 8
        elif access == WORD:
            value = value << 8 | (self._low_byte or 0)
            self._low_byte = None
        self._write_count(value)

    def _write_count(self, value: int) -> None:
        count = (from_bcd(value) or 10_000) if self._control & 1 else (value or 0x10000)
        elapsed, mode = self._elapsed(), self.mode
        if mode in (2, 3):
            count = max(count, 2)  # 1 is not allowed there
        if mode in (0, 4) or (mode in (2, 3) and self._count is None):
            self._load(count)
            return
        self._next_count = count
        if self._count is not None:
            into, high = elapsed % self._count, high_ticks(self._count)
            part = high if mode == 3 and into < high else self._count
            self._reload_tick = self._start_tick + elapsed - into + part

    def latch_count(self) -> None:
        """The counter latch command; one more before the count is read has no effect."""
        if not self._latched:
            both = self._value().to_bytes(2, "little")
            access = self._control >> 4
            self._latched = both if access == WORD else both[1:] if access == MSB else both[:1]

    def latch_status(self) -> None:
        """The read-back command for the status; one more before it is read has no effect."""
        if self._latched_status is None:
            out = STATUS_OUT if self.output else 0
            is_null = self._count is None or self._next_count is not None
            self._latched_status = out | (STATUS_NULL_COUNT if is_null else 0) | self._control

    def read(self) -> int:
        """The status if it is latched, then the count if it is latched, else the count as it runs."""
        if self._latched_status is not None:
            status, self._latched_status = self._latched_status, None
            return status
        if self._latched:
            value, self._latched = self._latched[0], self._latched[1:]
            return value
        access = self._control >> 4
        is_high = self._reads_high if access == WORD else access == MSB
        self._reads_high = access == WORD and not is_high
        return self._value() >> (8 if is_high else 0) & 0xFF


class Pit:
    """The 8254 as an I/O device. `irq` is IRQ 0.

    It begins as firmware leaves it: FIRMWARE_CONTROLS, each with the full count, loaded at that moment. IRQ 0
    is told of the output's rises; of a fall when the guest causes it, and else together with the next rise,
    as nobody on a PC listens for falls of IRQ 0.
    """

    widest_bytes = 1

    def __init__(self, timers: Timers, irq: Line) -> None:
        self._timers = timers
        self._irq = irq
        self._timer: Timer | None = None
        # As if the line were low: firmware has served the edge with which the output went high.
        self._was_high = True
        self._counters = [
            Counter(timers.now, control, gate=i < 2) for i, control in enumerate(FIRMWARE_CONTROLS)
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
        if is_high != self._was_high:
            self._was_high = is_high
            self._irq(is_high)
        self._arm()

    def _arm(self) -> None:
        due_ns = self._counters[0].next_rise_ns()
        if self._timer is not None:
            if self._timer.due_ns == due_ns:
                return
            self._timer.cancel()
        self._timer = None if due_ns is None else self._timers.at(due_ns, self._rise)

    def _rise(self) -> None:
        """The output has gone high. Rises that have been missed since are one with it: the CPU saw none."""
        self._timer = None
        self._was_high = True
        self._irq(False)
        self._irq(True)
        self._arm()
