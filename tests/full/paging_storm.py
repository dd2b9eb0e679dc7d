# SPDX-License-Identifier: GPL-2.0-or-later
"""Random guests that map, remap, switch, store into code and run it, and what each step must give.

A program is straight-line 64-bit code without a compiler. It has some address spaces with a window of
pages each, which lead to few frames, so there are aliases everywhere; each frame holds small functions. A
model knows what each call must return. The same program runs in `full` and in `emu`, in ring 0 or in ring 3,
where a handler changes the tables for it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.full.kernels import PVH_NOTE
from tests.machine.elf_bytes import Elf, Part

P, W, U, PS, NX = 1, 2, 4, 0x80, 1 << 63
MIB = 1 << 20
CODE, FRAMES, TABLES, LOG, LARGE = 1 * MIB, 5 * MIB, 6 * MIB, 8 * MIB, (10 * MIB, 12 * MIB)
GDT, IDT, TSS, STACK, HANDLER = 0x40_0000, 0x40_1000, 0x40_2000, 0x40_4000, 0x40_5000
WINDOW, LARGE_WINDOW = 0x4000_0000, 0x4020_0000
N_FRAMES, N_PAGES, N_FUNCTIONS, MEMORY_BYTES = 6, 16, 8, 16 * MIB
USER_STACK = LARGE[0]
SUPERVISOR = (2, 3)
"""Pages of 2 MiB that are not user code's: descriptors, the kernel's stack and handler, page tables."""
STORE_AT, PUSHF_AT = 0xF00, 0xF40
N_LARGE_PAGES = 512


def le(value: int, n_bytes: int) -> bytes:
    """Little-endian."""
    return (value & (1 << 8 * n_bytes) - 1).to_bytes(n_bytes, "little")


@dataclass
class Space:
    """An address space as its tables stand: (frame, may run) of each page of the window; the large page."""

    root: int
    pages: list[tuple[int, bool]] = field(default_factory=list)
    large: int = 0


@dataclass
class Storm:
    """A program in the making, and its model."""

    seed: int
    n_spaces: int = 4
    user: bool = False
    no_execute: bool = True
    """Some mappings are. The lane's engine does not see stores through those (docs/emulation.md)."""
    n_steps: int = 400
    code: bytes = b""
    expected: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self.values = [[1000 * f + k for k in range(N_FUNCTIONS)] for f in range(N_FRAMES)]
        self.spaces = [Space(TABLES + 0x4000 * i) for i in range(self.n_spaces)]
        for space in self.spaces:
            space.pages = [(self._random.randrange(N_FRAMES), True) for _ in range(N_PAGES)]
        self._first = {space.root: list(space.pages) for space in self.spaces}
        self._at = self.spaces[0]
        steps = (self._call, self._call, self._store, self._store, self._store_from_inside, self._remap,
                 self._switch, self._pushf, self._remap_large, self._read_large)  # fmt: skip
        for _ in range(self.n_steps):
            self._random.choice(steps)()

    # --- steps

    def _log(self, expected: int) -> None:
        """mov [log], eax"""
        self.code += b"\x89\x04\x25" + le(LOG + 4 * len(self.expected), 4)
        self.expected.append(expected)

    def _kernel(self, number: int, rdi: int, rsi: int = 0) -> None:
        """0: INVLPG, 1: CR3, 2: store."""
        self.code += b"\x48\xbf" + le(rdi, 8) + b"\x48\xbe" + le(rsi, 8)
        if self.user:
            self.code += b"\xb8" + le(number, 4) + b"\xcd\x80"
        else:
            self.code += (b"\x0f\x01\x3f", b"\x0f\x22\xdf", b"\x48\x89\x37")[number]

    def _page(self, runs: bool) -> tuple[int, int]:
        """(address, frame) of a random page."""
        choice = [(i, frame) for i, (frame, may_run) in enumerate(self._at.pages) if may_run or not runs]
        index, frame = self._random.choice(choice)
        return WINDOW + 4096 * index, frame

    def _call_to(self, address: int) -> None:
        self.code += b"\x48\xbb" + le(address, 8) + b"\xff\xd3"

    def _call(self) -> None:
        address, frame = self._page(True)
        k = self._random.randrange(N_FUNCTIONS)
        self._call_to(address + 0x100 * k)
        self._log(self.values[frame][k])

    def _store(self) -> None:
        address, frame = self._page(False)
        k, value = self._random.randrange(N_FUNCTIONS), self._random.getrandbits(31)
        self.code += b"\x48\xbb" + le(address + 0x100 * k, 8) + b"\xc7\x43\x01" + le(value, 4)
        self.values[frame][k] = value

    def _store_from_inside(self) -> None:
        """The function at STORE_AT of some page stores into a page, often of its own frame."""
        inside, _ = self._page(True)
        address, frame = self._page(False)
        k, value = self._random.randrange(N_FUNCTIONS), self._random.getrandbits(31)
        self.code += b"\x48\xbf" + le(address + 0x100 * k, 8) + b"\xbe" + le(value, 4)
        self._call_to(inside + STORE_AT)
        self.values[frame][k] = value

    def _pushf(self) -> None:
        address, _ = self._page(True)
        self._call_to(address + PUSHF_AT)
        self.code += b"\x25" + le(0x3200, 4)
        self._log(0)

    def _remap(self) -> None:
        space = self._random.choice((self._at, self._at, self._random.choice(self.spaces)))
        page, frame = self._random.randrange(N_PAGES), self._random.randrange(N_FRAMES)
        may_run = page == 0 or not self.no_execute or self._random.random() < 0.7
        self._kernel(2, space.root + 0x3000 + 8 * page, self.entry(frame, may_run))
        space.pages[page] = frame, may_run
        if space is self._at:
            self._kernel(0, WINDOW + 4096 * page + self._random.randrange(4096))

    def _switch(self) -> None:
        self._at = self._random.choice(self.spaces)
        self._kernel(1, self._at.root)

    def _remap_large(self) -> None:
        space = self._at
        space.large ^= 1
        self._kernel(2, space.root + 0x2008, LARGE[space.large] | P | W | U | PS)
        self._kernel(0, LARGE_WINDOW + self._random.randrange(2 * MIB))

    def _read_large(self) -> None:
        page = self._random.randrange(N_LARGE_PAGES)
        self.code += b"\x48\xbb" + le(LARGE_WINDOW + 4096 * page, 8) + b"\x8b\x03"
        self._log(LARGE[self._at.large] + 4096 * page)

    # --- the file

    @staticmethod
    def entry(frame: int, may_run: bool) -> int:
        """A page-table entry."""
        return FRAMES + 4096 * frame | P | W | U | (0 if may_run else NX)

    def elf(self) -> bytes:
        """The kernel."""
        code = self.prologue() + self.code
        code += b"\xb8\x03\0\0\0\xcd\x80" if self.user else b"\x31\xc0\xe6\xf4"
        assert CODE + len(code) < GDT and 4 * len(self.expected) < LARGE[0] - LOG
        parts = [
            Part(code, vaddr=CODE, flags=7), Part(self._frames(), vaddr=FRAMES, flags=7),
            Part(self._tables(), vaddr=TABLES, flags=7), Part(self._system(), vaddr=GDT, flags=7),
            Part(bytes(4), vaddr=LOG, flags=7),
            *(Part(self._large_page(base), vaddr=base) for base in LARGE),
            Part(PVH_NOTE.data[:-4] + le(CODE, 4), kind=PVH_NOTE.kind, flags=4),
        ]  # fmt: skip
        return bytes(Elf(parts, entry=CODE))

    def prologue(self) -> bytes:
        """From the 32-bit entry to 64-bit code, in ring 0 or ring 3."""
        code = b"\xb8" + le(self.spaces[0].root, 4) + b"\x0f\x22\xd8"  # cr3
        code += b"\xb8" + le(0x20, 4) + b"\x0f\x22\xe0"  # cr4: PAE
        code += b"\xb9" + le(0xC000_0080, 4) + b"\x0f\x32\x0d" + le(0x901, 4) + b"\x0f\x30"  # NXE LME SCE
        code += b"\xb8" + le(0x8001_0001, 4) + b"\x0f\x22\xc0"  # cr0: PG WP PE
        code += b"\x0f\x01\x15" + le(GDT + 0x100, 4) + b"\x0f\x01\x1d" + le(GDT + 0x110, 4)  # lgdt, lidt
        code += b"\xea" + le(CODE + len(code) + 7, 4) + le(8, 2)  # ljmp
        code += b"\xb8\x10\0\0\0\x8e\xd0\xbc" + le(STACK, 4)  # mov ss, esp
        code += b"\xb8\x28\0\0\0\x0f\x00\xd8"  # ltr
        if self.user:
            start = CODE + len(code) + 5 * 5 + 2
            for word in (0x23, USER_STACK, 2, 0x1B, start):
                code += b"\x68" + le(word, 4)
            code += b"\x48\xcf"  # iretq
        return code

    @staticmethod
    def _large_page(base: int) -> bytes:
        """Each 4 KiB of it begin with their own address."""
        return b"".join(le(base + 4096 * i, 4).ljust(4096, b"\0") for i in range(N_LARGE_PAGES))

    @staticmethod
    def _frames() -> bytes:
        frames = b""
        for frame in range(N_FRAMES):
            body = bytearray(4096)
            for k in range(N_FUNCTIONS):
                body[0x100 * k : 0x100 * k + 6] = b"\xb8" + le(1000 * frame + k, 4) + b"\xc3"
            body[STORE_AT : STORE_AT + 4] = b"\x89\x77\x01\xc3"  # mov [rdi + 1], esi; ret
            body[PUSHF_AT : PUSHF_AT + 3] = b"\x9c\x58\xc3"  # pushfq; pop rax; ret
            frames += body
        return frames

    def _tables(self) -> bytes:
        tables = b""
        for space in self.spaces:
            at = space.root
            root, upper, directory, pages = (bytearray(4096) for _ in range(4))
            root[:8] = le(at + 0x1000 | P | W | U, 8)
            upper[:16] = le(TABLES + 0x4000 * self.n_spaces | P | W | U, 8) + le(at + 0x2000 | P | W | U, 8)
            directory[:16] = le(at + 0x3000 | P | W | U, 8) + le(LARGE[0] | P | W | U | PS, 8)
            for i, (frame, may_run) in enumerate(self._first[space.root]):
                pages[8 * i : 8 * i + 8] = le(self.entry(frame, may_run), 8)
            tables += root + upper + directory + pages
        low = b"".join(
            le(2 * MIB * i | P | W | (0 if i in SUPERVISOR else U) | PS, 8)
            for i in range(MEMORY_BYTES // (2 * MIB))
        )
        return tables + low.ljust(4096, b"\0")

    def _system(self) -> bytes:
        gdt = (0, 0x00AF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF, 0x00AF_FB00_0000_FFFF, 0x00CF_F300_0000_FFFF,
               0x0000_8900_0000_0067 | (TSS & 0xFF_FFFF) << 16, 0)  # fmt: skip
        page = b"".join(le(word, 8) for word in gdt).ljust(0x100, b"\0")
        page += (le(0x7F, 2) + le(GDT, 8)).ljust(16, b"\0") + le(0xFFF, 2) + le(IDT, 8)
        gate = HANDLER & 0xFFFF | 8 << 16 | 0xEE << 40 | (HANDLER >> 16) << 48
        idt = bytes(16 * 0x80) + le(gate, 16)
        tss = bytes(4) + le(STACK, 8)
        # test eax, eax; jnz +5; invlpg [rdi]; iretq; cmp eax, 1; jne +5; mov cr3, rdi; iretq;
        # cmp eax, 2; jne +5; mov [rdi], rsi; iretq; xor eax, eax; out 0xf4, al
        handler = (
            b"\x85\xc0\x75\x05\x0f\x01\x3f\x48\xcf\x83\xf8\x01\x75\x05\x0f\x22\xdf\x48\xcf"
            b"\x83\xf8\x02\x75\x05\x48\x89\x37\x48\xcf\x31\xc0\xe6\xf4"
        )
        return page.ljust(4096, b"\0") + idt.ljust(4096, b"\0") + tss.ljust(0x3000, b"\0") + handler
