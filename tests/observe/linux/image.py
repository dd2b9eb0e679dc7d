# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel's memory made by hand: page tables, kallsyms in each of their forms, a printk ring."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from pvisor.machine.memory import GuestMemory
from pvisor.observe.linux.view import Control, GuestView

MEMORY_BYTES = 16 << 20
BASE_64, BASE_32 = 0xFFFF_FFFF_8100_0000, 0xC100_0000
PML4, PDPT, PD = 0x1000, 0x2000, 0x3000
PAGING_64 = Control(1 << 31, PML4, 1 << 5, 1 << 10)
PAGING_32 = Control(1 << 31, PML4, 1 << 4, 0)
PRESENT_LARGE = 0x83
Entry = tuple[int, str, str]

TOKENS = [bytes([i]) if 0x20 < i < 0x7F else b"<%d>" % i for i in range(256)]
TOKENS[1] = b"sys_"


def kernel_view(word: int = 8) -> GuestView:
    """RAM of which all above 4 MiB is mapped at the kernel's place, 2 or 4 MiB a page."""
    memory = GuestMemory(MEMORY_BYTES)
    if word == 4:
        for i in range(3):
            entry = (i + 1) << 22 | PRESENT_LARGE
            memory.write(PML4 + 4 * ((BASE_32 >> 22) + i), entry.to_bytes(4, "little"))
        return GuestView(memory, PAGING_32)
    memory.write_u64(PML4 + 8 * 511, PDPT | 3)
    memory.write_u64(PDPT + 8 * 510, PD | 3)
    for i in range(6):
        memory.write_u64(PD + 8 * (8 + i), (i + 2) << 21 | PRESENT_LARGE)
    return GuestView(memory, PAGING_64)


def base(view: GuestView) -> int:
    """Where the kernel is mapped; it lies at 4 MiB."""
    return BASE_64 if view.is_long else BASE_32


def put(view: GuestView, address: int, data: bytes) -> None:
    """Write at a virtual address."""
    gpa, _ = view.translate(address)
    assert gpa is not None
    view.memory.write(gpa, data)


def many_symbols(start: int, n: int = 700) -> list[Entry]:
    """Enough for a kernel, one each 64 bytes."""
    return [(start + 64 * i, "t" if i % 3 else "T", f"function_{i}") for i in range(n)]


def _aligned(data: bytes, align: int) -> bytes:
    return data + bytes(-len(data) % align)


def _name(entry: Entry) -> bytes:
    text = (entry[1] + entry[2]).encode().replace(b"sys_", b"\1")
    n = len(text)
    return (bytes([n]) if n < 128 else bytes([n & 0x7F | 0x80, n >> 7])) + text


def kallsyms(entries: Sequence[Entry], word: int, layout: str, relative_base: int) -> bytes:
    """The tables as scripts/kallsyms.c writes them: `old` (4.6 to 6.4), `new` (6.5), `plain` (before 4.6)."""
    n, form = len(entries), "<Q" if word == 8 else "<I"
    if layout == "new":
        offsets = [address - relative_base for address, _, _ in entries]
    else:  # areas of each CPU are absolute, all else counts downwards from -1
        offsets = [a if a < relative_base else (relative_base - 1 - a) & 0xFFFF_FFFF for a, _, _ in entries]
    addresses = _aligned(struct.pack(f"<{n}I", *offsets), word) if layout != "plain" else b""
    last = struct.pack(form, relative_base)
    if layout == "plain":
        addresses, last = b"".join(struct.pack(form, entry[0]) for entry in entries), b""
    names, markers = b"", []
    for i, entry in enumerate(entries):
        if i % 256 == 0:
            markers.append(len(names))
        names += _name(entry)
    middle = _aligned(n.to_bytes(4, "little"), word) + _aligned(names, word)
    middle += _aligned(struct.pack(f"<{len(markers)}I", *markers), word)
    table, index = b"", []
    for token in TOKENS:
        index.append(len(table))
        table += token + b"\0"
    tokens = _aligned(table, word) + struct.pack("<256H", *index)
    return middle + tokens + addresses + last if layout == "new" else addresses + last + middle + tokens


def printk_ring(view: GuestView, prb: int, messages: Sequence[tuple[int, str]], *, word_more: bool) -> None:
    """A ring of 16 descriptors and 1024 bytes at `prb`, with these (ns, text) of messages."""
    word, n_bits, size_bits = view.word_bytes, 4, 10
    descs, infos, text = prb + 0x200, prb + 0x1000, prb + 0x2000
    form = "Q" if word == 8 else "I"
    bits = 8 * word - 2
    first_id, at, first_at = 100, 0, None
    tail_id = first_id + max(0, len(messages) - 10)
    for i, (ns, line) in enumerate(messages):
        id, data = first_id + i, line.encode()
        n = word + -(-len(data) // word) * word
        begin = at
        if begin // 1024 != (begin + n - 1) // 1024:
            begin_text = (begin // 1024 + 1) * 1024
        else:
            begin_text = begin
        end = begin_text + n
        index = id & (1 << n_bits) - 1
        put(view, text + begin_text % 1024, id.to_bytes(word, "little") + data)
        put(view, descs + index * 3 * word, struct.pack(f"<3{form}", 2 << bits | id, begin, end))
        put(view, infos + index * 88, struct.pack("<QQH", i, ns, len(data)))
        first_at = begin if id == tail_id else first_at
        at = end
    head_id = first_id + len(messages) - 1
    more = struct.pack(f"<{form}", head_id) if word_more else b""
    ring = struct.pack(f"<5{form}", n_bits, descs, infos, head_id, tail_id) + more
    ring += struct.pack(f"<4{form}", size_bits, text, at, first_at or 0)
    put(view, prb, ring)
