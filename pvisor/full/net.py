# SPDX-License-Identifier: GPL-2.0-or-later
"""The PC's network card: a Novell NE2000 at I/O port 0x300, IRQ 9. Twin of para/net.py, a ring.

Sources: the data sheet of National's DP8390D/NS32490D (sections are named below), which is the card's
controller; around it Novell put 16 KiB of RAM at 0x4000 of the card's own address space, a PROM with the
address at 0, a data port for the remote DMA and a reset port. Where the sheet leaves room, the card does as
QEMU's ne2k_isa. A frame goes out at once and arrives whole, so there are no collisions and no damaged frames,
and what only concerns these (SEP, OFST, the counters for alignment and CRC) changes nothing. Not modelled:
BOS outside of loopback, ATD. Registers, transmission and reception are here, the remote DMA and what lies in
the card's address space in net_memory.py.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from pvisor.full.net_memory import PAGE_BYTES, Direction, NetMemory
from pvisor.machine.lines import Line
from pvisor.machine.switch import MIN_FRAME_BYTES, PADDED_FRAME_BYTES, Receive

BASE = 0x300
N_IOPORTS = 0x20
IRQ = 9

N_REGISTERS = 0x10
DATA, RESET = 0x10, 0x1F
CR, PSTART, PSTOP, BNRY, TPSR, TBCR0, TBCR1, ISR = range(8)
RSAR0, RSAR1, RBCR0, RBCR1, RCR, TCR, DCR, IMR = range(8, 16)
CLDA0, CLDA1, TSR, NCR, FIFO, RSR, CNTR0, CNTR2 = 0x1, 0x2, 0x4, 0x5, 0x6, 0xC, 0xD, 0xF
PAR0, CURR, MAR0 = 0x1, 0x7, 0x8
"""Page 1."""

CR_STOP, CR_START, CR_TRANSMIT, CR_REMOTE_SHIFT, CR_PAGE_SHIFT = 0x01, 0x02, 0x04, 3, 6
CR_AFTER_RESET = 0x21
ISR_RECEIVED, ISR_SENT, ISR_RECEIVE_ERROR, ISR_OVERWRITE = 0x01, 0x02, 0x04, 0x10
ISR_COUNTER, ISR_REMOTE_DONE, ISR_RESET = 0x20, 0x40, 0x80
RCR_RUNTS, RCR_BROADCAST, RCR_MULTICAST, RCR_PROMISCUOUS, RCR_MONITOR = 0x02, 0x04, 0x08, 0x10, 0x20
TCR_NO_CRC, TCR_LOOPBACK = 0x01, 0x06
DCR_WORDS, DCR_BYTE_ORDER, DCR_LONG_ADDRESS = 0x01, 0x02, 0x04
RSR_INTACT, RSR_CRC_ERROR, RSR_MISSED, RSR_GROUP, RSR_DISABLED = 0x01, 0x02, 0x10, 0x20, 0x40
TSR_SENT = 0x01
TSR_LOOPED = {0x02: 0x53, 0x04: 0x43, 0x06: 0x03}
"""By TCR's loopback mode: inside the controller CRS and CDH are missed, in the encoder CDH (section 12)."""
LOOPED_OUTSIDE = 0x06
DEFINED_BITS = {RCR: 0x3F, TCR: 0x1F, DCR: 0x7F, IMR: 0x7F}
READ_ON_PAGE_2 = frozenset((PSTART, PSTOP, TPSR, RCR, TCR, DCR, IMR))
IDENTITY = {0xA: 0x50, 0xB: 0x43}
"""Reserved in the sheet; QEMU has the RTL8029's here, and on page 3 its configuration registers."""
CONFIGURATION = {0x5: 0x40, 0x6: 0x40}
MAX_TALLY = 0xC0
CRC_BYTES = 4
HEADER_BYTES = 4
BROADCAST = b"\xff" * 6
FIFO_BYTES = 8
"""Half of the FIFO: the other half sends."""

Plug = Callable[[Receive], Callable[[bytes], object]]
"""Puts the cable in: is told who receives, and returns what sends."""


def hash_index(address: bytes) -> int:
    """Which bit of MAR0-7 stands for a group address: the upper six of its CRC (section 10)."""
    reversed_bits = ~zlib.crc32(address) & 0x3F  # zlib's CRC is the mirror image of the wire's
    return int(f"{reversed_bits:06b}"[::-1], 2)


def check_sequence(frame: bytes) -> bytes:
    """The CRC behind a frame, as it lies in memory."""
    return zlib.crc32(frame).to_bytes(CRC_BYTES, "little")


class Ne2000:
    """One card. `mac` is what the PROM says; `irq` is high while ISR and IMR have a bit in common.

    It begins as after a reset, since no firmware has touched it.
    """

    widest_bytes = 4

    def __init__(self, mac: bytes, plug: Plug, irq: Line) -> None:
        self._irq = irq
        self._page0 = bytearray(N_REGISTERS)
        """What was written last; the registers that one reads here are others."""
        self._page1 = bytearray(N_REGISTERS)
        self._memory = NetMemory(mac, self._remote_done)
        self._tally = [0, 0, 0]
        self._fifo = bytearray(FIFO_BYTES)
        self._fifo_at = 0
        self._tsr = self._rsr = 0
        self._local_address = 0
        self._ring_is_full = False
        self._send = plug(self.receive)
        self.reset()

    def reset(self) -> None:
        """The RESET pin (section 11). Registers that are not named there keep what they have."""
        self._cr = CR_AFTER_RESET
        self._is_running = False
        self._isr = ISR_RESET
        self._page0[IMR] = 0
        self._page0[TCR] &= ~TCR_LOOPBACK
        self._page0[DCR] |= DCR_LONG_ADDRESS
        self._memory.command(Direction.ABORT)
        self._update_irq()

    def read(self, offset: int, size_bytes: int) -> int:
        """A register; a reset at offset 0x1f. Only the data port is wider than a byte."""
        if offset == DATA:
            return self._memory.read_data(size_bytes, self._word_bytes)
        if size_bytes > 1:
            return sum(self.read(offset + i, 1) << 8 * i for i in range(size_bytes))
        if offset == CR:
            return self._cr
        if offset < N_REGISTERS:
            return self._read_register(self._cr >> CR_PAGE_SHIFT, offset)
        if offset == RESET:
            self.reset()
            return 0
        return 0xFF

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """A register, or the data port. Page 2 and 3 are not for writing, and the reset port needs none."""
        if offset == DATA:
            self._memory.write_data(size_bytes, self._word_bytes, value)
        elif size_bytes > 1:
            for i in range(size_bytes):
                self.write(offset + i, 1, value >> 8 * i & 0xFF)
        elif offset == CR:
            self._command(value)
        elif offset < N_REGISTERS:
            page = self._cr >> CR_PAGE_SHIFT
            if page == 0:
                self._write_page0(offset, value)
            elif page == 1:
                self._page1[offset] = value
                if offset == CURR:
                    self._ring_is_full = False

    @property
    def _word_bytes(self) -> int:
        return 2 if self._page0[DCR] & DCR_WORDS else 1

    def _update_irq(self) -> None:
        self._irq(bool(self._isr & self._page0[IMR]))

    def _raise(self, bits: int) -> None:
        self._isr |= bits
        self._update_irq()

    def _command(self, value: int) -> None:
        """CR. Neither STP nor STA: goes on as it is. Transmission is over before the write is."""
        self._cr = value & ~CR_TRANSMIT
        if value & CR_STOP:
            self._is_running = False
            self._isr |= ISR_RESET
        elif value & CR_START:
            self._is_running = True
            self._isr &= ~ISR_RESET
        self._memory.command(Direction.of(value >> CR_REMOTE_SHIFT & 7), self._page0[BNRY])
        if self._is_running:
            self._memory.finish_empty()
            if value & CR_TRANSMIT:
                self._transmit()

    def _read_register(self, page: int, offset: int) -> int:
        if page == 0:
            return self._read_page0(offset)
        if page == 1:
            return self._page1[offset]
        if page == 2:
            return self._page0[offset] if offset in READ_ON_PAGE_2 else 0
        return CONFIGURATION.get(offset, 0)

    def _read_page0(self, offset: int) -> int:
        if offset == ISR:
            return self._isr
        if offset == BNRY:
            return self._page0[BNRY]
        if offset == TSR:
            return self._tsr
        if offset == RSR:
            return self._rsr | (RSR_DISABLED if self._page0[RCR] & RCR_MONITOR else 0)
        if offset == FIFO:
            return self._read_fifo()
        if CNTR0 <= offset <= CNTR2:
            count, self._tally[offset - CNTR0] = self._tally[offset - CNTR0], 0
            return count
        if offset in (CLDA0, CLDA1):
            return self._local_address >> 8 * (offset - CLDA0) & 0xFF
        if offset in (RSAR0, RSAR1):  # as CRDA
            return self._memory.address >> 8 * (offset - RSAR0) & 0xFF
        return IDENTITY.get(offset, 0)  # NCR too: there are no collisions

    def _write_page0(self, offset: int, value: int) -> None:
        self._page0[offset] = value & DEFINED_BITS.get(offset, 0xFF)
        if offset == ISR:
            self._isr &= ~value | ISR_RESET
            self._update_irq()
        elif offset == IMR:
            self._update_irq()
        elif offset == BNRY:
            self._free_pages(value)
        elif offset in (PSTART, PSTOP):
            self._memory.set_ring(self._page0[PSTART], self._page0[PSTOP])
        elif offset in (RSAR0, RSAR1):
            self._memory.set_address_byte(offset - RSAR0, value)
        elif offset in (RBCR0, RBCR1):
            self._memory.set_count_byte(offset - RBCR0, value)

    def _free_pages(self, boundary: int) -> None:
        """Packets were taken out of the ring, which ends an overflow (section 10, ISR)."""
        self._page0[BNRY] = boundary
        self._ring_is_full = False
        if self._is_running:
            self._isr &= ~ISR_RESET

    def _remote_done(self, boundary: int | None) -> None:
        """The remote DMA has moved its last byte; after a packet that was sent BNRY goes on."""
        if boundary is not None:
            self._free_pages(boundary)
        self._raise(ISR_REMOTE_DONE)

    def _read_fifo(self) -> int:
        """What loopback left. Otherwise the FIFO is not for reading, and nothing is in it."""
        value = self._fifo[self._fifo_at]
        self._fifo_at = (self._fifo_at + 1) % FIFO_BYTES
        return value

    def _transmit(self) -> None:
        """Send TBCR bytes from page TPSR on. What does not lie in RAM only counts as sent."""
        n_bytes = self._page0[TBCR0] | self._page0[TBCR1] << 8
        start = self._page0[TPSR] * PAGE_BYTES
        data = self._memory.local_read(start, n_bytes)
        self._local_address = start + n_bytes & 0xFFFF
        loopback = self._page0[TCR] & TCR_LOOPBACK
        if loopback:
            self._loop_back(self._loopback_bytes(data))
        if loopback in (0, LOOPED_OUTSIDE):
            self._send_out(data)
        self._tsr = TSR_LOOPED.get(loopback, TSR_SENT)
        self._raise(ISR_SENT)

    def _send_out(self, data: bytes) -> None:
        """Give a frame to the cable. With TCR.CRC it brings its check sequence: a wrong one is no frame."""
        if self._page0[TCR] & TCR_NO_CRC:
            data, sequence = data[:-CRC_BYTES], data[-CRC_BYTES:]
            if sequence != check_sequence(data):
                return
        if len(data) >= MIN_FRAME_BYTES:
            self._send(data.ljust(PADDED_FRAME_BYTES, b"\0"))

    def _loopback_bytes(self, data: bytes) -> bytes:
        """Loopback moves bytes only: of words, the odd ones, with BOS the even ones (section 12)."""
        if self._word_bytes == 1:
            return data
        return data[0 if self._page0[DCR] & DCR_BYTE_ORDER else 1 :: 2]

    def _loop_back(self, data: bytes) -> None:
        """Receive what is sent, into the FIFO only: RSR tells of it, memory and ISR do not (section 12).

        A CRC that the card has made itself it cannot check, and calls it wrong.
        """
        if self._page0[TCR] & TCR_NO_CRC:
            received = data
            is_intact = data[-CRC_BYTES:] == check_sequence(data[:-CRC_BYTES])
        else:
            received, is_intact = data + check_sequence(data), False
        self._rsr = RSR_INTACT
        if len(received) >= 6 and self._is_for_us(received[:6]):
            self._rsr = RSR_INTACT if is_intact else RSR_CRC_ERROR
            self._rsr |= RSR_GROUP if received[0] & 1 else 0
        n_bytes = len(received)
        for i in range(max(0, n_bytes - FIFO_BYTES), n_bytes):
            self._fifo[i % FIFO_BYTES] = received[i]
        for i, count in enumerate((n_bytes & 0xFF, n_bytes >> 8, n_bytes >> 8)):
            self._fifo[(n_bytes + i) % FIFO_BYTES] = count
        self._fifo_at = 0

    def receive(self, frame: bytes) -> None:
        """A frame comes in by the cable: it is stored in the ring, missed, or not for us."""
        if not self._is_running or self._page0[TCR] & TCR_LOOPBACK or not self._is_for_us(frame[:6]):
            return
        if len(frame) < PADDED_FRAME_BYTES and not self._page0[RCR] & RCR_RUNTS:
            return
        self._rsr = RSR_GROUP if frame[0] & 1 else 0
        if self._page0[RCR] & RCR_MONITOR:
            self._miss(ISR_RECEIVE_ERROR)
            return
        pages = self._pages_for(HEADER_BYTES + len(frame) + CRC_BYTES)
        if pages is None:
            self._miss(ISR_RECEIVE_ERROR | ISR_OVERWRITE | ISR_RESET)
            return
        self._rsr |= RSR_INTACT
        self._store(frame, pages)

    def _is_for_us(self, address: bytes) -> bool:
        """RCR's filter. Promiscuous are physical addresses only."""
        accepted = self._page0[RCR]
        if address == BROADCAST:
            return bool(accepted & RCR_BROADCAST)
        if address[0] & 1:
            index = hash_index(address)
            return bool(accepted & RCR_MULTICAST and self._page1[MAR0 + index // 8] >> index % 8 & 1)
        return bool(accepted & RCR_PROMISCUOUS) or address == self._page1[PAR0 : PAR0 + 6]

    def _miss(self, reasons: int) -> None:
        self._rsr |= RSR_MISSED
        self._tally[2] = min(self._tally[2] + 1, MAX_TALLY)
        self._raise(reasons | (ISR_COUNTER if self._tally[2] & 0x80 else 0))

    def _pages_for(self, n_bytes: int) -> list[int] | None:
        """The ring's next pages, and the one behind them; None when BNRY is in the way (section 7).

        Only the page that is entered is compared, so CURR may catch up with BNRY: then the ring is full,
        whereas the same values mean an empty ring after one of them was written.
        """
        if self._ring_is_full:
            return None
        pages = [self._page1[CURR]]
        for _ in range(-(-n_bytes // PAGE_BYTES)):
            page = pages[-1] + 1 & 0xFF
            pages.append(self._page0[PSTART] if page == self._page0[PSTOP] else page)
        return None if self._page0[BNRY] in pages[1:-1] else pages

    def _store(self, frame: bytes, pages: list[int]) -> None:
        """Header, frame and CRC; the header's count has the CRC, but not itself."""
        n_bytes = len(frame) + CRC_BYTES
        packet = bytes((self._rsr, pages[-1], n_bytes & 0xFF, n_bytes >> 8)) + frame + check_sequence(frame)
        for i, page in enumerate(pages[:-1]):
            self._memory.local_write(page * PAGE_BYTES, packet[i * PAGE_BYTES : (i + 1) * PAGE_BYTES])
        self._page1[CURR] = pages[-1]
        self._local_address = pages[-1] * PAGE_BYTES
        self._ring_is_full = pages[-1] == self._page0[BNRY]
        self._raise(ISR_RECEIVED)
