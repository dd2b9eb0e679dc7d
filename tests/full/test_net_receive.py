# SPDX-License-Identifier: GPL-2.0-or-later
"""The NE2000 by offset, from the DP8390D's data sheet; no CPU: reception, the ring, loopback."""

from __future__ import annotations

import random
import zlib

import pytest

from pvisor.full.net import hash_index
from tests.full.net_card import (
    BNRY,
    BROADCAST,
    CNT,
    CNTR0,
    CNTR1,
    CNTR2,
    CR,
    CURR,
    DATA,
    FIFO,
    GROUP,
    ISR,
    MAC,
    MAR0,
    OTHER,
    OVW,
    PAR0,
    PRX,
    PTX,
    RCR,
    RDC,
    RSR,
    RST,
    RXE,
    TCR,
    TSR,
    Card,
    frame,
)  # fmt: skip


@pytest.fixture
def card() -> Card:
    return Card()


def test_a_frame_is_stored_with_header_and_crc(card: Card) -> None:
    data = frame(n_bytes=70)
    card.push(data)
    assert (card.get(ISR), card.get(RSR), card.on_page(1, CURR)) == (PRX, 0x01, 0x48)
    crc = zlib.crc32(data).to_bytes(4, "little")
    assert card.peek(0x4700, 78) == bytes((0x01, 0x48, 74, 0)) + data + crc


@pytest.mark.parametrize(("n_bytes", "n_pages"), [(60, 1), (248, 1), (249, 2), (504, 2), (505, 3), (1514, 6)])
def test_pages_of_a_packet(card: Card, n_bytes: int, n_pages: int) -> None:
    """Header, data and CRC in pages of 256 bytes."""
    card.push(frame(n_bytes=n_bytes))
    assert card.on_page(1, CURR) == 0x47 + n_pages
    assert card.peek(0x4700, 4) == bytes((0x01, 0x47 + n_pages, n_bytes + 4 & 0xFF, n_bytes + 4 >> 8))


@pytest.mark.parametrize(
    ("rcr", "taken"),
    [(0x00, {"mac"}), (0x04, {"mac", "broadcast"}), (0x08, {"mac", "hit"}), (0x10, {"mac", "other"}),
     (0x1C, {"mac", "other", "broadcast", "hit"}), (0x0C, {"mac", "broadcast", "hit"})],
)  # fmt: skip
def test_the_filter(card: Card, rcr: int, taken: set[str]) -> None:
    miss = bytes.fromhex("01005e000002")
    card.out(RCR, rcr)
    mask = bytearray(8)
    mask[hash_index(GROUP) // 8] |= 1 << hash_index(GROUP) % 8
    card.page1(MAR0, bytes(mask))
    heard = set()
    stations = {"mac": MAC, "broadcast": BROADCAST, "hit": GROUP, "miss": miss, "other": OTHER}
    for name, address in stations.items():
        card.push(frame(address))
        if card.get(ISR) & PRX:
            heard.add(name)
            assert card.get(RSR) == (0x21 if address[0] & 1 else 0x01)
        card.out(ISR, 0xFF)
        card.out(BNRY, 0x46)
    assert heard == taken


def test_the_address_is_the_register_not_the_prom(card: Card) -> None:
    card.page1(PAR0, OTHER)
    card.push(frame(MAC))
    assert card.get(ISR) == 0
    card.push(frame(OTHER))
    assert card.get(ISR) == PRX


def test_the_hash_is_the_upper_six_bits_of_the_crc() -> None:
    def by_bits(address: bytes) -> int:
        crc = 0xFFFF_FFFF
        for byte in address:
            for i in range(8):
                crc = crc << 1 ^ (0x04C1_1DB7 if (crc >> 31 ^ byte >> i) & 1 else 0)
                crc &= 0xFFFF_FFFF
        return crc >> 26

    chance = random.Random(1)
    for address in [GROUP, BROADCAST, *(chance.randbytes(6) for _ in range(100))]:
        assert hash_index(address) == by_bits(address)


def test_runts_come_in_by_request_only(card: Card) -> None:
    card.push(frame(n_bytes=59))
    assert card.get(ISR) == 0
    card.out(RCR, 0x02)
    card.push(frame(n_bytes=14))
    assert card.get(ISR) == PRX
    assert card.peek(0x4700, 4) == bytes((0x01, 0x48, 18, 0))


def test_monitor_mode_counts_only(card: Card) -> None:
    card.out(RCR, 0x20)
    card.push(frame())
    card.push(frame(OTHER))
    assert (card.get(ISR), card.get(RSR), card.on_page(1, CURR)) == (RXE, 0x50, 0x47)
    assert (card.get(CNTR2), card.get(CNTR2)) == (1, 0), "reading clears it"
    card.out(RCR, 0)
    assert card.get(RSR) == 0x10


def test_the_tally_stops_at_192_and_tells_from_128(card: Card) -> None:
    card.out(RCR, 0x20)
    for _ in range(127):
        card.push(frame())
    assert card.get(ISR) == RXE
    card.push(frame())
    assert card.get(ISR) == RXE | CNT
    for _ in range(100):
        card.push(frame())
    assert (card.get(CNTR0), card.get(CNTR1), card.get(CNTR2)) == (0, 0, 192)


# --- the ring


def test_the_ring_wraps_in_the_middle_of_a_packet(card: Card) -> None:
    card.start(start=0x46, stop=0x4A)
    card.out(BNRY, 0x48)
    card.page1(CURR, b"\x49")
    data = frame(n_bytes=400)
    card.push(data)
    assert card.on_page(1, CURR) == 0x47
    assert card.peek(0x4900, 256) == bytes((0x01, 0x47, 404 & 0xFF, 404 >> 8)) + data[:252]
    assert card.peek(0x4600, 148) == data[252:]
    assert card.peek(0x4900, 404)[4:] == data, "the remote DMA wraps as well"


def test_overflow_keeps_what_is_there(card: Card) -> None:
    card.start(start=0x46, stop=0x4A)
    for _ in range(2):
        card.push(frame())
    assert (card.on_page(1, CURR), card.get(ISR)) == (0x49, PRX)
    kept = card.peek(0x4600, 0x400)
    card.out(CR, 0x22)
    card.out(ISR, RDC)
    card.push(frame(n_bytes=300))
    assert card.get(ISR) == PRX | RXE | OVW | RST
    card.out(CR, 0x62)
    assert card.get(CURR) == 0x49
    card.out(CR, 0x22)
    assert card.get(ISR) == PRX | RXE | OVW, "a start command clears the reset bit"
    card.push(frame(n_bytes=300))
    assert (card.get(RSR), card.get(CNTR2)) == (0x10, 2)
    card.out(ISR, 0x7F)
    assert card.get(ISR) == RST
    card.out(BNRY, 0x48)
    assert card.get(ISR) == 0, "a packet was taken out"
    assert card.peek(0x4600, 0x400) == kept
    card.out(CR, 0x22)
    card.out(ISR, RDC)
    card.push(frame(n_bytes=300))
    assert (card.get(ISR), card.on_page(1, CURR)) == (PRX, 0x47)


def test_a_ring_that_is_filled_to_the_last_page_is_full_not_empty(card: Card) -> None:
    card.start(start=0x46, stop=0x4A)
    card.page1(CURR, b"\x46")
    for _ in range(4):
        card.push(frame())
    assert (card.on_page(1, CURR), card.get(BNRY), card.get(ISR)) == (0x46, 0x46, PRX)
    card.push(frame())
    assert card.get(ISR) & OVW
    card.out(BNRY, 0x46)
    card.out(ISR, 0xFF)
    card.push(frame())
    assert card.get(ISR) == PRX, "BNRY written up to CURR: all was read"


@pytest.mark.parametrize("seed", range(20))
def test_nonsense_is_harmless(seed: int) -> None:
    """Any values in any registers, any frames: no exception, and nothing grows."""
    chance = random.Random(seed)
    card = Card(started=chance.random() < 0.8)
    for _ in range(3000):
        act = chance.randrange(8)
        if act < 3:
            size_bytes = 4 if act == 0 else 1
            card.out(chance.randrange(0x20), chance.randrange(1 << 8 * size_bytes), size_bytes)
        elif act < 4:
            size_bytes = chance.choice((1, 2, 4))
            value = card.get(chance.randrange(0x20), size_bytes)
            assert 0 <= value < 1 << 8 * size_bytes
        elif act < 5:
            card.out(CR, chance.choice((0x22, 0x26, 0x0A, 0x12, 0x1A, 0x62, 0x3E, 0x06)))
        elif act < 6:
            card.out(DATA, chance.randrange(1 << 16), 2)
        else:
            card.push(frame(chance.choice((MAC, OTHER, GROUP, BROADCAST)), chance.randrange(14, 1515)))
    assert all(len(data) >= 60 for data in card.sent)


@pytest.mark.parametrize(
    ("start", "stop", "boundary", "current"),
    [(0x80, 0x46, 0x46, 0x47), (0x46, 0x46, 0x46, 0x46), (0, 0, 0, 0), (0x46, 0x80, 0x10, 0x90),
     (0xFF, 0x00, 0xFE, 0xFF), (0x46, 0x80, 0xFF, 0x20)],
)  # fmt: skip
def test_rings_that_are_none(start: int, stop: int, boundary: int, current: int) -> None:
    card = Card()
    card.start(start=start, stop=stop)
    card.out(BNRY, boundary)
    card.page1(CURR, bytes((current,)))
    for i in range(300):
        card.push(frame(n_bytes=60 + i * 4))
        card.get(RSR)
        card.out(CR, 0x1A)
        card.get(DATA, 4)
        card.out(CR, 0x22)
    card.out(RCR, 0)
    card.start()
    card.out(ISR, 0xFF)
    card.push(frame())
    assert card.get(ISR) == PRX and card.peek(0x4704, 60) == frame(), "set right, it works again"


# --- loopback (section 12)


@pytest.mark.parametrize(("tcr", "tsr", "is_sent"), [(0x02, 0x53, 0), (0x04, 0x43, 0), (0x06, 0x03, 1)])
def test_loopback(card: Card, tcr: int, tsr: int, is_sent: int) -> None:
    card.start(dcr=0x40, rcr=0)
    card.out(TCR, tcr)
    data = frame(MAC, 64, MAC)
    card.transmit(data)
    assert (card.get(TSR), card.get(RSR), card.get(ISR)) == (tsr, 0x02, PTX | RDC)
    assert len(card.sent) == is_sent
    assert card.on_page(1, CURR) == 0x47, "nothing is stored"
    crc = zlib.crc32(data).to_bytes(4, "little")
    # 68 bytes: byte 64 is at location 0 again, behind the CRC comes the count.
    assert bytes(card.get(FIFO) for _ in range(8)) == crc + bytes((68, 0, 0)) + data[63:64]
    assert card.get(FIFO) == crc[0], "it goes round"


def test_loopback_aligned_as_in_the_data_sheet(card: Card) -> None:
    """A packet of (N * 8) + 5 bytes: its last five, then the count, the upper half of it twice."""
    card.start(dcr=0x40, rcr=0)
    card.out(TCR, 0x02)
    data = frame(MAC, 297, MAC)
    card.transmit(data)
    assert bytes(card.get(FIFO) for _ in range(8)) == data[-1:] + zlib.crc32(data).to_bytes(
        4, "little"
    ) + bytes((301 & 0xFF, 1, 1))


@pytest.mark.parametrize(
    ("address", "is_good", "rsr"),
    [(MAC, True, 0x01), (MAC, False, 0x02), (OTHER, False, 0x01), (BROADCAST, True, 0x21),
     (BROADCAST, False, 0x22)],
)  # fmt: skip
def test_crc_and_address_recognition(card: Card, address: bytes, is_good: bool, rsr: int) -> None:
    card.start(dcr=0x40, rcr=0x04)
    card.out(TCR, 0x03)
    data = frame(address)
    crc = zlib.crc32(data) ^ (0 if is_good else 1)
    card.transmit(data + crc.to_bytes(4, "little"))
    assert (card.get(RSR), card.sent) == (rsr, [])


@pytest.mark.parametrize(("dcr", "first"), [(0x41, 1), (0x43, 0)])
def test_loopback_of_words_is_of_every_other_byte(card: Card, dcr: int, first: int) -> None:
    card.start(dcr=dcr, rcr=0)
    card.out(TCR, 0x03)
    data = bytes(random.Random(3).randbytes(128))
    card.transmit(data)
    # 64 bytes: the last ones at locations 3 to 7, the count before them.
    assert bytes(card.get(FIFO) for _ in range(8)) == bytes((64, 0, 0)) + data[first::2][-5:]


@pytest.mark.parametrize("tcr", [0x02, 0x04, 0x06])
def test_in_loopback_the_network_is_not_heard(card: Card, tcr: int) -> None:
    card.out(TCR, tcr)
    card.push(frame())
    assert card.get(ISR) == 0
    card.out(TCR, 0)
    card.push(frame())
    assert card.get(ISR) == PRX


@pytest.mark.parametrize("n_bytes", [0, 1, 3, 4, 5, 6, 0x4000, 0xFFFF])
@pytest.mark.parametrize("tcr", [0x02, 0x03])
def test_loopback_of_nonsense(card: Card, tcr: int, n_bytes: int) -> None:
    card.start(dcr=0x48, rcr=0x1C)
    card.out(TCR, tcr)
    card.transmit(b"", 0x40, n_bytes)
    assert card.get(ISR) & PTX and card.sent == []
