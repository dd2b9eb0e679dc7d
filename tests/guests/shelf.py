# SPDX-License-Identifier: GPL-2.0-or-later
"""A shelf of built guests: each is built once, when the first test asks for it."""

from __future__ import annotations

from pathlib import Path

from pvisor.toolchain.build import build_guest
from pvisor.toolchain.demos import find_demo
from tests.guests import elves


class Shelf:
    """Built guests by name and mode; `hello` is the demo."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._built: dict[tuple[str, str], Path] = {}

    def __call__(self, name: str, mode: str) -> Path:
        """The ELF file of a guest."""
        if (name, mode) not in self._built:
            self._built[name, mode] = self._build(name, mode)
        return self._built[name, mode]

    def _build(self, name: str, mode: str) -> Path:
        if name != "hello":
            return elves.build(name, mode, self.folder)
        return build_guest(find_demo(name).sources_for(mode), self.folder / f"{name}-{mode}.elf", mode).path
