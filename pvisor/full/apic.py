# SPDX-License-Identifier: GPL-2.0-or-later
"""The local APIC of the one CPU, by SDM 3A chapter 10: priorities, local sources, messages, end of interrupt.

Its 4 KiB page of registers is at 0xfee00000 at first. What the manual leaves open:
  * registers are read and written by aligned 32-bit accesses to the first 4 bytes of each 16; any other
    access (undefined there) reads 0 and changes nothing;
  * an address without a register reads 0 and is the error "illegal register address";
  * the page can be moved to wherever there is no RAM (QEMU leaves it where it is);
  * nobody else is on the bus: messages to others vanish, INIT, start-up and SMI do so everywhere;
  * what IRR and ISR hold when the APIC is disabled by software is still delivered;
  * arbitration and remote read (P6) read 0.

At the start it is as SeaBIOS leaves it: enabled, LINT0 passes the 8259's requests on, LINT1 is NMI.
This room has no twin: event channels have no priorities, and no end of interrupt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pvisor.cpu.features import PHYSICAL_BITS
from pvisor.cpu.shim import ffi
from pvisor.full import apic_registers as reg
from pvisor.full.apic_registers import Message
from pvisor.full.apic_timer import ApicTimer
from pvisor.machine.lines import Line
from pvisor.machine.timers import Timers

BASE = 0xFEE0_0000
N_BYTES = 4096

BASE_BSP, BASE_ENABLE = 1 << 8, 1 << 11
BASE_ADDRESS = (1 << PHYSICAL_BITS) - 4096


class LocalApic:
    """One local APIC. `registers` is the state that native handlers share (native/apic_state.h).

    `output` is the CPU's interrupt line, `acknowledge_pic` the 8259's vector, `eoi_broadcast` is told the
    vector of a level interrupt that has ended, `nmi` is the CPU's NMI input, `move` moves its page.
    """

    widest_bytes = 4

    def __init__(
        self,
        timers: Timers,
        output: Line,
        acknowledge_pic: Callable[[], int],
        eoi_broadcast: Callable[[int], object],
        nmi: Callable[[], object] = lambda: None,
        move: Callable[[int], object] = lambda base: None,
    ) -> None:
        self.registers: Any = ffi.new("pv_apic *")
        self._output = output
        self._acknowledge_pic = acknowledge_pic
        self._eoi_broadcast = eoi_broadcast
        self._nmi = nmi
        self._move = move
        self._timer = ApicTimer(timers, self.registers, lambda: self._local_interrupt(reg.LVT_TIMER))
        self.registers.is_enabled = 1
        self.registers.base = BASE
        self._reset()
        self._start()

    def _reset(self) -> None:
        """The registers after power-up (SDM 3A 10.4.7.1)."""
        r = self.registers
        r.id = r.tpr = r.ldr = r.esr = r.errors = r.icr_low = r.icr_high = 0
        r.dfr, r.svr = 0xFFFF_FFFF, 0xFF
        for i in range(8):
            r.isr[i] = r.tmr[i] = r.irr[i] = 0
        for i in range(1, 6):
            r.lvt[i] = reg.MASKED
        self._timer.set_lvt(reg.MASKED)
        self._timer.set_divide(0)
        self._timer.start(0)

    def _start(self) -> None:
        """What SeaBIOS has done before it enters a kernel, seen in QEMU: it looked for other CPUs, too."""
        r = self.registers
        r.svr = reg.SVR_ENABLE | 0xFF
        r.lvt[reg.LVT_LINT0] = reg.LEVEL | reg.EXTINT << 8
        r.lvt[reg.LVT_LINT1] = reg.LEVEL | reg.NMI << 8
        r.icr_low = 0x000C_4610
        self._update()

    # --- IA32_APIC_BASE and CR8

    def read_base(self) -> int:
        """The MSR IA32_APIC_BASE."""
        return int(self.registers.base) | BASE_BSP | (BASE_ENABLE if self.registers.is_enabled else 0)

    def write_base(self, value: int) -> bool:
        """Write IA32_APIC_BASE; False where the CPU raises #GP: a reserved bit, x2APIC among them.

        Disabled, the APIC leaves the bus and loses its registers, and LINT0 is the CPU's plain INTR pin.
        The BSP flag stays as it is.
        """
        if value & ~(BASE_ADDRESS | BASE_BSP | BASE_ENABLE):
            return False
        if value & BASE_ADDRESS != self.registers.base:
            self._move(value & BASE_ADDRESS)
            self.registers.base = value & BASE_ADDRESS
        if not value & BASE_ENABLE:
            self._reset()
        self.registers.is_enabled = 1 if value & BASE_ENABLE else 0
        self._update()
        return True

    @property
    def cr8(self) -> int:
        """CR8: bits 7 to 4 of TPR. Setting it clears the lower four (SDM 3A 10.8.6.1)."""
        return int(self.registers.tpr) >> 4

    @cr8.setter
    def cr8(self, value: int) -> None:
        self.registers.tpr = (value & 15) << 4
        self._update()

    # --- registers

    def read(self, offset: int, size_bytes: int) -> int:
        """A register. A disabled APIC answers as an empty bus does, with all ones."""
        r = self.registers
        if not r.is_enabled:
            return (1 << 8 * size_bytes) - 1
        if size_bytes != 4 or offset & 15:
            return 0
        if reg.ISR <= offset < reg.ESR:
            bank = (r.isr, r.tmr, r.irr)[offset - reg.ISR >> 7]
            return int(bank[offset >> 4 & 7])
        if reg.LVT <= offset < reg.INITIAL_COUNT:
            return int(r.lvt[offset - reg.LVT >> 4])
        if offset == reg.PPR:
            return self._processor_priority()
        if offset == reg.CURRENT_COUNT:
            return self._timer.current_count
        if offset in (reg.APR, reg.EOI, reg.RRD):
            return 0
        if offset == reg.VERSION:
            return reg.VERSION_VALUE
        if offset in reg.PLAIN:
            return int(getattr(r, reg.PLAIN[offset]))
        self._error(reg.ILLEGAL_ADDRESS)
        return 0

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """A register; those that are read-only stay as they are."""
        r = self.registers
        if not r.is_enabled or size_bytes != 4 or offset & 15:
            return
        if offset == reg.EOI:
            self._end_of_interrupt()
        elif offset == reg.TPR:
            r.tpr = value & 0xFF
        elif offset == reg.ICR_LOW:
            r.icr_low = value & reg.ICR_WRITABLE
            self._send()
        elif offset == reg.ICR_HIGH:
            r.icr_high = value & 0xFF00_0000
        elif offset in (reg.ID, reg.LDR):
            setattr(r, "id" if offset == reg.ID else "ldr", value & 0xFF00_0000)
        elif offset == reg.DFR:
            r.dfr = value | 0x0FFF_FFFF
        elif offset == reg.SVR:
            self._write_svr(value)
        elif offset == reg.ESR:
            r.esr, r.errors = r.errors, 0
        elif reg.LVT <= offset < reg.INITIAL_COUNT:
            self._write_lvt(offset - reg.LVT >> 4, value)
        elif offset == reg.INITIAL_COUNT:
            self._timer.start(value)
        elif offset == reg.DIVIDE:
            self._timer.set_divide(value)
        elif (
            offset not in (reg.VERSION, reg.APR, reg.PPR, reg.RRD, reg.CURRENT_COUNT)
            and not reg.ISR <= offset < reg.ESR
        ):
            self._error(reg.ILLEGAL_ADDRESS)
        self._update()

    def _write_svr(self, value: int) -> None:
        """Disabled by software, the APIC masks every entry of the local vector table (SDM 3A 10.4.7.2)."""
        r = self.registers
        r.svr = value & reg.SVR_WRITABLE
        if not r.svr & reg.SVR_ENABLE:
            for i in range(1, 6):
                r.lvt[i] |= reg.MASKED
            self._timer.set_lvt(r.lvt[reg.LVT_TIMER] | reg.MASKED)

    def _write_lvt(self, index: int, value: int) -> None:
        r = self.registers
        value = value & reg.LVT_WRITABLE[index] | r.lvt[index] & reg.REMOTE_IRR
        if not r.svr & reg.SVR_ENABLE:
            value |= reg.MASKED
        if index == reg.LVT_TIMER:
            self._timer.set_lvt(value)
            return
        if not value & reg.LEVEL:
            value &= ~reg.REMOTE_IRR  # undefined for edges (SDM 3A 10.5.1)
        r.lvt[index] = value
        if index == reg.LVT_LINT0:
            self._sense_lint0()

    # --- the CPU's side

    def acknowledge(self) -> int:
        """The interrupt-acknowledge cycle: the vector to deliver.

        The spurious vector, which wants no EOI, when the request has gone away meanwhile (SDM 3A 10.9).
        """
        r = self.registers
        if not r.is_enabled:
            return self._acknowledge_pic()
        if self._is_deliverable():
            vector = _highest(r.irr)
            r.irr[vector >> 5] &= ~(1 << (vector & 31))
            r.isr[vector >> 5] |= 1 << (vector & 31)
        elif r.extint:
            vector = self._acknowledge_pic()
        else:
            vector = r.svr & 0xFF
        self._update()
        return int(vector)

    def _processor_priority(self) -> int:
        """PPR: the higher of task priority and what is in service (SDM 3A 10.8.3.1)."""
        tpr, in_service = int(self.registers.tpr), max(_highest(self.registers.isr), 0)
        return tpr if tpr >> 4 >= in_service >> 4 else in_service & 0xF0

    def _is_deliverable(self) -> bool:
        return _highest(self.registers.irr) >> 4 > self._processor_priority() >> 4

    def _update(self) -> None:
        """Set the CPU's line to what it should be."""
        r = self.registers
        lint0 = r.lvt[reg.LVT_LINT0]
        r.extint = r.virtual_wire or (r.lint[0] and not lint0 & reg.MASKED and lint0 >> 8 & 7 == reg.EXTINT)
        level = bool(r.extint or self._is_deliverable()) if r.is_enabled else bool(r.lint[0])
        if level != bool(r.is_asserted):
            r.is_asserted = level
            self._output(level)

    def _end_of_interrupt(self) -> None:
        r = self.registers
        vector = _highest(r.isr)
        if vector < 0:
            return
        bit = 1 << (vector & 31)
        r.isr[vector >> 5] &= ~bit
        if not r.tmr[vector >> 5] & bit:
            return
        if r.lvt[reg.LVT_LINT0] & reg.REMOTE_IRR and r.lvt[reg.LVT_LINT0] & 0xFF == vector:
            r.lvt[reg.LVT_LINT0] &= ~reg.REMOTE_IRR
            self._sense_lint0()
        self._eoi_broadcast(vector)

    # --- local sources

    def lint0(self, level: bool) -> None:
        """The LINT0 pin: the 8259's output."""
        rises = level and not self.registers.lint[0]
        self.registers.lint[0] = level
        if rises and not self._is_level_lint0():
            self._local_interrupt(reg.LVT_LINT0)
        self._sense_lint0()
        self._update()

    def lint1(self, level: bool) -> None:
        """The LINT1 pin: the board's NMI. It is an edge input, whatever its entry says (SDM 3A 10.5.1)."""
        rises = level and not self.registers.lint[1]
        self.registers.lint[1] = level
        if rises:
            self._local_interrupt(reg.LVT_LINT1)

    @property
    def passes_nmi(self) -> bool:
        """Does LINT0 make NMIs of the 8259's requests? Nothing is connected to LINT1."""
        entry = self.registers.lvt[reg.LVT_LINT0]
        return bool(self.registers.is_enabled) and not entry & reg.MASKED and entry >> 8 & 7 == reg.NMI

    def virtual_wire(self, level: bool) -> None:
        """An 8259's request that comes through an I/O APIC, by an entry of delivery mode ExtINT."""
        self.registers.virtual_wire = level
        self._update()

    def _is_level_lint0(self) -> bool:
        lint0 = self.registers.lvt[reg.LVT_LINT0]
        return bool(lint0 & reg.LEVEL) and lint0 >> 8 & 7 == reg.FIXED

    def _sense_lint0(self) -> None:
        """A level-triggered LINT0 asks once, and again after its EOI, as long as the pin is high."""
        r = self.registers
        entry = r.lvt[reg.LVT_LINT0]
        asks = r.lint[0] and self._is_level_lint0() and not entry & (reg.MASKED | reg.REMOTE_IRR)
        if asks and self._accept(entry & 0xFF, is_level=True):
            r.lvt[reg.LVT_LINT0] |= reg.REMOTE_IRR

    def _local_interrupt(self, index: int) -> None:
        """A local source has its event: what its entry of the vector table makes of it."""
        entry = self.registers.lvt[index]
        if entry & reg.MASKED or not self.registers.is_enabled:
            return
        mode = entry >> 8 & 7 if index not in (reg.LVT_TIMER, reg.LVT_ERROR) else reg.FIXED
        if mode == reg.FIXED:
            self._accept(entry & 0xFF, is_level=False)
        elif mode == reg.NMI:
            self._nmi()
        self._update()

    def _error(self, error: int) -> None:
        """Collect an error; the first since ESR was written is an interrupt (SDM 3A 10.5.3)."""
        is_first = not self.registers.errors
        self.registers.errors |= error
        if is_first:
            self._local_interrupt(reg.LVT_ERROR)

    # --- messages

    def receive(self, message: Message) -> bool:
        """A message on the bus; False when it is not for this APIC, or not accepted."""
        r = self.registers
        if not r.is_enabled or not self._is_addressed(message.destination, message.is_logical):
            return False
        if message.delivery_mode == reg.NMI:
            self._nmi()
            return True
        if message.delivery_mode not in (reg.FIXED, reg.LOWEST_PRIORITY) or not r.svr & reg.SVR_ENABLE:
            return False
        accepted = self._accept(message.vector, is_level=message.is_level)
        self._update()
        return accepted

    def _is_addressed(self, destination: int, is_logical: bool) -> bool:
        """Is this APIC meant? (SDM 3A 10.6.2)"""
        r = self.registers
        if destination == 0xFF:
            return True
        if not is_logical:
            return bool(destination == r.id >> 24)
        mine = r.ldr >> 24
        if r.dfr >> 28 == 0xF:
            return bool(destination & mine)
        is_cluster = destination >> 4 in (mine >> 4, 0xF)
        return is_cluster and bool(destination & mine & 0xF)

    def _accept(self, vector: int, *, is_level: bool) -> bool:
        """Set IRR, and TMR by the trigger mode."""
        if vector < 16:
            self._error(reg.RECEIVE_ILLEGAL_VECTOR)
            return False
        r, bit = self.registers, 1 << (vector & 31)
        r.irr[vector >> 5] |= bit
        if is_level:
            r.tmr[vector >> 5] |= bit
        else:
            r.tmr[vector >> 5] &= ~bit
        return True

    def _send(self) -> None:
        """ICR was written. Interprocessor interrupts are edges, whatever the trigger mode says.

        The shorthands that include the sender are for fixed interrupts only (SDM 3A table 10-3).
        """
        r = self.registers
        mode, vector, shorthand = r.icr_low >> 8 & 7, r.icr_low & 0xFF, r.icr_low >> 18 & 3
        if mode in (reg.FIXED, reg.LOWEST_PRIORITY) and vector < 16:
            self._error(reg.SEND_ILLEGAL_VECTOR)
        elif shorthand == reg.TO_DESTINATION:
            self.receive(Message(vector, mode, False, r.icr_high >> 24, bool(r.icr_low & 1 << 11)))
        elif shorthand != reg.TO_OTHERS and mode == reg.FIXED:
            self.receive(Message(vector, mode, False, 0xFF))


def _highest(bits: Any) -> int:
    """The highest vector whose bit is set, or -1."""
    for i in range(7, -1, -1):
        if bits[i]:
            return 32 * i + int(bits[i]).bit_length() - 1
    return -1
