# SPDX-License-Identifier: GPL-2.0-or-later
"""An 8259 pair on a bus, for its tests."""

from __future__ import annotations

from pvisor.full.pic import ELCR, MASTER, N_IOPORTS, SLAVE, Pic
from pvisor.machine.ioports import IoPortBus

EOI, SPECIFIC_EOI, ROTATE_EOI, ROTATE_SPECIFIC_EOI, SET_PRIORITY = 0x20, 0x60, 0xA0, 0xE0, 0xC0
ROTATE_IN_AUTO_EOI_SET, ROTATE_IN_AUTO_EOI_CLEAR, NO_OPERATION = 0x80, 0x00, 0x40
READ_IRR, READ_ISR, POLL = 0x0A, 0x0B, 0x0C
SPECIAL_MASK_SET, SPECIAL_MASK_RESET = 0x68, 0x48


class PicBoard:
    """A pair on a bus, initialised as kernels do: vectors 0x20 and 0x28, nothing masked."""

    def __init__(self, *, fresh: bool = False) -> None:
        self.output: list[bool] = []
        self.pic = Pic(self.output.append)
        self.bus = IoPortBus()
        for base, device in ((MASTER, self.pic.master), (SLAVE, self.pic.slave), (ELCR, self.pic.elcr)):
            self.bus.attach(base, N_IOPORTS, device)
        if not fresh:
            self.initialize(MASTER, 0x11, 0x20, 0x04, 0x01)
            self.initialize(SLAVE, 0x11, 0x28, 0x02, 0x01)
            self.out(ELCR, 0)
            self.out(ELCR + 1, 0)
            self.output.clear()

    def out(self, ioport: int, value: int) -> None:
        self.bus.write(ioport, 1, value)

    def initialize(self, base: int, icw1: int, *words: int) -> None:
        self.out(base, icw1)
        for word in words:
            self.out(base + 1, word)

    def raise_irq(self, *irqs: int) -> None:
        for irq in irqs:
            self.pic.lines[irq](True)

    def pulse(self, irq: int) -> None:
        self.pic.lines[irq](True)
        self.pic.lines[irq](False)

    @property
    def has_interrupt(self) -> bool:
        return bool(self.output) and self.output[-1]

    def register(self, base: int, ocw3: int) -> int:
        self.out(base, ocw3)
        return self.bus.read(base, 1)

    @property
    def isr(self) -> tuple[int, int]:
        return self.register(MASTER, READ_ISR), self.register(SLAVE, READ_ISR)

    @property
    def irr(self) -> tuple[int, int]:
        return self.register(MASTER, READ_IRR), self.register(SLAVE, READ_IRR)

    def take_all(self, n: int = 16) -> list[int]:
        """Acknowledge and end interrupts, the slave's first, until there are none."""
        vectors: list[int] = []
        while self.has_interrupt and len(vectors) < n:
            vectors.append(self.pic.acknowledge())
            if vectors[-1] >= 0x28:
                self.out(SLAVE, EOI)
            self.out(MASTER, EOI)
        return vectors
