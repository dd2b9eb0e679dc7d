# SPDX-License-Identifier: GPL-2.0-or-later
"""The PC's interrupt controller: two 8259As, the second one cascaded into input 2 of the first.

Sources: the Intel 8259A data sheet, and the PIIX3 data sheet (82371SB) for what that chip set changed: the
trigger mode of each input stands in ELCR, and ICW1's LTIM bit has no effect. ICW3, SNGL (but for leaving out
ICW3) and the 8085 mode of ICW4 have none either: the wiring is fixed, and the CPU is an x86.

One thing is as QEMU and KVM have it: a rising edge is kept until it is acknowledged. By the data sheet an
input that falls before its acknowledgement gives IRQ 7 instead; kernels tried on those do not expect it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pvisor.cpu.shim import ffi
from pvisor.machine.lines import Line, unconnected

MASTER, SLAVE, ELCR = 0x20, 0xA0, 0x4D0
N_IOPORTS = 2
"""Each of the three has two I/O ports."""

CASCADE_INPUT, SPURIOUS_INPUT = 2, 7
COMMAND = 0
"""Offset of the I/O port that A0 selects as 0; the other one is 1."""

# What distinguishes the three words written to the command I/O port, and their bits.
ICW1, OCW3 = 0x10, 0x08
ICW1_IC4, ICW1_SNGL = 0x01, 0x02
ICW4_AEOI, ICW4_SFNM = 0x02, 0x10
OCW3_RIS, OCW3_RR, OCW3_POLL, OCW3_SMM, OCW3_ESMM = 0x01, 0x02, 0x04, 0x20, 0x40
OCW2_EOI, OCW2_SPECIFIC, OCW2_ROTATE = 0x20, 0x40, 0x80
POLL_INTERRUPT = 0x80

# Inputs 0, 1, 2, 8 and 13 are edge-triggered for good (PIIX3: their ELCR bits are reserved).
ELCR_MASTER, ELCR_SLAVE = 0xF8, 0xDE

# As SeaBIOS 1.16 leaves them under QEMU's pc: unmasked are timer, keyboard, cascade and floppy, and of the
# slave RTC, mouse, FPU and the first disk; IRQ 10 and 11, where it puts PCI devices, are level-triggered.
FIRMWARE_VECTORS, FIRMWARE_MASKS, FIRMWARE_ELCR = (0x08, 0x70), (0xB8, 0x8E), (0x00, 0x0C)

READY, WANTS_ICW2, WANTS_ICW3, WANTS_ICW4 = range(4)


class Chip:
    """One 8259A: an I/O device of two I/O ports with eight inputs. `changed` is told when INT may differ.

    `state` is its struct (native/pic_state.h).
    """

    widest_bytes = 1

    def __init__(self, changed: Callable[[], object], state: Any, *, is_master: bool) -> None:
        self._changed = changed
        self._is_master = is_master
        self._r = state

    # --- the inputs

    def set_level(self, input: int, level: bool) -> None:
        """The level of one input."""
        bit = 1 << input
        if bool(self._r.levels & bit) == level:
            return
        self._r.levels ^= bit
        if level:
            self._r.edges |= bit
        else:
            self._r.edges &= ~(bit & self._r.elcr)
        self._changed()

    @property
    def requests(self) -> int:
        """IRR: an edge-triggered input requests once a rise, a level-triggered one while it is high."""
        r = self._r
        return int(r.edges & ~r.elcr | r.levels & r.elcr)

    @property
    def elcr(self) -> int:
        """Which inputs are level-triggered."""
        return int(self._r.elcr)

    @elcr.setter
    def elcr(self, value: int) -> None:
        self._r.elcr = value & (ELCR_MASTER if self._is_master else ELCR_SLAVE)
        self._changed()

    def is_masked(self, input: int) -> bool:
        """Is the input's mask bit (OCW1) set?"""
        return bool(self._r.mask >> input & 1)

    # --- priority

    def _rank(self, inputs: int) -> int:
        """The highest priority among inputs given as bits, 0 being the best; 8 when there are none."""
        if not inputs:
            return 8
        turned = (inputs << 8 | inputs) >> int(self._r.highest) & 0xFF
        return (turned & -turned).bit_length() - 1

    def _input(self, rank: int) -> int:
        return int(rank + self._r.highest & 7)

    def _counted_service(self) -> int:
        """ISR; in the special mask mode a masked input's service neither blocks nor is ended by plain EOI."""
        r = self._r
        return int(r.in_service & ~r.mask if r.is_special_mask else r.in_service)

    def wanted(self) -> int | None:
        """The input that INT stands for, or None when INT is low."""
        if self._r.awaits != READY or self._r.is_accepting:
            return None
        rank = self._rank(self.requests & ~self._r.mask)
        limit = self._rank(self._counted_service())
        if rank < limit:
            return self._input(rank)
        # The special fully nested mode lets a slave interrupt its own service: the slave knows what may.
        is_nested = self._is_master and bool(self._r.is_special_nested) and self._input(rank) == CASCADE_INPUT
        return CASCADE_INPUT if is_nested and rank == limit < 8 else None

    def accept(self, input: int) -> None:
        """An interrupt-acknowledge cycle for an input. INT falls in it, and rises again if there is more."""
        self._r.is_accepting = True
        self._changed()
        self._r.is_accepting = False
        self._r.edges &= ~(1 << input)
        if not self._r.has_auto_eoi:
            self._r.in_service |= 1 << input
        elif self._r.rotates_in_auto_eoi:
            self._r.highest = input + 1 & 7
        self._changed()

    def vector(self, input: int) -> int:
        """The vector of an input."""
        return int(self._r.vector_base | input)

    # --- the I/O ports

    def read(self, offset: int, size_bytes: int) -> int:
        """IRR or ISR, and the mask (OCW1); after a poll command, the answer to that at either I/O port."""
        if self._r.is_polled:
            return self._poll()
        if offset != COMMAND:
            return int(self._r.mask)
        return int(self._r.in_service) if self._r.reads_isr else self.requests

    def _poll(self) -> int:
        """The read after a poll command is an acknowledge cycle; without a request it gives 0, as in QEMU."""
        self._r.is_polled = False
        input = self.wanted()
        if input is None:
            return 0
        self.accept(input)
        return POLL_INTERRUPT | input

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """ICW1, OCW2 and OCW3 at the first I/O port; ICW2 to ICW4 and OCW1 at the second."""
        if offset != COMMAND:
            self._write_data(value)
        elif value & ICW1:
            self._initialize(value)
        elif value & OCW3:
            self._write_ocw3(value)
        else:
            self._write_ocw2(value)
        self._changed()

    def _initialize(self, icw1: int) -> None:
        """ICW1: a new beginning. Inputs that are high already must rise anew; only ELCR stays."""
        r = self._r
        r.icw1 = icw1
        r.edges = r.in_service = r.mask = r.highest = 0
        r.has_auto_eoi = r.rotates_in_auto_eoi = False
        r.is_special_mask = r.is_special_nested = False
        r.reads_isr = r.is_polled = False
        r.awaits = WANTS_ICW2
        if self._is_master:
            # The slave's INT counts as an edge when it is told next, as in QEMU, so that it cannot get stuck.
            r.levels &= ~(1 << CASCADE_INPUT)

    def _write_data(self, value: int) -> None:
        state, self._r.awaits = self._r.awaits, READY
        if state == READY:
            self._r.mask = value
        elif state == WANTS_ICW4:
            self._r.has_auto_eoi = bool(value & ICW4_AEOI)
            self._r.is_special_nested = bool(value & ICW4_SFNM)
        elif state == WANTS_ICW2:
            self._r.vector_base = value & 0xF8
        if state == WANTS_ICW2 and not self._r.icw1 & ICW1_SNGL:
            self._r.awaits = WANTS_ICW3
        elif state in (WANTS_ICW2, WANTS_ICW3) and self._r.icw1 & ICW1_IC4:
            self._r.awaits = WANTS_ICW4

    def _write_ocw3(self, value: int) -> None:
        if value & OCW3_POLL:
            self._r.is_polled = True
        if value & OCW3_RR:
            self._r.reads_isr = bool(value & OCW3_RIS)
        if value & OCW3_ESMM:
            self._r.is_special_mask = bool(value & OCW3_SMM)

    def _write_ocw2(self, value: int) -> None:
        """End of interrupt and rotation: the eight forms of the data sheet's OCW2 table."""
        input = value & 7
        if not value & OCW2_EOI:
            if not value & OCW2_SPECIFIC:
                self._r.rotates_in_auto_eoi = bool(value & OCW2_ROTATE)
            elif value & OCW2_ROTATE:  # set priority; without OCW2_ROTATE no operation
                self._r.highest = input + 1 & 7
            return
        if not value & OCW2_SPECIFIC:
            ending = self._counted_service()
            if not ending:
                return
            input = self._input(self._rank(ending))
        self._r.in_service &= ~(1 << input)
        if value & OCW2_ROTATE:
            self._r.highest = input + 1 & 7


class EdgeLevelControl:
    """ELCR1 and ELCR2 at 0x4d0 and 0x4d1: a set bit makes an input level-triggered."""

    widest_bytes = 1

    def __init__(self, master: Chip, slave: Chip) -> None:
        self._chips = (master, slave)

    def read(self, offset: int, size_bytes: int) -> int:
        """One chip's register; reserved bits are 0."""
        return self._chips[offset].elcr

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """One chip's register; reserved bits stay 0."""
        self._chips[offset].elcr = value


class Pic:
    """The pair: sixteen `lines` in, one `output` line to the CPU, which answers it with `acknowledge`.

    It begins as firmware leaves it (FIRMWARE_VECTORS and its neighbours above). Line 2 is the cascade and
    leads nowhere. `master`, `slave` and `elcr` are its I/O devices, at MASTER, SLAVE and ELCR; `state` is for
    native handlers (PV_DEVICE_PIC).
    """

    def __init__(self, output: Line) -> None:
        self._output = output
        self.state: Any = ffi.new("pv_pic *")
        self.master = Chip(self._update_output, self.state.chips[0], is_master=True)
        self.slave = Chip(self._update_cascade, self.state.chips[1], is_master=False)
        self.elcr = EdgeLevelControl(self.master, self.slave)
        self.lines: list[Line] = [
            partial(chip.set_level, input) for chip in (self.master, self.slave) for input in range(8)
        ]
        self.lines[CASCADE_INPUT] = unconnected
        self._start()

    def is_masked(self, irq: int) -> bool:
        """Is the line's mask bit set, or that of the cascade on its way?"""
        if irq < 8:
            return self.master.is_masked(irq)
        return self.slave.is_masked(irq - 8) or self.master.is_masked(CASCADE_INPUT)

    def _start(self) -> None:
        """Send what firmware sends."""
        for i, chip in enumerate((self.master, self.slave)):
            chip.write(COMMAND, 1, ICW1 | ICW1_IC4)
            for word in (FIRMWARE_VECTORS[i], (1 << CASCADE_INPUT, CASCADE_INPUT)[i], 1, FIRMWARE_MASKS[i]):
                chip.write(1, 1, word)
            chip.elcr = FIRMWARE_ELCR[i]

    def acknowledge(self) -> int:
        """The two INTA cycles: the vector to deliver.

        Without a request it is that of input 7, whose ISR bit stays clear. If it is the slave that has none,
        that makes IRQ 15, and the master, which knows no better, has the slave's ISR bit set.
        """
        input = self._accept(self.master)
        if input == CASCADE_INPUT:
            return self.slave.vector(_or_spurious(self._accept(self.slave)))
        return self.master.vector(_or_spurious(input))

    @staticmethod
    def _accept(chip: Chip) -> int | None:
        input = chip.wanted()
        if input is not None:
            chip.accept(input)
        return input

    def _update_cascade(self) -> None:
        """INT of the slave goes to the master."""
        self.master.set_level(CASCADE_INPUT, self.slave.wanted() is not None)

    def _update_output(self) -> None:
        """INT of the master goes to the CPU."""
        level = self.master.wanted() is not None
        if level != bool(self.state.has_output):
            self.state.has_output = level
            self._output(level)


def _or_spurious(input: int | None) -> int:
    return SPURIOUS_INPUT if input is None else input
