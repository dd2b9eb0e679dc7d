# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux's own symbol table, kallsyms, found and read in the guest's memory: where the kernel is, names are.

The tables have no header and no address that is known from outside; scripts/kallsyms.c of Linux writes them
one after the other into .rodata. What is looked for is the table of 256 tokens, in which each digit is a
token that stands for itself, so that ten of them are found as "0\\0" to "9\\0" in a row. The 256 offsets
behind it prove it. Before it lie the names (each a length and token numbers) with a marker for each 256th,
and the number of symbols before them; the addresses lie before that number (Linux 4.6 to 6.4) or behind the
tokens (since 6.5), as differences to a base, or as they are (before 4.6). Since 6.1 a name may have more than
127 tokens.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from typing import NamedTuple

from pvisor.observe.linux.symbols import Symbols
from pvisor.observe.linux.view import Extent, GuestView

DIGITS = b"".join(b"%d\0" % digit for digit in range(10))
N_TOKENS, FIRST_DIGIT = 256, ord("0")
BEFORE_BYTES, BEHIND_BYTES = 12 << 20, 8 << 20
"""How far from the tokens the other tables may begin and end: four times those of a distribution's kernel."""
MAX_TOKEN_BYTES = 512
MIN_SYMBOLS, MAX_SYMBOLS = 512, 1 << 20
MAX_PLACES, MAX_TABLES, MAX_COUNTS, MAX_LISTS = 64, 4, 1024, 4
"""Bounds for memory that was made to be searched for ever: places with ten digits, tables of tokens; and for
each table numbers that may be that of its symbols, and lists of names that are read to their end.
"""
MAX_SEARCHED_BYTES = 256 << 20
"""And so much memory, for each table of tokens, that is searched for markers behind such numbers."""
KERNEL_MAP_64 = (0xFFFF_FFFF_8000_0000, 0xFFFF_FFFF_C000_0000)
"""Where x86-64's kernel image is mapped, wherever it lies (Documentation/arch/x86/x86_64/mm.rst)."""
WINDOW_32_BYTES = 64 << 20
"""Of a 32-bit kernel: so far from its code its tables are looked for."""
TYPES = frozenset(b"aAbBcCdDgGiInNrRsStTuUvVwW-?")
U32_MAX, U64_MAX = (1 << 32) - 1, (1 << 64) - 1


class _Tokens(NamedTuple):
    begin: int
    end: int
    """Behind the offsets."""
    texts: Sequence[bytes]


def find_kallsyms(view: GuestView, code: int) -> Symbols | None:
    """The symbols of the kernel that `view` shows; `code` is an address in its text (any, of 64 bits)."""
    low, high = KERNEL_MAP_64 if view.is_long else (max(0, code - WINDOW_32_BYTES), code + WINDOW_32_BYTES)
    for blob, tokens in islice(_token_tables(view, low, min(high, 1 << 8 * view.word_bytes)), MAX_TABLES):
        entries = _entries(blob, tokens, view.word_bytes)
        if entries is not None:
            return Symbols(entries, "the guest's kallsyms")
    return None


def _token_tables(view: GuestView, low: int, high: int) -> Iterator[tuple[bytes, _Tokens]]:
    """Each table of tokens in a range of addresses, and the memory around it."""
    places = ((extent, at) for extent in view.extents(low, high) for at in _digits_in(view, extent))
    for extent, digits in islice(places, MAX_PLACES):
        begin = max(extent.gpa, digits - BEFORE_BYTES) & -view.word_bytes
        end = min(extent.gpa + extent.n_bytes, digits + BEHIND_BYTES)
        blob = view.memory.read(begin, end - begin)
        tokens = _tokens(blob, digits - begin, view.word_bytes)
        if tokens is not None:
            yield blob, tokens


def _digits_in(view: GuestView, extent: Extent) -> Iterator[int]:
    at, end = extent.gpa, extent.gpa + extent.n_bytes
    while (found := view.memory.find(DIGITS, at, end - at)) is not None:
        yield found
        at = found + 1


def _entries(blob: bytes, tokens: _Tokens, word: int) -> list[tuple[int, str, str]] | None:
    """All tables around the tokens; None where they are not what they should be."""
    n_lists = n_searched = 0
    for at in islice(_counts_before(blob, tokens.begin, word), MAX_COUNTS):
        n = int.from_bytes(blob[at : at + 4], "little")
        n_searched += tokens.begin - at
        if n_searched > MAX_SEARCHED_BYTES:
            return None
        markers = _markers(blob, at + word, n, tokens.begin)
        if markers is None or n_lists == MAX_LISTS:
            continue
        n_lists += 1
        names = _names(blob, at + word, n, markers, tokens.texts)
        addresses = _addresses(blob, at, tokens.end, n, word) if names is not None else None
        if names is not None and addresses is not None:
            return [(address, name[0], name[1:]) for address, name in zip(addresses, names, strict=True)]
    return None


def _tokens(blob: bytes, digits: int, word: int) -> _Tokens | None:
    """The token table of which ten digits are a part, and the offsets behind it."""
    at = digits
    for _ in range(N_TOKENS - FIRST_DIGIT):
        end = blob.find(b"\0", at, at + MAX_TOKEN_BYTES)
        if end < 0:
            return None
        at = end + 1
    for align in (word, 4, 2):
        index = -(-at // align) * align
        if index + 2 * N_TOKENS > len(blob):
            return None
        offsets = struct.unpack_from(f"<{N_TOKENS}H", blob, index)
        begin = digits - offsets[FIRST_DIGIT]
        if offsets[0] or begin < 0 or begin + offsets[-1] >= at:
            continue
        ends = (*offsets[1:], at - begin)
        texts = [blob[begin + a : begin + b - 1] for a, b in zip(offsets, ends, strict=True)]
        joined = all(a < b and not blob[begin + b - 1] for a, b in zip(offsets, ends, strict=True))
        if joined and not any(b"\0" in text for text in texts):
            return _Tokens(begin, index + 2 * N_TOKENS, texts)
    return None


def _counts_before(blob: bytes, end: int, word: int) -> Iterator[int]:
    """Where the number of symbols could stand, from the tokens back: names of two bytes fit behind it."""
    end -= end % word
    words = memoryview(blob)[:end].cast("Q" if word == 8 else "I")
    for i in range(len(words) - 1, -1, -1):
        n = words[i]
        if MIN_SYMBOLS <= n <= MAX_SYMBOLS and word * (i + 1) + 2 * n <= end:
            yield word * i


def _name_at(blob: bytes, at: int, end: int) -> tuple[int, int] | None:
    """(where a name's tokens begin, and end)."""
    if at >= end:
        return None
    n, at = blob[at], at + 1
    if n & 0x80 and at < end:
        n, at = n & 0x7F | blob[at] << 7, at + 1
    return (at, at + n) if n and at + n <= end else None


def _markers(blob: bytes, names: int, n: int, end: int) -> tuple[int, ...] | None:
    """The offset of each 256th name, found by that of the second: the first is 0."""
    at = names
    for _ in range(256):
        found = _name_at(blob, at, end)
        if found is None:
            return None
        at = found[1]
    n_markers = -(-n // 256)
    begin = blob.find(struct.pack("<II", 0, at - names), at, end)
    if begin < 0 or begin + 4 * n_markers > end:
        return None
    markers = struct.unpack_from(f"<{n_markers}I", blob, begin)
    if any(a >= b for a, b in pairwise(markers)) or names + markers[-1] >= begin:
        return None
    return markers


def _names(blob: bytes, at: int, n: int, markers: Sequence[int], tokens: Sequence[bytes]) -> list[str] | None:
    """All names, the letter of the type before each. The markers must be right."""
    names, begin, end, token_of = [], at, at + markers[-1] + 256 * 1024, tokens.__getitem__
    for i in range(n):
        if not i & 0xFF and at - begin != markers[i >> 8]:
            return None
        found = _name_at(blob, at, min(end, len(blob)))
        if found is None:
            return None
        name = b"".join(map(token_of, blob[found[0] : found[1]]))
        if len(name) < 2 or name[0] not in TYPES or len(name) > MAX_TOKEN_BYTES:
            return None
        text = name.decode("ascii", "replace")
        if not text.isprintable():  # a report shows names: none may move the cursor of a terminal
            return None
        names.append(text)
        at = found[1]
    return names


def _addresses(blob: bytes, count: int, behind: int, n: int, word: int) -> list[int] | None:
    """Each symbol's address, in any of the three orders. They must ascend."""
    offsets_bytes = -(-4 * n // word) * word
    behind = -(-behind // word) * word
    form = "<Q" if word == 8 else "<I"
    places = [(count - word - offsets_bytes, count - word), (behind, behind + offsets_bytes)]
    for offsets, base_at in places:
        if offsets >= 0 and base_at + word <= len(blob):
            base = int(struct.unpack_from(form, blob, base_at)[0])
            relative = struct.unpack_from(f"<{n}I", blob, offsets)
            found = _relative(relative, base, word)
            if found is not None:
                return found
    if count - word * n >= 0:
        plain = list(struct.unpack_from(f"<{n}{form[1]}", blob, count - word * n))
        if _ascends(plain):
            return plain
    return None


def _relative(offsets: Sequence[int], base: int, word: int) -> list[int] | None:
    """By the base; or, where each CPU's areas are absolute, negative ones by the base, others as they are."""
    mask = U64_MAX if word == 8 else U32_MAX
    if base < 1 << (8 * word - 1) - 1:
        return None
    plain = [base + offset & mask for offset in offsets]
    if _ascends(plain):
        return plain
    # base - 1 - offset of a negative number of 32 bits (kernel/kallsyms.c, kallsyms_sym_address)
    split = [base + U32_MAX - one & mask if one >> 31 else one for one in offsets]
    return split if _ascends(split) else None


def _ascends(addresses: Sequence[int]) -> bool:
    return all(a <= b for a, b in pairwise(addresses)) and addresses[0] < addresses[-1]
