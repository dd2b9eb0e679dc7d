# SPDX-License-Identifier: GPL-2.0-or-later
"""The NE2000 by offset, from the DP8390D's data sheet; no CPU: registers, remote DMA, transmission."""

from __future__ import annotations

import zlib

import pytest

from pvisor.machine.switch import default_mac
from tests.full.net_card import (
    BNRY,
    BROADCAST,
    CR,
    CURR,
    DATA,
    DCR,
    IMR,
    ISR,
    MAC,
    NCR,
    PRX,
    PSTART,
    PSTOP,
    PTX,
    RBCR1,
    RCR,
    RDC,
    RESET,
    RSAR0,
    RSAR1,
    RST,
    TCR,
    TPSR,
    TSR,
    Card,
    frame,
)  # fmt: skip


@pytest.fixture
def card() -> Card:
    return Card()


# --- reset and registers


def test_after_power_up() -> None:
    card = Card(started=False)
    assert card.get(CR) == 0x21
    assert card.get(ISR) == RST
    assert (card.on_page(2, IMR), card.on_page(2, TCR), card.on_page(2, DCR)) == (0, 0, 4)
    assert card.sent == [] and not any(card.levels)


def test_a_read_of_the_reset_port_resets(card: Card) -> None:
    card.out(IMR, 0x7F)
    card.out(DCR, 0x49)
    card.out(TCR, 0x1F)
    card.transmit(frame(BROADCAST))
    assert card.levels[-1] is True
    assert card.get(RESET) == 0
    assert (card.get(CR), card.get(ISR), card.levels[-1]) == (0x21, RST, False)
    assert (card.on_page(2, IMR), card.on_page(2, TCR), card.on_page(2, DCR)) == (0, 0x19, 0x4D)
    assert card.on_page(2, PSTART) == 0x46
    card.push(frame())
    assert card.get(ISR) == RST, "a stopped card receives nothing"


def test_a_write_to_the_reset_port_does_nothing(card: Card) -> None:
    card.out(RESET, 0xFF)
    assert (card.get(CR), card.get(ISR)) == (0x22, 0)


def test_stop_and_start(card: Card) -> None:
    card.out(CR, 0x21)
    assert card.get(ISR) == RST
    card.out(ISR, 0xFF)
    assert card.get(ISR) == RST, "writing does not clear it"
    card.out(CR, 0x20)
    assert card.get(ISR) == RST, "neither STP nor STA: still stopped"
    card.out(CR, 0x22)
    assert card.get(ISR) == 0
    card.out(CR, 0x20)
    card.push(frame())
    assert card.get(ISR) == PRX, "neither STP nor STA: still running"


def test_a_stopped_card_neither_sends_nor_receives(card: Card) -> None:
    card.transmit(frame(BROADCAST))
    card.out(ISR, 0xFF)
    card.out(CR, 0x21)
    card.push(frame())
    for command in (0x25, 0x27, 0x24):
        card.out(CR, command)
        assert card.get(CR) == command & ~4
    assert card.get(ISR) == RST and len(card.sent) == 1
    card.out(CR, 0x26)
    assert card.get(ISR) == PTX and len(card.sent) == 2


def test_page_1_is_memory(card: Card) -> None:
    values = bytes(range(0x31, 0x40))
    card.page1(1, values)
    assert bytes(card.on_page(1, 1 + i) for i in range(15)) == values


def test_page_2_shows_what_was_written(card: Card) -> None:
    card.out(TPSR, 0x41)
    card.out(RCR, 0xFF)
    card.out(TCR, 0xF9)
    card.out(DCR, 0xFF)
    card.out(IMR, 0xFF)
    shown = {i: card.on_page(2, i) for i in range(1, 16)}
    assert shown == {PSTART: 0x46, PSTOP: 0x80, 3: 0, TPSR: 0x41, 5: 0, 6: 0, 7: 0, 8: 0, 9: 0, 10: 0, 11: 0,
                     RCR: 0x3F, TCR: 0x19, DCR: 0x7F, IMR: 0x7F}  # fmt: skip


@pytest.mark.parametrize("page", [2, 3])
def test_the_upper_pages_are_not_for_writing(card: Card, page: int) -> None:
    before = [card.on_page(p, i) for p in (0, 1, 2, 3) for i in range(1, 16)]
    card.out(CR, page << 6 | 0x22)
    for i in range(1, 16):
        card.out(i, 0xA5)
    card.out(CR, 0x22)
    assert [card.on_page(p, i) for p in (0, 1, 2, 3) for i in range(1, 16)] == before


def test_what_is_reserved_is_as_in_qemu(card: Card) -> None:
    assert (card.get(0xA), card.get(0xB), card.get(NCR)) == (0x50, 0x43, 0)
    assert [card.on_page(3, i) for i in range(3, 7)] == [0, 0, 0x40, 0x40]


def test_isr_bits_are_cleared_by_ones(card: Card) -> None:
    card.transmit(frame(BROADCAST))
    card.push(frame())
    assert card.get(ISR) == PTX | PRX | RDC
    card.out(ISR, PTX)
    assert card.get(ISR) == PRX | RDC
    card.out(ISR, 0)
    assert card.get(ISR) == PRX | RDC
    card.out(ISR, 0xFF)
    assert card.get(ISR) == 0


def test_the_line_is_isr_and_imr(card: Card) -> None:
    card.out(IMR, PTX)
    card.push(frame())
    assert card.levels[-1] is False
    card.out(IMR, PRX)
    assert card.levels[-1] is True
    card.push(frame())
    card.out(ISR, PTX)
    assert card.levels[-1] is True
    card.out(ISR, PRX)
    assert card.levels[-1] is False
    card.out(IMR, 0x80)
    card.out(CR, 0x21)
    assert card.levels[-1] is False, "the reset bit interrupts nobody"


def test_a_wide_access_to_registers_is_bytes(card: Card) -> None:
    card.out(PSTART, 0x7F4A, 2)
    assert (card.on_page(2, PSTART), card.on_page(2, PSTOP)) == (0x4A, 0x7F)
    assert card.get(0x0A, 2) == 0x4350
    assert card.get(0x11, 4) == 0xFFFF_FFFF
    card.out(0x11, 0x1234_5678, 4)
    assert card.get(0x1E, 2) == 0x00FF, "with the reset port in it"
    assert card.get(CR) == 0x21
    assert card.get(0x1E, 4) == 0xFFFF_00FF


# --- remote DMA


def test_the_prom_has_each_byte_twice(card: Card) -> None:
    card.out(DCR, 0x48)
    bytes_seen = card.peek(0, 32)
    assert bytes_seen[::2] == bytes_seen[1::2] == MAC + bytes(8) + b"WW"
    card.out(DCR, 0x49)
    assert card.peek(0, 32) == bytes_seen
    card.poke(0, b"spoiled!")
    assert card.peek(0, 32) == bytes_seen


@pytest.mark.parametrize(("dcr", "width", "moved"), [(0x48, 1, 1), (0x49, 2, 2), (0x48, 4, 4), (0x49, 4, 4)])
def test_memory_by_all_widths(card: Card, dcr: int, width: int, moved: int) -> None:
    data = bytes(range(0x40, 0x50))
    card.out(DCR, dcr)
    card.remote(0x12, 0x4000, len(data))
    for i in range(0, len(data), moved):
        assert not card.get(ISR) & RDC
        card.out(DATA, int.from_bytes(data[i : i + moved], "little"), width)
    assert card.get(ISR) == RDC
    card.out(ISR, RDC)
    card.remote(0x0A, 0x4000, len(data))
    got = b"".join(card.get(DATA, width).to_bytes(width, "little") for _ in range(0, len(data), moved))
    assert (got, card.get(ISR)) == (data, RDC)


def test_the_width_of_a_transfer_is_dcrs_not_the_accesss(card: Card) -> None:
    card.poke(0x4000, bytes(range(1, 9)))
    card.remote(0x0A, 0x4000, 8)
    assert [card.get(DATA, 1) for _ in range(4)] == [1, 3, 5, 7]
    card.out(DCR, 0x48)
    card.remote(0x0A, 0x4000, 4)
    assert [card.get(DATA, 2) for _ in range(4)] == [1, 2, 3, 4]


def test_the_current_address_is_readable(card: Card) -> None:
    card.remote(0x0A, 0x40FE, 6)
    assert (card.get(RSAR1), card.get(RSAR0)) == (0x40, 0xFE)
    card.get(DATA, 2)
    assert (card.get(RSAR1), card.get(RSAR0)) == (0x41, 0x00)


def test_an_odd_address_in_word_mode_is_made_even(card: Card) -> None:
    card.poke(0x4000, bytes(range(1, 9)))
    card.remote(0x0A, 0x4003, 4)
    assert (card.get(DATA, 2), card.get(DATA, 2)) == (0x0403, 0x0605)


def test_an_odd_count_ends_with_its_last_word(card: Card) -> None:
    card.poke(0x4000, bytes(range(1, 9)))
    card.out(ISR, RDC)
    card.remote(0x0A, 0x4000, 3)
    assert (card.get(DATA, 2), card.get(ISR)) == (0x0201, 0)
    assert (card.get(DATA, 2), card.get(ISR)) == (0x0403, RDC)


def test_no_bytes_are_done_at_once(card: Card) -> None:
    card.remote(0x0A, 0x4000, 0)
    assert card.get(ISR) == RDC


def test_the_data_port_without_a_transfer(card: Card) -> None:
    card.poke(0x4000, b"abcdefgh")
    card.out(ISR, 0xFF)
    assert (card.get(DATA, 1), card.get(DATA, 2), card.get(DATA, 4)) == (0xFF, 0xFFFF, 0xFFFF_FFFF)
    card.out(DATA, 0x1234, 2)
    card.remote(0x0A, 0x4000, 8)
    card.out(DATA, 0x1234, 2)
    assert card.get(DATA, 2) == 0x6261, "a write while reading is lost"
    card.out(CR, 0x22)
    assert (card.get(DATA, 2), card.get(ISR)) == (0xFFFF, 0), "aborted, which is not done"
    card.remote(0x12, 0x4000, 8)
    assert card.get(DATA, 2) == 0xFFFF, "a read while writing moves nothing"
    assert card.peek(0x4000, 8) == b"abcdefgh"


def test_changing_the_page_does_not_disturb_a_transfer(card: Card) -> None:
    card.poke(0x4000, b"abcdefgh")
    card.remote(0x0A, 0x4000, 8)
    card.get(DATA, 2)
    card.out(CR, 0x4A)
    card.out(CR, 0x0A)
    assert card.get(DATA, 2) == 0x6463


@pytest.mark.parametrize("address", [0x0020, 0x1000, 0x3FFE, 0x8000, 0xBFFE, 0xC000, 0xFFFE])
def test_beyond_the_ram_is_nothing(card: Card, address: int) -> None:
    card.poke(address, b"\x12\x34")
    assert card.peek(address, 2) == b"\xff\xff"
    card.out(DCR, 0x48)
    assert card.peek(0x4000, 16) == card.peek(0x7FF0, 16) == bytes(16)


def test_the_address_wraps(card: Card) -> None:
    card.out(PSTOP, 0x81)
    card.remote(0x0A, 0xFFFE, 4)
    assert (card.get(DATA, 2), card.get(DATA, 2)) == (0xFFFF, 0x5252)
    card.out(PSTOP, 0x80)
    card.remote(0x0A, 0x7FFE, 4)
    card.get(DATA, 2)
    assert (card.get(RSAR1), card.get(RSAR0)) == (0x46, 0), "at PSTOP it goes on at PSTART"


def test_send_packet_takes_a_packet_out_of_the_ring(card: Card) -> None:
    card.start(start=0x46, stop=0x80)
    card.page1(CURR, b"\x46")
    first, second = frame(n_bytes=300), frame(n_bytes=61)
    card.push(first)
    card.push(second)
    card.out(RBCR1, 0x0F)
    card.out(CR, 0x1A)
    got = b"".join(card.get(DATA, 2).to_bytes(2, "little") for _ in range(304 // 2))
    assert got == bytes((0x01, 0x48, 304 & 0xFF, 304 >> 8)) + first
    assert card.get(ISR) == PRX | RDC
    assert card.get(BNRY) == 0x48
    card.out(CR, 0x1A)
    got = b"".join(card.get(DATA, 2).to_bytes(2, "little") for _ in range(66 // 2))
    assert got[:65] == bytes((0x01, 0x49, 65, 0)) + second
    assert card.get(BNRY) == 0x49


# --- transmission


@pytest.mark.parametrize("n_bytes", [60, 61, 256, 1514])
def test_a_frame_goes_out(card: Card, n_bytes: int) -> None:
    card.transmit(frame(BROADCAST, n_bytes, MAC))
    assert card.sent == [frame(BROADCAST, n_bytes, MAC)]
    assert (card.get(TSR), card.get(ISR), card.get(CR)) == (0x01, PTX | RDC, 0x22)
    assert card.get(1) | card.get(2) << 8 == 0x4000 + n_bytes


@pytest.mark.parametrize("n_bytes", [14, 42, 59])
def test_a_runt_is_padded(card: Card, n_bytes: int) -> None:
    card.transmit(frame(BROADCAST, n_bytes))
    assert card.sent == [frame(BROADCAST, n_bytes) + bytes(60 - n_bytes)]


def test_a_frame_is_sent_again_by_the_command_alone(card: Card) -> None:
    card.transmit(frame(BROADCAST))
    card.out(CR, 0x26)
    assert card.sent == [frame(BROADCAST)] * 2


@pytest.mark.parametrize(
    ("page", "n_bytes"),
    [(0x40, 0), (0x40, 13), (0x00, 60), (0x3F, 600), (0x7F, 257), (0x80, 60), (0xFF, 0xFFFF), (0x40, 0xFFFF)],
)
def test_no_frame_but_sent_all_the_same(card: Card, page: int, n_bytes: int) -> None:
    card.transmit(frame(BROADCAST), page, n_bytes)
    assert card.sent == []
    assert (card.get(TSR), card.get(ISR) & PTX) == (0x01, PTX)


def test_the_last_page_is_ram(card: Card) -> None:
    card.transmit(frame(BROADCAST, 256), 0x7F)
    assert card.sent == [frame(BROADCAST, 256)]


def test_a_crc_by_software(card: Card) -> None:
    card.out(TCR, 0x01)
    data = frame(BROADCAST)
    card.transmit(data + zlib.crc32(data).to_bytes(4, "little"))
    assert card.sent == [data]
    card.transmit(data + b"oops")
    card.transmit(b"abc")
    assert card.sent == [data], "what is damaged arrives nowhere"
    assert card.get(TSR) == 0x01


def test_default_addresses_count_up() -> None:
    assert default_mac(0) == MAC
    assert default_mac(1).hex() == "525400123457"
    assert default_mac(0xFF_FFFF - 0x123456 + 1).hex() == "525400000000"
