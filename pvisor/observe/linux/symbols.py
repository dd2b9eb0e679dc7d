# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel's symbols: by name, and by address. From kallsyms (kallsyms.py), a System.map, or an unstripped
vmlinux.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path

from pvisor.errors import GuestRefused, UsageError
from pvisor.machine.elf import ElfImage, read_file

U64_MAX = (1 << 64) - 1
CODE = frozenset("tTwW")
MAX_FUNCTION_BYTES = 1 << 20
"""Farther behind the last symbol an address belongs to nobody."""
MAX_LINES = 1 << 21


class Symbols:
    """Symbols sorted by address, each (address, type as nm has it, name); `source` says where from."""

    def __init__(self, entries: Iterable[tuple[int, str, str]], source: str) -> None:
        self.source = source
        self._all: dict[str, int] = {}
        code = []
        for address, kind, name in entries:
            self._all.setdefault(name, address)
            if kind in CODE:
                code.append((address, name))
        code.sort(key=lambda one: one[0])
        self._code_at = [address for address, _ in code]
        self._code_names = [name for _, name in code]

    def __len__(self) -> int:
        return len(self._all)

    def moved(self, by: int) -> Symbols:
        """The same with all addresses moved, as a kernel that chooses its own place has them."""
        text = set(self._code_names)
        rows = (
            (address + by & U64_MAX, "t" if name in text else "d", name)
            for name, address in self._all.items()
        )
        return Symbols(rows, self.source)

    def address(self, name: str) -> int | None:
        """Where a symbol lies; the first of that name."""
        return self._all.get(name)

    def function_at(self, address: int) -> tuple[str, int] | None:
        """(name, offset) of the function that an address of the kernel's text lies in."""
        i = bisect_right(self._code_at, address) - 1
        if i < 0 or address - self._code_at[i] > MAX_FUNCTION_BYTES:
            return None
        if address >= self._code_at[-1] and self._code_names[i] in ("_end", "_etext", "__init_end"):
            return None
        return self._code_names[i], address - self._code_at[i]

    def text_at(self, address: int) -> str | None:
        """`name+0x12`, or None."""
        found = self.function_at(address)
        return f"{found[0]}+{found[1]:#x}" if found is not None else None


def read_symbols(path: Path) -> Symbols:
    """From a System.map or an ELF file with symbols. Raises UsageError where it is neither."""
    try:
        content = read_file(path)
    except GuestRefused as error:
        raise UsageError(f"--symbols {error}") from None
    if content[:4] == b"\x7fELF":
        functions = ElfImage(path, content).functions
        symbols = Symbols(((one.address, "t", one.name) for one in functions), str(path))
    else:
        symbols = Symbols(_map_lines(content), str(path))
    if not len(symbols):
        raise UsageError(
            f"--symbols {path}: no symbols there; give a System.map, or a vmlinux that has not been stripped"
        )
    return symbols


def _map_lines(content: bytes) -> Iterator[tuple[int, str, str]]:
    for n, line in enumerate(content.split(b"\n")):
        found = re.fullmatch(rb"([0-9a-f]{8,16}) ([A-Za-z]) (\S{1,512})(?:\t.*)?", line.rstrip())
        if found is not None and n < MAX_LINES:
            yield int(found[1], 16), found[2].decode(), found[3].decode("utf-8", "replace")
