# SPDX-License-Identifier: GPL-2.0-or-later
"""Direct paging: the guest's own tables are in CR3, after they were validated, and change by hypercall.

Twin of full/paging.py, where the guest writes its tables as it likes, and the CPU uses shadows of them. The
first tables are made in tables.py; what a frame may be is in frames.py; native twins are in native/paging.c.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import iter_unpack

from pvisor.abi import errnos
from pvisor.abi.areas import memory as rows
from pvisor.abi.layout import sizeof
from pvisor.cpu.shim import lib
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.errors import PvisorError
from pvisor.machine.frames import ENTRIES_PER_TABLE
from pvisor.machine.memory import PAGE_BYTES, GuestMemory
from pvisor.para.frames import FLUSH, L1, L4, NONE, PINNED, U32_MAX, FrameTable
from pvisor.para.hypercalls import Served
from pvisor.para.refusal import GuestError, copy_in, invalid
from pvisor.para.tables import FRAME, HOLE_SLOTS, P
from pvisor.para.walk import find_entry, is_own_address

FLUSH_PAGE, FLUSH_ALL = rows.FLUSH_PAGE.number, rows.FLUSH_ALL.number
UPDATE_MAX, WALKS_MAX = rows.TABLE_UPDATE_MAX.number, rows.TABLE_WALKS_MAX.number
_UPDATE_BYTES = sizeof("pv_entry_update")


class Paging:
    """Page tables of one domain. `vcpus` is the domain's own list, which may fill later."""

    def __init__(self, memory: GuestMemory, vcpus: Sequence[Vcpu]) -> None:
        self.frames = FrameTable(memory, vcpus)
        self.served = Served(
            answers={
                rows.ROOT_SET: self.root_set, rows.ENTRY_SET: self.entry_set,
                rows.TABLE_UPDATE: self.table_update, rows.TABLE_PIN: self.table_pin,
                rows.TABLE_UNPIN: self.table_unpin, rows.TLB_FLUSH: self.tlb_flush,
            }
        )  # fmt: skip

    def start(self, root: int, hole_entry: int, n_vcpus: int) -> None:
        """The first tables are there: `root`, a GPA, is pinned and in use on all vCPUs."""
        self.frames.state.hole_entry = hole_entry
        self._adopt(root // PAGE_BYTES, L4)
        self.frames.take_table_at(root, L4)
        self.frames.flags[root // PAGE_BYTES] |= PINNED
        for vcpu_id in range(n_vcpus):
            for _ in ("kernel", "user"):
                self.frames.take_table_at(root, L4)
            roots = self.frames.state.roots[vcpu_id]
            roots.kernel = roots.user = root

    def _adopt(self, frame: int, level: int) -> None:
        """A tree of tables that we have made, from below; in C, because it is long."""
        for entry in self.frames.words[frame * ENTRIES_PER_TABLE : (frame + 1) * ENTRIES_PER_TABLE]:
            below = (entry & FRAME) >> 12
            if level > L1 and entry & P and below < self.frames.n_ram and self.frames.types[below] == NONE:
                self._adopt(below, level - 1)
        error = lib.pv_paging_adopt(self.frames.state, frame, level)
        if error:
            raise RuntimeError(f"first tables: frame {frame:#x} is no table of level {level} ({error})")

    def attach(self, vcpu: UnicornVcpu) -> None:
        """Let a vCPU's native handlers, and its look at code, use the frames. Once, before it runs."""
        state = self.frames.state
        roots = state.roots[vcpu.vcpu_id]
        roots.paging = state
        state.vcpus[state.n_vcpus] = vcpu.v
        state.n_vcpus += 1
        if lib.pv_paging_attach(vcpu.v, state.roots + vcpu.vcpu_id):
            raise PvisorError("no memory for what is known of a vCPU's code")

    # --- roots

    def set_roots(self, vcpu: Vcpu, root: int, user_root: int) -> None:
        """Other roots for a vCPU, by GPA; user_root 0 is the same. Raises GuestError."""
        frames, roots = self.frames, self.frames.state.roots[vcpu.vcpu_id]
        user_root = user_root or root
        try:
            frames.take_table_at(root, L4)
            try:
                frames.take_table_at(user_root, L4)
            except GuestError:
                frames.untake_table(root // PAGE_BYTES)
                raise
            frames.drop_table(roots.kernel // PAGE_BYTES)
            frames.drop_table(roots.user // PAGE_BYTES)
            roots.kernel, roots.user = root, user_root
        finally:
            frames.settle()
        vcpu.set_root(root)

    def begin_vcpu(self, vcpu: Vcpu, by: Vcpu) -> None:
        """A further vCPU begins, on the roots of another."""
        roots, others = self.frames.state.roots[vcpu.vcpu_id], self.frames.state.roots[by.vcpu_id]
        for root in (others.kernel, others.user):
            self.frames.take_table_at(root, L4)
        self.frames.settle()
        roots.kernel, roots.user = others.kernel, others.user
        vcpu.set_root(roots.kernel)

    def end_vcpu(self, vcpu: Vcpu) -> None:
        """A vCPU goes down: it uses no tables any more."""
        roots = self.frames.state.roots[vcpu.vcpu_id]
        for root in (roots.kernel, roots.user):
            self.frames.drop_table(root // PAGE_BYTES)
        self.frames.settle()
        roots.kernel = roots.user = 0

    def enter_user(self, vcpu: Vcpu) -> None:
        """The vCPU goes to user code: CR3 is loaded where it has another root for that."""
        roots = self.frames.state.roots[vcpu.vcpu_id]
        if roots.user != roots.kernel:
            vcpu.set_root(roots.user)

    def enter_kernel(self, vcpu: Vcpu) -> None:
        """It comes back from user code."""
        roots = self.frames.state.roots[vcpu.vcpu_id]
        if roots.user != roots.kernel:
            vcpu.set_root(roots.kernel)

    def root_set(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """ROOT_SET(root, user_root)."""
        self.set_roots(vcpu, exit.args[0], exit.args[1])
        return 0

    # --- entries

    def entry_set(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """ENTRY_SET(gva, entry, flags)."""
        gva, entry, flags = exit.args[0], exit.args[1], exit.args[2]
        if not is_own_address(gva) or flags > FLUSH_ALL:
            raise invalid()
        frames = self.frames
        at = find_entry(frames.words, frames.state.roots[vcpu.vcpu_id].kernel, gva)
        if at is None:
            raise GuestError(errnos.ENOENT)
        try:
            frames.replace(at, entry)
            if flags == FLUSH_PAGE:
                self.flush_page(gva)
            elif flags == FLUSH_ALL:
                frames.state.pending |= FLUSH
        finally:
            frames.settle()
        return 0

    def table_update(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """TABLE_UPDATE(updates, n, flags): how many were done."""
        updates, n, flags = exit.args[0], min(exit.args[1], UPDATE_MAX), exit.args[2]
        if flags not in (0, FLUSH_ALL):
            raise invalid()
        data = copy_in(domain, vcpu, updates, n * _UPDATE_BYTES) if n else b""
        frames = self.frames
        state, first_walk = frames.state, frames.state.n_walked
        wanted = list(iter_unpack("<QQ", data))
        n_done = frames.replace_plain(wanted)
        try:
            for gpa, entry in wanted[n_done:]:
                self._update(gpa, entry)
                n_done += 1
                if (state.n_walked - first_walk) & U32_MAX >= WALKS_MAX:
                    break
        except GuestError:
            if not n_done:
                frames.settle()
                raise
        if flags:
            state.pending |= FLUSH
        frames.settle()
        return n_done

    def _update(self, gpa: int, entry: int) -> None:
        frames = self.frames
        if gpa & 7 or gpa >> 12 >= frames.n_ram:
            raise invalid()
        level = frames.types[gpa >> 12]
        if not L1 <= level <= L4:
            raise GuestError(errnos.ENOENT)
        if level == L4 and (gpa >> 3) % ENTRIES_PER_TABLE in HOLE_SLOTS:
            raise invalid()
        frames.replace(gpa >> 3, entry)

    # --- pins

    def table_pin(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """TABLE_PIN(gpa, level)."""
        frame, level = self.frames.frame_at(exit.args[0]), exit.args[1]
        if not L1 <= level <= L4:
            raise invalid()
        if self.frames.flags[frame] & PINNED:
            raise GuestError(errnos.EEXIST)
        try:
            self.frames.take_table(frame, level)
        finally:
            self.frames.settle()
        self.frames.flags[frame] |= PINNED
        return 0

    def table_unpin(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """TABLE_UNPIN(gpa)."""
        frame = self.frames.frame_at(exit.args[0])
        if not self.frames.flags[frame] & PINNED:
            raise GuestError(errnos.ENOENT)
        self.frames.flags[frame] &= ~PINNED
        self.frames.drop_table(frame)
        return 0

    # --- translations

    def flush_page(self, gva: int) -> None:
        """Drop the translation of a page on all vCPUs."""
        for vcpu in self.frames.vcpus:
            vcpu.flush_page(gva)

    def tlb_flush(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """TLB_FLUSH(what, gva)."""
        what = exit.args[0]
        if what == FLUSH_ALL:
            self.frames.flush_all()
        elif what == FLUSH_PAGE:
            self.flush_page(exit.args[1])
        else:
            raise invalid()
        return 0
