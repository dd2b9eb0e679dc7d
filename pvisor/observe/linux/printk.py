# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's log, from its ring buffer in memory: with `quiet`, too, where the console shows nothing.

struct printk_ringbuffer of Linux 5.10 and later (kernel/printk/printk_ringbuffer.h): a ring of descriptors,
of which each has an id, a state in its two upper bits and two positions in a ring of text; and as many struct
printk_info. The symbol `prb` points to it. A descriptor that is being written is passed over.
"""

from __future__ import annotations

from typing import NamedTuple

from pvisor.observe.linux.symbols import Symbols
from pvisor.observe.linux.view import GuestView

MAX_COUNT_BITS, MAX_SIZE_BITS = 24, 30
"""The largest rings: 2^24 messages, 2^30 bytes (CONFIG_LOG_BUF_SHIFT is 25 at most, a command line may say
more).
"""
INFO_BYTES = 88
"""struct printk_info: 8 + 8 + 2 + 1 + 1 + 4 bytes, and a device's names of 64."""
MAX_TEXT_BYTES = 2048
COMMITTED, FINALIZED = 1, 2
"""States in which a message can be read."""
NS_PER_US, US_PER_S = 1000, 1_000_000


class _Ring(NamedTuple):
    descs: int
    infos: int
    head_id: int
    tail_id: int
    count_bits: int
    data: int
    size_bits: int


def last_messages(view: GuestView, symbols: Symbols, n_lines: int) -> tuple[str, ...] | None:
    """The last lines of the log, oldest first, with their times; None where there is no such buffer."""
    ring = _find_ring(view, symbols)
    if ring is None:
        return None
    lines: list[str] = []
    id_mask = (1 << 8 * view.word_bytes - 2) - 1
    n_messages = min((ring.head_id - ring.tail_id & id_mask) + 1, 1 << ring.count_bits, 4 * n_lines)
    for i in range(n_messages):
        text = _message(view, ring, ring.head_id - i & id_mask)
        if text is not None:
            lines[:0] = text
        if len(lines) >= n_lines:
            break
    return tuple(lines[-n_lines:])


def _find_ring(view: GuestView, symbols: Symbols) -> _Ring | None:
    pointer = symbols.address("prb")
    prb = view.word(pointer) if pointer is not None else None
    if prb is None:
        return None
    word = view.word_bytes
    head = [view.word(prb + i * word) for i in range(1, 5)]
    count_bits = view.number(prb, 4)
    if count_bits is None or not 1 <= count_bits <= MAX_COUNT_BITS:
        return None
    # Since 5.18 the ring of descriptors has one word more, of the last message that is whole.
    for text_ring in (prb + 5 * word, prb + 6 * word):
        size_bits, data = view.number(text_ring, 4), view.word(text_ring + word)
        first, last = view.word(text_ring + 3 * word), view.word(text_ring + 2 * word)
        if size_bits is None or data is None or first is None or last is None:
            continue
        used = last - first & (1 << 8 * word) - 1
        if 8 <= size_bits <= MAX_SIZE_BITS and used <= 1 << size_bits and view.translate(data)[0] is not None:
            descs, infos, head_id, tail_id = head
            if descs is None or infos is None or head_id is None or tail_id is None:
                return None
            return _Ring(descs, infos, head_id, tail_id, count_bits, data, size_bits)
    return None


def _message(view: GuestView, ring: _Ring, id: int) -> list[str] | None:
    """The lines of one message; None where it is not there (any more)."""
    word, index = view.word_bytes, id & (1 << ring.count_bits) - 1
    desc = view.read(ring.descs + index * 3 * word, 3 * word)
    info = view.read(ring.infos + index * INFO_BYTES, 24)
    if desc is None or info is None:
        return None
    state, begin, end = (int.from_bytes(desc[i * word : (i + 1) * word], "little") for i in range(3))
    bits = 8 * word - 2
    if state >> bits not in (COMMITTED, FINALIZED) or state & (1 << bits) - 1 != id:
        return None
    text = _text(view, ring, begin, end, int.from_bytes(info[16:18], "little"))
    if text is None:
        return None
    us = int.from_bytes(info[8:16], "little") // NS_PER_US
    time = f"[{us // US_PER_S:5d}.{us % US_PER_S:06d}] "
    return [time + printable(line) for line in text.decode("utf-8", "replace").split("\n")]


def _text(view: GuestView, ring: _Ring, begin: int, end: int, n_bytes: int) -> bytes | None:
    """The text between two positions: behind a word with its id, and never across the end of the ring."""
    if begin & 1:
        return b""  # a message without text
    size, word = 1 << ring.size_bits, view.word_bytes
    at = begin % size
    if begin // size == end // size:
        room = end % size - at - word
    elif end % size:
        at, room = 0, end % size - word  # it did not fit before the end
    else:
        room = size - at - word
    n_bytes = min(n_bytes, room, MAX_TEXT_BYTES)
    return view.read(ring.data + at + word, n_bytes) if n_bytes >= 0 else None


def printable(text: str) -> str:
    """Without what would move a terminal's cursor, or worse."""
    return "".join(c if c.isprintable() or c == "\t" else "?" for c in text)
