# SPDX-License-Identifier: GPL-2.0-or-later
"""Frame types against a plain model, and what TLBs may remember, by random calls."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pvisor.abi.areas import memory as rows
from pvisor.machine.memory import PAGE_BYTES, GuestMemory
from pvisor.para.frames import GRANT_WINDOW, L1, L4, POPULATED
from pvisor.para.refusal import GuestError
from pvisor.para.tables import FRAME, NX, P, W
from tests.domain.fakes import MEMORY_BYTES
from tests.para.frame_model import Model, Refused
from tests.para.paging_world import HOLE_ENTRY, TABLES, PagingWorld

N_POOL = 4
POOL = [0xA_0000 + i * PAGE_BYTES for i in range(N_POOL)]
FIRST = [TABLES + i * PAGE_BYTES for i in range(4)]
pool = st.sampled_from(POOL)
any_frame = st.sampled_from([*POOL * 6, *FIRST, 0])
slots = st.integers(0, 2)
others = [*(GRANT_WINDOW + slot * PAGE_BYTES for slot in range(3)), *FIRST, MEMORY_BYTES]
targets = st.sampled_from([*POOL * 4, *others[:3] * 2, *others])
bits = st.sampled_from([*[P | NX, P | W | NX] * 4, P, P | W, P | W | 4, 0, P | 0x80 | NX])
entries = st.builds(lambda target, flags: target | flags, targets, bits)
indices = st.sampled_from([*[0, 1, 2] * 4, 256, 257, 271, 511])
pages = st.sampled_from([*POOL, *POOL, 0x1_5000, 0x1_6000, 0x20_0000, 0x20_1000, 1 << 30, 1 << 39])
levels = st.integers(1, 4)


class Frames(RuleBasedStateMachine):
    """Random calls on the handlers and on the model. The model has a copy of the memory."""

    def __init__(self) -> None:
        super().__init__()
        self.world = PagingWorld()
        root, l3, l2, l1 = (gpa // PAGE_BYTES for gpa in FIRST)
        self.model = Model(GuestMemory(MEMORY_BYTES), HOLE_ENTRY, {root: 4, l3: 3, l2: 2, l1: 1}, {root})
        self.model.memory.write(0, self.world.memory.read(0, MEMORY_BYTES))
        self.model.roots = [root, root]
        self.tlb: dict[int, tuple[int, bool]] = {}
        for gpa in POOL[:2]:  # so that something can be made of them at once
            self.world.call(rows.ENTRY_SET, gpa, gpa | P | NX, 0)
            self.model.store(FIRST[3] + gpa // 512, gpa | P | NX)
        vcpu = self.world.vcpu
        vcpu.flush_tlb = self.tlb.clear  # type: ignore[method-assign]
        vcpu.flush_page = lambda gva: void(self.tlb.pop(gva & ~0xFFF, None))  # type: ignore[method-assign]
        vcpu.set_root = lambda root: self.tlb.clear()  # type: ignore[method-assign]

    def same(self, result: int, act: Callable[[], object], success: int = 0) -> None:
        """The handlers' result is the model's."""
        try:
            act()
        except Refused as refused:
            success = refused.result
        assert result == success

    @property
    def root(self) -> int:
        return int(self.world.frames.state.roots[0].kernel)

    # --- calls

    @rule(gva=pages, entry=entries, flags=st.sampled_from([0, 0, 1, 2]))
    def entry_set(self, gva: int, entry: int, flags: int) -> None:
        at = self.model.last_entry(self.root, gva)
        result = self.world.call(rows.ENTRY_SET, gva, entry, flags)
        if at is None:
            assert result == -2
        else:
            self.same(result, lambda: self.model.store(at, entry))

    @rule(gpa=pool, how=st.sampled_from([0, P | NX, P | NX, P | W | NX]), flags=st.sampled_from([0, 1]))
    def change_the_one_to_one_map(self, gpa: int, how: int, flags: int) -> None:
        self.entry_set(gpa, gpa | how if how else 0, flags)

    @rule(table=any_frame, index=indices, entry=entries, flags=st.sampled_from([0, 2]))
    def table_update(self, table: int, index: int, entry: int, flags: int) -> None:
        gpa = table + 8 * index
        result = self.world.call_with(rows.TABLE_UPDATE, [gpa, entry], 1, flags)
        self.same(result, lambda: self.model.update(gpa, entry), 1)

    @rule(gpa=any_frame, level=levels)
    def pin(self, gpa: int, level: int) -> None:
        def act() -> None:
            if gpa // PAGE_BYTES in self.model.pins:
                raise Refused(-17)
            self.model.need_table(gpa // PAGE_BYTES, level)
            self.model.pins.add(gpa // PAGE_BYTES)

        self.same(self.world.call(rows.TABLE_PIN, gpa, level), act)

    @rule(gpa=pool, level=levels, touched=st.booleans())
    def make_table(self, gpa: int, level: int, touched: bool) -> None:
        """As a kernel does it, but for the flush."""
        if touched:
            self.touch()
        self.entry_set(gpa, gpa | P | NX, 0)
        self.pin(gpa, level)

    @rule(gpa=pool)
    def unmap_and_release(self, gpa: int) -> None:
        self.touch()
        self.entry_set(gpa, 0, 0)
        self.release(gpa)

    @rule(gpa=any_frame)
    def unpin(self, gpa: int) -> None:
        result = self.world.call(rows.TABLE_UNPIN, gpa)
        assert result == (0 if gpa // PAGE_BYTES in self.model.pins else -2)
        self.model.pins.discard(gpa // PAGE_BYTES)

    @rule(kernel=any_frame, user=any_frame)
    def root_set(self, kernel: int, user: int) -> None:
        first, second = kernel // PAGE_BYTES, (user or kernel) // PAGE_BYTES

        def act() -> None:
            self.model.need_table(first, 4)
            self.model.trying.append(first)
            try:
                self.model.need_table(second, 4)
            except Refused:
                self.model.trying.remove(first)
                if not self.model.uses(first)[0]:
                    self.model.forget_table(first)
                raise
            self.model.trying.remove(first)
            self.model.roots = [first, second]

        self.same(self.world.call(rows.ROOT_SET, kernel, user), act)

    @rule(gpa=any_frame)
    def release(self, gpa: int) -> None:
        def act() -> None:
            frame = gpa // PAGE_BYTES
            if frame in self.model.released:
                raise Refused(-2)
            if any(self.model.uses(frame)):
                raise Refused(-16)
            self.model.forget_table(frame)
            self.model.released.add(frame)
            self.model.memory.write(gpa, bytes(PAGE_BYTES))

        self.same(self.world.call_with(rows.MEMORY_RELEASE, [gpa], 1), act, 1)

    @rule(gpa=any_frame)
    def populate(self, gpa: int) -> None:
        result = self.world.call_with(rows.MEMORY_POPULATE, [gpa], 1)
        assert result == (1 if gpa // PAGE_BYTES in self.model.released else -17)
        self.model.released.discard(gpa // PAGE_BYTES)

    @rule()
    def flush(self) -> None:
        self.world.call(rows.TLB_FLUSH, 2, 0)

    # --- others

    @rule(gpa=any_frame, writable=st.booleans())
    def hold(self, gpa: int, writable: bool) -> None:
        def act() -> None:
            frame = gpa // PAGE_BYTES
            if frame in self.model.released:
                raise Refused(-2)
            if writable:
                self.model.may_write(frame)
            self.model.holds.append((frame, writable))

        result = 0
        try:
            self.world.frames.hold(gpa // PAGE_BYTES, writable=writable)
            self.world.holds.append((gpa // PAGE_BYTES, writable))
        except GuestError as error:
            result = error.result
        self.same(result, act)

    @precondition(lambda self: self.model.holds)
    @rule(which=st.integers(0, 99))
    def drop(self, which: int) -> None:
        held = self.model.holds.pop(which % len(self.model.holds))
        self.world.holds.remove(held)
        self.world.frames.drop(held[0], writable=held[1])

    @rule(slot=slots, writable=st.booleans())
    def slot(self, slot: int, writable: bool) -> None:
        if slot not in self.model.slots:
            self.world.frames.open_slot(slot, writable=writable)
            self.model.slots[slot] = writable
            return
        is_used = any(self.model.uses(self.model.n_ram + slot))
        try:
            self.world.frames.close_slot(slot)
            assert not is_used
            del self.model.slots[slot]
        except GuestError as error:
            assert (error.result, is_used) == (-16, True)

    @rule()
    def touch(self) -> None:
        """The CPU uses all addresses, and remembers how they are mapped."""
        for gva in (*POOL, 0x1_5000, 0x1_6000, 0x20_0000, 0x20_1000):
            self.translate(gva)

    @rule(gpa=pool, index=indices, entry=entries)
    def poke(self, gpa: int, index: int, entry: int) -> None:
        """The guest stores into a frame, if it can."""
        found = self.translate(gpa)
        if found == (gpa // PAGE_BYTES, True):
            for memory in (self.world.memory, self.model.memory):
                memory.write_u64(gpa + 8 * index, entry)

    def translate(self, gva: int) -> tuple[int, bool] | None:
        at = self.model.last_entry(self.root, gva)
        entry = self.model.memory.read_u64(at) if at is not None else 0
        if gva not in self.tlb and entry & P:
            self.tlb[gva] = self.model.named(entry), bool(entry & W)
        return self.tlb.get(gva)

    # --- what must hold

    @invariant()
    def isolated(self) -> None:
        self.world.check()
        low = self.world.memory.read(0, 0xF_0000)
        assert low == self.model.memory.read(0, 0xF_0000)

    @invariant()
    def same_types(self) -> None:
        types = self.world.frames.types
        found = {frame: types[frame] for frame in range(self.model.n_ram) if L1 <= types[frame] <= L4}
        assert found == self.model.levels

    @invariant()
    def no_translation_leads_to_a_table_or_out(self) -> None:
        frames = self.world.frames
        for gva, (frame, writable) in self.tlb.items():
            assert frames.flags[frame] & POPULATED, f"{gva:#x}: a frame that is not there"
            assert not (writable and L1 <= frames.types[frame] <= L4), f"{gva:#x}: a table, for writing"

    def teardown(self) -> None:
        assert self.world.memory.read_u64(self.root + 8 * 256) & FRAME == HOLE_ENTRY & FRAME


def void(_: object) -> None:
    """A function's result that nobody wants."""


Frames.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestFrames = Frames.TestCase
