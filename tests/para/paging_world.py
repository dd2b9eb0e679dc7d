# SPDX-License-Identifier: GPL-2.0-or-later
"""A domain with first tables and no CPU, to try the calls about memory on."""

from __future__ import annotations

from pvisor.abi.model import Hypercall
from pvisor.cpu.exits import ExitReason
from pvisor.domain.domain import Domain, handle_exit
from pvisor.machine.console import ConsoleOutput, NoInput
from pvisor.machine.memory import PAGE_BYTES, GuestMemory
from pvisor.para.balloon import Balloon
from pvisor.para.cpu import ParaWing
from pvisor.para.paging import Paging
from pvisor.para.tables import HOLE_SLOT, READ_ONLY, READ_WRITE, PageRange, TableBuilder, n_tables
from tests.domain.fakes import MEMORY_BYTES, FakeExit, FakeVcpu
from tests.para.isolation import Hold, check

TABLES = 0x8_0000
ARRAY = 0xF_0000
"""Where `call_with` puts an array: the frame is mapped writable all the time."""
HOLE_ENTRY = (1 << 38) + 0x5021
ALL_FEATURES = (1 << 63) - 1


class PagingWorld:
    """The domain, and its calls by name. Frames are mapped where they are, but for frame 0."""

    def __init__(self) -> None:
        self.memory = GuestMemory(MEMORY_BYTES)
        self.vcpu = FakeVcpu(self.memory)
        builder = TableBuilder(self.memory, TABLES)
        builder.map(PageRange(PAGE_BYTES, PAGE_BYTES, MEMORY_BYTES // PAGE_BYTES - 1, READ_WRITE))
        builder.map(PageRange(TABLES, TABLES, n_tables(MEMORY_BYTES, ()), READ_ONLY))
        builder.set_root_entry(HOLE_SLOT, HOLE_ENTRY)
        builder.finish()
        self.root = builder.root
        self.l3, self.l2, self.l1 = (self.root + i * PAGE_BYTES for i in (1, 2, 3))
        self.paging = Paging(self.memory, [self.vcpu])
        self.frames = self.paging.frames
        self.paging.start(self.root, HOLE_ENTRY, 1)
        self.told: list[int] = []
        self.balloon = Balloon(self.frames, (0x1_0000, 0x2_0000, 0x9_0000), lambda: self.told.append(1))
        wing = ParaWing(ALL_FEATURES, (self.paging.served, self.balloon.served))
        self.domain = Domain(7, "fake", self.memory, wing, [self.vcpu], ConsoleOutput(), NoInput())
        self.holds: list[Hold] = []

    def call(self, row: Hypercall, *args: int) -> int:
        """The result of a call."""
        exit = FakeExit(reason=ExitReason.HYPERCALL, number=row.nr, args=[*args, *[0] * (5 - len(args))])
        handle_exit(self.domain, self.vcpu, exit)
        return exit.result

    def call_with(self, row: Hypercall, words: list[int], *args: int) -> int:
        """The same, where the first argument points to an array of 64-bit words."""
        self.memory.write(ARRAY, b"".join(word.to_bytes(8, "little") for word in words))
        return self.call(row, ARRAY, *args)

    def check(self) -> None:
        """The isolation proof."""
        roots = self.frames.state.roots[0]
        check(self.frames, self.holds, (roots.kernel, roots.user))

    def image(self) -> tuple[bytes, ...]:
        """All that a refused call must leave as it was."""
        frames = self.frames
        return (
            self.memory.read(0, ARRAY), bytes(frames.types), bytes(frames.flags), bytes(frames.n_typed),
            bytes(frames.n_other),
        )  # fmt: skip
