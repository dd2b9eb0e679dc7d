# SPDX-License-Identifier: GPL-2.0-or-later
"""Random parts of a state, drawn by hypothesis."""

from __future__ import annotations

import os
from collections.abc import Sequence
from random import Random
from typing import TypeVar

from hypothesis import Phase, settings
from hypothesis import strategies as st

from pvisor.cpu.vcpu import RSP
from tests.full.differential import image

Item = TypeVar("Item")
MORE = int(os.environ.get("PVISOR_DIFFERENTIAL", "1"))
"""By hand: so many times as many examples, others in each run, and none made smaller where it fails."""
EDGES = (0, 1, *(edge for n in (8, 16, 32, 64) for edge in ((1 << n - 1) - 1, 1 << n - 1, (1 << n) - 1)))


def examples(n: int) -> settings:
    """So many examples."""
    if MORE == 1:
        return settings(max_examples=n, deadline=None)
    return settings(max_examples=n * MORE, deadline=None, derandomize=False, phases=(Phase.generate,))


class Draw:
    """Draws of one example."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data
        self.noise = Random(data.draw(st.integers(0, 1 << 32), label="noise"))
        """For what is not likely to matter: background, not worth shrinking."""

    def of(self, items: Sequence[Item]) -> Item:
        """One of them."""
        return self._data.draw(st.sampled_from(items))

    def rarely(self, usual: Item, others: Sequence[Item], one_in: int = 4) -> Item:
        """Mostly the usual one."""
        return self.of(others) if self.below(one_in) == one_in - 1 else usual

    def below(self, n: int) -> int:
        """A number."""
        return self._data.draw(st.integers(0, n - 1))

    def coin(self) -> bool:
        """Heads or tails."""
        return self._data.draw(st.booleans())

    def word(self) -> int:
        """64 bits, often at an edge."""
        return self.noise.choice((self.noise.choice(EDGES), self.noise.getrandbits(64)))

    def registers(self) -> list[int]:
        """Sixteen words; RSP will be set by who uses them."""
        registers = [self.word() for _ in range(16)]
        registers[RSP] = image.KERNEL_STACK - 0x800
        return registers

    def flags(self, mask: int) -> int:
        """Some of these bits of RFLAGS, and the bit that is always 1."""
        return self._data.draw(st.integers(0, (1 << 22) - 1)) & mask | 2

    def selector(self) -> int:
        """Of a subject or another descriptor, of the LDT, of none; with any RPL."""
        others: list[int] = [*range(0, 0x48, 8), 0x50, 0xA0, 0xF8, 0x100, 0xFFF8]
        index: int = self.rarely(self.of(image.SUBJECTS), others)
        ldt = self.rarely(0, (4,))
        return (index & 0x38 if ldt and self.coin() else index) | ldt | self.below(4)

    def segment_descriptor(self) -> bytes:
        """Data or code of any kind."""
        return image.descriptor(
            self.rarely(0, (0x10, 0x1000, 0xFFFF_F000, 0x1234_5678)),
            self.rarely(0xF_FFFF, (0, 0xFFF, 0xFFFF, 0x1_0000)),
            0x1000 | self.below(16) << 8 | self.below(4) << 13 | self.rarely(0x8000, (0,), 6)
            | self.below(16) << 20,
        )  # fmt: skip

    def system_descriptor(self, *, wide: bool) -> bytes:
        """A system descriptor of any kind."""
        narrow = image.descriptor(
            self.noise.getrandbits(32), self.noise.getrandbits(20),
            self.below(16) << 8 | self.below(4) << 13 | self.rarely(0x8000, (0,), 6) | self.below(16) << 20,
        )  # fmt: skip
        high = self.noise.getrandbits(15) << 32 | self.rarely(0, (1 << 8, 1 << 12)) << 32 if wide else 0
        return narrow + high.to_bytes(8, "little") if wide else narrow
