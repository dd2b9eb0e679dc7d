# SPDX-License-Identifier: GPL-2.0-or-later
"""kallsyms are found in a kernel's memory in each of their forms, and nothing is believed that cannot be."""

from __future__ import annotations

import random

import pytest

from pvisor.observe.linux import kallsyms
from pvisor.observe.linux.kallsyms import find_kallsyms
from pvisor.observe.linux.view import GuestView
from tests.observe.linux import image

LONG_NAME = "a_name_" * 30
AT = 0x20_0000


@pytest.mark.parametrize("word", [8, 4])
@pytest.mark.parametrize("layout", ["old", "new", "plain"])
def test_each_form_is_read(word: int, layout: str) -> None:
    view = image.kernel_view(word)
    base = image.base(view)
    entries = image.many_symbols(base)
    entries += [(base + 0x2_0000, "T", "sys_long_" + LONG_NAME), (base + 0x3_0000, "D", "jiffies")]
    if layout == "old":
        entries = [(0, "A", "fixed_percpu_data"), (0x1FB80, "A", "current_task"), *entries]
    image.put(view, base + AT, image.kallsyms(entries, word, layout, base))
    found = find_kallsyms(view, base)
    assert found is not None and len(found) == len(entries)
    assert all(found.address(name) == address for address, _, name in entries)
    assert found.text_at(base + 64 * 5 + 3) == "function_5+0x3"
    assert found.function_at(base - 1) is None


def test_a_table_elsewhere_with_ten_digits_is_passed_over() -> None:
    view = image.kernel_view()
    image.put(view, image.BASE_64 + 0x1000, b"".join(b"%d\0" % i for i in range(10)) * 20)
    entries = image.many_symbols(image.BASE_64)
    image.put(view, image.BASE_64 + AT, image.kallsyms(entries, 8, "old", image.BASE_64))
    assert find_kallsyms(view, image.BASE_64) is not None


@pytest.mark.parametrize("seed", range(12))
def test_damaged_tables_are_none_or_whole(seed: int) -> None:
    dice = random.Random(seed)
    view = image.kernel_view(dice.choice((8, 4)))
    base = image.base(view)
    layout = dice.choice(("old", "new"))
    tables = bytearray(image.kallsyms(image.many_symbols(base), view.word_bytes, layout, base))
    for _ in range(dice.choice((1, 3, 40))):
        tables[dice.randrange(len(tables))] = dice.randrange(256)
    image.put(view, base + AT, bytes(tables))
    found = find_kallsyms(view, base)
    assert found is None or len(found) <= 700


def test_memory_full_of_digits_and_of_counts_ends_soon() -> None:
    view = image.kernel_view()
    digits = b"".join(b"%d\0" % i for i in range(10))
    image.put(view, image.BASE_64, digits * 20000)
    assert find_kallsyms(view, image.BASE_64) is None
    tables = image.kallsyms(image.many_symbols(image.BASE_64), 8, "old", image.BASE_64)
    tokens = tables[tables.index(b"<0>\0") :]
    image.put(view, image.BASE_64, (600).to_bytes(8, "little") * 60000 + tokens)
    assert find_kallsyms(view, image.BASE_64) is None


def test_counts_with_names_behind_each_are_not_searched_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each number has 256 names behind it, and no markers: a search for them reads all the rest."""
    monkeypatch.setattr(kallsyms, "MAX_SEARCHED_BYTES", 4 << 20)
    looked: list[int] = []
    markers = kallsyms._markers

    def counting(blob: bytes, names: int, n: int, end: int) -> tuple[int, ...] | None:
        looked.append(end - names)
        return markers(blob, names, n, end)

    monkeypatch.setattr(kallsyms, "_markers", counting)
    view = image.kernel_view()
    tables = image.kallsyms(image.many_symbols(image.BASE_64), 8, "old", image.BASE_64)
    tokens = tables[tables.index(b"<0>\0") :]
    period = (600).to_bytes(8, "little") + bytes([15]) + b"ttttttt"
    image.put(view, image.BASE_64, period * 20000 + tokens)
    assert find_kallsyms(view, image.BASE_64) is None
    assert len(looked) > 100 and sum(looked) <= 4 << 20


def test_a_name_that_would_move_the_cursor_is_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    view = image.kernel_view()
    entries = image.many_symbols(image.BASE_64)
    entries[300] = (entries[300][0], "t", "clear\x1b[2Jscreen")
    image.put(view, image.BASE_64 + AT, image.kallsyms(entries, 8, "old", image.BASE_64))
    assert find_kallsyms(view, image.BASE_64) is not None  # its token for 27 is "<27>"
    monkeypatch.setattr(image, "TOKENS", [*image.TOKENS[:27], b"\x1b", *image.TOKENS[28:]])
    view = image.kernel_view()
    image.put(view, image.BASE_64 + AT, image.kallsyms(entries, 8, "old", image.BASE_64))
    assert find_kallsyms(view, image.BASE_64) is None


def test_a_large_page_of_32_bits_takes_pse() -> None:
    view = image.kernel_view(4)
    assert view.translate(image.BASE_32)[0] == 4 << 20
    without = GuestView(view.memory, view.control._replace(cr4=0))
    assert without.translate(image.BASE_32)[0] is None


def test_page_tables_that_lead_into_themselves_end() -> None:
    view = image.kernel_view()
    for table in (image.PML4, image.PDPT, image.PD):
        for i in range(512):
            view.memory.write_u64(table + 8 * i, image.PML4 | 3)
    assert find_kallsyms(view, image.BASE_64) is None


def test_nothing_is_there() -> None:
    assert find_kallsyms(image.kernel_view(), image.BASE_64) is None
