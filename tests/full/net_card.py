# SPDX-License-Identifier: GPL-2.0-or-later
"""An NE2000 on the bench, for tests of the card without a CPU."""

from __future__ import annotations

from collections.abc import Callable

from pvisor.full.net import Ne2000

MAC = bytes.fromhex("525400123456")
OTHER = bytes.fromhex("525400ffff01")
BROADCAST = b"\xff" * 6
GROUP = bytes.fromhex("01005e000001")

CR, PSTART, PSTOP, BNRY, TPSR, TBCR0, TBCR1, ISR = range(8)
RSAR0, RSAR1, RBCR0, RBCR1, RCR, TCR, DCR, IMR = range(8, 16)
TSR, NCR, FIFO, RSR, CNTR0, CNTR1, CNTR2 = 4, 5, 6, 12, 13, 14, 15
CURR, PAR0, MAR0 = 7, 1, 8
DATA, RESET = 0x10, 0x1F
PRX, PTX, RXE, TXE, OVW, CNT, RDC, RST = (1 << i for i in range(8))


class Card:
    """A card with its cable cut open: what it sends is kept, what it hears is pushed in."""

    def __init__(self, *, started: bool = True) -> None:
        self.sent: list[bytes] = []
        self.levels: list[bool] = []
        self.push: Callable[[bytes], object]

        def plug(receive: Callable[[bytes], object]) -> Callable[[bytes], object]:
            self.push = receive
            return self.sent.append

        self.nic = Ne2000(MAC, plug, self.levels.append)
        if started:
            self.start()

    def out(self, offset: int, value: int, size_bytes: int = 1) -> None:
        self.nic.write(offset, size_bytes, value)

    def get(self, offset: int, size_bytes: int = 1) -> int:
        return self.nic.read(offset, size_bytes)

    def start(self, *, dcr: int = 0x49, rcr: int = 0x04, start: int = 0x46, stop: int = 0x80) -> None:
        """Initialization as the data sheet's section 11 has it."""
        self.out(CR, 0x21)
        self.out(DCR, dcr)
        self.out(RBCR0, 0)
        self.out(RBCR1, 0)
        self.out(RCR, rcr)
        self.out(TCR, 0x02)
        self.out(PSTART, start)
        self.out(PSTOP, stop)
        self.out(BNRY, start)
        self.out(ISR, 0xFF)
        self.out(IMR, 0)
        self.page1(PAR0, MAC)
        self.page1(CURR, bytes((start + 1 & 0xFF,)))
        self.page1(MAR0, bytes(8))
        self.out(CR, 0x22)
        self.out(TCR, 0)

    def page1(self, offset: int, values: bytes) -> None:
        before = self.get(CR)
        self.out(CR, 0x40 | before & 0x3F)
        for i, value in enumerate(values):
            self.out(offset + i, value)
        self.out(CR, before)

    def on_page(self, page: int, offset: int) -> int:
        before = self.get(CR)
        self.out(CR, page << 6 | before & 0x3F)
        value = self.get(offset)
        self.out(CR, before)
        return value

    def remote(self, command: int, address: int, n_bytes: int) -> None:
        for offset, value in ((RSAR0, address), (RBCR0, n_bytes)):
            self.out(offset, value & 0xFF)
            self.out(offset + 1, value >> 8)
        self.out(CR, command)

    def peek(self, address: int, n_bytes: int) -> bytes:
        width = 2 if self.on_page(2, DCR) & 1 else 1
        self.remote(0x0A, address, n_bytes)
        data = b"".join(self.get(DATA, width).to_bytes(width, "little") for _ in range(0, n_bytes, width))
        return data[:n_bytes]

    def poke(self, address: int, data: bytes) -> None:
        width = 2 if self.on_page(2, DCR) & 1 else 1
        self.remote(0x12, address, len(data))
        for i in range(0, len(data), width):
            self.out(DATA, int.from_bytes(data[i : i + width], "little"), width)

    def transmit(self, data: bytes, page: int = 0x40, n_bytes: int | None = None) -> None:
        self.poke(page << 8, data)
        n_bytes = len(data) if n_bytes is None else n_bytes
        self.out(TPSR, page)
        self.out(TBCR0, n_bytes & 0xFF)
        self.out(TBCR1, n_bytes >> 8)
        self.out(CR, 0x26)


def frame(destination: bytes = MAC, n_bytes: int = 60, source: bytes = OTHER) -> bytes:
    return (destination + source + b"\x88\xb5" + bytes(i * 7 & 0xFF for i in range(1600)))[:n_bytes]
