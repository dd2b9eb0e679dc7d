# SPDX-License-Identifier: GPL-2.0-or-later
"""The PC's real-time clock and CMOS memory: an MC146818 at I/O ports 0x70 (index) and 0x71 (data), IRQ 8.

Source: the Motorola MC146818A data sheet; for the CMOS bytes, SeaBIOS and QEMU's pc (hw/i386/pc.c). Time is
the wall clock's plus what the guest has set; nothing runs between accesses but one deadline for the next
interrupt that is enabled, and none once IRQ 8 is high: it stays so until register C is read.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from pvisor.cpu.shim import ffi
from pvisor.machine.clock import NS_PER_S, WallClock
from pvisor.machine.lines import Line
from pvisor.machine.timers import Timer, Timers

IOPORT = 0x70
N_IOPORTS = 2
INDEX = 0
N_REGISTERS = 128
"""Bit 7 of the index masks the board's NMI on a PC; there is none here. NMIs of the APICs pass it by."""

SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM = range(6)
DAY_OF_WEEK, DAY_OF_MONTH, MONTH, YEAR, A, B, C, D = range(6, 14)
CENTURY, CENTURY_PS2 = 0x32, 0x37
"""0x37 is the same byte, where PS/2 machines had it."""
TIME_REGISTERS = frozenset((SECONDS, MINUTES, HOURS, DAY_OF_WEEK, DAY_OF_MONTH, MONTH, YEAR, CENTURY))

A_UIP = 0x80
B_SET, B_PIE, B_AIE, B_UIE, B_BINARY, B_24H = 0x80, 0x40, 0x20, 0x10, 0x04, 0x02
C_IRQF, C_PF, C_AF, C_UF = 0x80, 0x40, 0x20, 0x10
D_VRT = 0x80
PM = 0x80
DONT_CARE = 0xC0
NEVER = -1
NEVER_NS = (1 << 64) - 1

CRYSTAL_HZ = 32_768
UIP_NS = 244_000 + 1_984_000
"""How long before the end of an update UIP rises: a warning, then the update (data sheet, table 6)."""

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
BASE_MEMORY_KIB = 640
LOW_MEMORY_MAX, LOW_MEMORY_SPLIT = 0xE000_0000, 3 * GIB
"""QEMU's pc: RAM of more than the first has only the second below 4 GiB, and the rest above."""

DAYS_1970 = date(1970, 1, 1).toordinal()
YEARS_A_CYCLE, DAYS_A_CYCLE = 400, 146_097
DAY_S = 86_400


def days_since_1970(year: int, month: int, day: int) -> int:
    """The day's number. Months and days out of range run on into later or earlier ones."""
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    cycle, year = divmod(year - 2000, YEARS_A_CYCLE)  # dates repeat: nothing is out of datetime's range
    return date(2000 + year, month, 1).toordinal() + cycle * DAYS_A_CYCLE + day - 1 - DAYS_1970


def date_of(days: int) -> tuple[int, int, int]:
    """(year, month, day) of a day's number."""
    first = date(2000, 1, 1).toordinal()
    cycle, days = divmod(days + DAYS_1970 - first, DAYS_A_CYCLE)
    day = date.fromordinal(first + days)
    return day.year + cycle * YEARS_A_CYCLE, day.month, day.day


def next_alarm(after_s: int, alarm: tuple[int | None, int | None, int | None]) -> int | None:
    """The first second after `after_s` at which (hour, minute, second) match; None matches all.

    The result is None if there is none, as for an alarm at 25 o'clock.
    """
    if NEVER in alarm:
        return None
    hour, minute, second = alarm
    days, rest = divmod(after_s + 1, DAY_S)
    for hours in range(rest // 3600, rest // 3600 + 25):
        if hour is not None and hour != hours % 24:
            continue
        start = max(rest, hours * 3600)
        for minutes in range(start // 60, hours * 60 + 60):
            if minute is not None and minute != minutes % 60:
                continue
            seconds = max(start, minutes * 60)
            seconds += 0 if second is None else second - seconds % 60
            if start <= seconds < minutes * 60 + 60:
                return days * DAY_S + seconds
    return None


def firmware_bytes(memory_bytes: int) -> dict[int, int]:
    """The CMOS bytes that firmware finds, or sets: equipment, memory sizes, boot order.

    As SeaBIOS 1.16 leaves them under QEMU's pc without drives. Neither of the two keeps up the checksum at
    0x2e: it is 0.
    """
    low = memory_bytes if memory_bytes < LOW_MEMORY_MAX else LOW_MEMORY_SPLIT
    extended_kib = min(max(low - MIB, 0) // KIB, 0xFFFF)
    above_16m = min(max(low - 16 * MIB, 0) // (64 * KIB), 0xFFFF)
    above_4g = min((memory_bytes - low) // (64 * KIB), 0xFF_FFFF)
    words = {
        0x15: BASE_MEMORY_KIB.to_bytes(2, "little"),
        0x17: extended_kib.to_bytes(2, "little"),
        0x30: extended_kib.to_bytes(2, "little"),
        0x34: above_16m.to_bytes(2, "little"),
        0x5B: above_4g.to_bytes(3, "little"),
        0x14: b"\x06",  # an FPU, a PS/2 mouse; no floppy drives, and a display that has its own firmware
        0x38: b"\x30",  # boot order, third choice: CD-ROM
        0x3D: b"\x12",  # second and first choice: floppy disk, hard disk
    }
    return {first + i: byte for first, data in words.items() for i, byte in enumerate(data)}


class Rtc:
    """The chip as an I/O device of two I/O ports. `irq` is IRQ 8, `memory_bytes` the machine's RAM.

    `state` is for native handlers (PV_DEVICE_RTC).

    It begins as SeaBIOS leaves it: BCD, 24 hours, 1024 Hz chosen, all interrupts off and their flags clear.
    """

    widest_bytes = 1

    def __init__(self, clock: WallClock, timers: Timers, irq: Line, memory_bytes: int) -> None:
        self._clock = clock
        self._timers = timers
        self._irq = irq
        self._timer: Timer | None = None
        self.state: Any = ffi.new("pv_rtc *")
        self._registers: Any = self.state.registers
        for index, byte in firmware_bytes(memory_bytes).items():
            self._registers[index] = byte
        self._registers[A], self._registers[B], self._registers[D] = 0x26, B_24H, D_VRT
        self._chain_zero_ns = 0  # wall-clock time at which the divider chain was at 0
        self._zero_s = 0  # the date and time that belong to it, in seconds since 1970
        self._weekday_shift = 0  # the day of the week is a counter of its own, which the guest may set apart
        self._seen_ns = self._chain_ns()  # the flags of register C are right up to here
        self._share()

    # --- time

    def _wall_ns(self) -> int:
        seconds, nanoseconds = self._clock.at(self._timers.now())
        return seconds * NS_PER_S + nanoseconds

    def _chain_ns(self) -> int:
        """What the divider chain has counted. It is meaningless while the chain is held in reset."""
        return self._wall_ns() - self._chain_zero_ns

    @property
    def _has_chain(self) -> bool:
        """Does the divider run? As in QEMU each of the three time bases does; other settings hold it."""
        return bool(self._registers[A] >> 4 & 7 <= 2)

    @property
    def _is_running(self) -> bool:
        return self._has_chain and not int(self._registers[B]) & B_SET

    def _now_s(self) -> int:
        return self._zero_s + self._chain_ns() // NS_PER_S

    def _is_updating(self) -> bool:
        return self._is_running and self._chain_ns() % NS_PER_S >= NS_PER_S - UIP_NS

    def _show_time(self) -> None:
        """Bring the time registers up to date; a clock that stands keeps what is in them."""
        if not self._is_running:
            self.state.shown_until_ns = NEVER_NS
            return
        self.state.shown_until_ns = self._timers.now() + NS_PER_S - self._chain_ns() % NS_PER_S
        days, rest = divmod(self._now_s(), DAY_S)
        year, month, day = date_of(days)
        values = {
            SECONDS: rest % 60, MINUTES: rest // 60 % 60, DAY_OF_MONTH: day, MONTH: month,
            DAY_OF_WEEK: (days + 4 + self._weekday_shift) % 7 + 1,
            YEAR: year % 100, CENTURY: year // 100 % 100,
        }  # fmt: skip
        for index, value in values.items():
            self._registers[index] = self._encode(value)
        hour = rest // 3600
        if self._registers[B] & B_24H:
            self._registers[HOURS] = self._encode(hour)
        else:
            self._registers[HOURS] = self._encode((hour + 11) % 12 + 1) | (PM if hour >= 12 else 0)

    def _share(self) -> None:
        """After a change: what native handlers compute with. The time registers are to be shown anew."""
        self.state.is_running = self._is_running
        self.state.second_ns = (self._chain_ns() - self._timers.now()) % NS_PER_S
        self.state.shown_until_ns = 0

    def _adopt_time(self) -> None:
        """Go on from what is in the time registers, be it nonsense; the fraction stays the chain's."""
        value = {index: self._decode(self._registers[index]) for index in TIME_REGISTERS}
        if not self._registers[B] & B_24H:
            hours = self._registers[HOURS]
            value[HOURS] = self._decode(hours & ~PM) % 12 + (12 if hours & PM else 0)
        days = days_since_1970(value[CENTURY] * 100 + value[YEAR], value[MONTH], value[DAY_OF_MONTH])
        seconds = days * DAY_S + value[HOURS] * 3600 + value[MINUTES] * 60 + value[SECONDS]
        self._weekday_shift = (value[DAY_OF_WEEK] - 1 - (seconds // DAY_S + 4)) % 7
        self._zero_s = seconds - self._chain_ns() // NS_PER_S

    def _encode(self, value: int) -> int:
        return value if self._registers[B] & B_BINARY else value // 10 << 4 | value % 10

    def _decode(self, byte: int) -> int:
        return byte if self._registers[B] & B_BINARY else (byte >> 4) * 10 + (byte & 0xF)

    # --- interrupts

    def _alarm(self) -> tuple[int | None, int | None, int | None]:
        """The alarm as (hour, minute, second); None for don't care, NEVER for what no time shows."""
        hour, minute, second = (self._registers[i] for i in (HOURS_ALARM, MINUTES_ALARM, SECONDS_ALARM))
        return (
            None if hour >= DONT_CARE else self._alarm_hour(hour),
            None if minute >= DONT_CARE else self._alarm_number(minute),
            None if second >= DONT_CARE else self._alarm_number(second),
        )

    def _alarm_number(self, byte: int) -> int:
        value = self._decode(byte)
        return value if value < 60 and self._encode(value) == byte else NEVER

    def _alarm_hour(self, byte: int) -> int:
        if self._registers[B] & B_24H:
            return self._alarm_number(byte)
        value = self._alarm_number(byte & ~PM)
        return value % 12 + (12 if byte & PM else 0) if 1 <= value <= 12 else NEVER

    def _period(self) -> int:
        """Crystal cycles between two periodic interrupts, 0 for none. Rates 1 and 2 are as 8 and 9."""
        rate = self._registers[A] & 0xF
        return 0 if rate == 0 else 1 << (rate + 6 if rate <= 2 else rate - 1)

    def _see_flags(self) -> None:
        """Set in register C what has happened since it was done last."""
        if not self._has_chain:
            return
        before, now = self._seen_ns, self._chain_ns()
        self._seen_ns = now
        period_ns = self._period() * NS_PER_S  # times CRYSTAL_HZ
        if period_ns and before * CRYSTAL_HZ // period_ns != now * CRYSTAL_HZ // period_ns:
            self._registers[C] |= C_PF
        if self._is_running and before // NS_PER_S != now // NS_PER_S:
            self._registers[C] |= C_UF
            alarm_s = next_alarm(self._zero_s + before // NS_PER_S, self._alarm())
            if alarm_s is not None and alarm_s <= self._now_s():
                self._registers[C] |= C_AF

    def _next_ns(self) -> int | None:
        """What the divider chain will have counted when the next enabled interrupt comes, or None."""
        enabled, now, due = self._registers[B], self._chain_ns(), []
        period = self._period()
        if enabled & B_PIE and period:
            n = now * CRYSTAL_HZ // (period * NS_PER_S) + 1
            due.append(-(-n * period * NS_PER_S // CRYSTAL_HZ))
        if self._is_running and enabled & B_UIE:
            due.append((now // NS_PER_S + 1) * NS_PER_S)
        if self._is_running and enabled & B_AIE:
            alarm_s = next_alarm(self._now_s(), self._alarm())
            if alarm_s is not None:
                due.append((alarm_s - self._zero_s) * NS_PER_S)
        return min(due) if due and self._has_chain else None

    def _follow(self) -> None:
        """After any change, and when an interrupt is due: the flags, the line, and the next deadline."""
        self._see_flags()
        asks = self._registers[C] & self._registers[B] & (C_PF | C_AF | C_UF)
        self._registers[C] = self._registers[C] & ~C_IRQF | (C_IRQF if asks else 0)
        self._irq(bool(asks))
        next_ns = None if asks else self._next_ns()
        due_ns = None if next_ns is None else self._timers.now() + next_ns - self._chain_ns()
        if self._timer is not None:
            if self._timer.due_ns == due_ns:
                return
            self._timer.cancel()
        self._timer = None if due_ns is None else self._timers.at(due_ns, self._act)

    def _act(self) -> None:
        self._timer = None
        self._follow()

    # --- the I/O ports

    def read(self, offset: int, size_bytes: int) -> int:
        """The register that the index names; the index itself cannot be read."""
        if offset == INDEX:
            return 0xFF
        index = self.state.index
        if index in TIME_REGISTERS:
            self._show_time()
        elif index == A:
            return int(self._registers[A]) | (A_UIP if self._is_updating() else 0)
        elif index == C:
            return self._read_flags()
        return int(self._registers[index])

    def _read_flags(self) -> int:
        """Register C: reading clears it, and with it IRQ 8."""
        self._follow()
        flags = int(self._registers[C])
        self._registers[C] = 0
        self._follow()
        return flags

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """The index, or the register that it names. Registers C and D are not for writing."""
        if offset == INDEX:
            index = value & N_REGISTERS - 1
            self.state.index = CENTURY if index == CENTURY_PS2 else index
            return
        index = self.state.index
        if index in (C, D):
            return
        self._see_flags()
        self._show_time()
        if index == A:
            self._write_a(value & ~A_UIP)
        elif index == B:
            self._write_b(value)
        else:
            self._registers[index] = value
            if index in TIME_REGISTERS and self._is_running:
                self._adopt_time()
        self._share()
        self._follow()

    def _write_a(self, value: int) -> None:
        """Half a second after the divider is released, the first update ends."""
        had_chain = self._has_chain
        self._registers[A] = value
        if self._has_chain and not had_chain:
            self._chain_zero_ns = self._wall_ns() - NS_PER_S // 2
            self._seen_ns = self._chain_ns()
            if self._is_running:
                self._adopt_time()

    def _write_b(self, value: int) -> None:
        """SET stops the clock, and clears UIE. When it is cleared, what is in the registers is the time."""
        was_running = self._is_running
        self._registers[B] = value & ~B_UIE if value & B_SET else value
        if self._is_running and not was_running:
            self._adopt_time()
