# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames that come and go, and what lies where. Without a twin: a PC of ours has all its memory for good."""

from __future__ import annotations

from collections.abc import Callable
from struct import unpack

from pvisor.abi import errnos
from pvisor.abi.areas import memory as rows
from pvisor.abi.layout import pack
from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.machine.memory import PAGE_BYTES
from pvisor.para.frames import GRANT_WINDOW, N_SLOTS, U32_MAX, FrameTable
from pvisor.para.hypercalls import Served
from pvisor.para.refusal import GuestError, copy_in, copy_out

FRAMES_MAX, WALKS_MAX = rows.MEMORY_FRAMES_MAX.number, rows.TABLE_WALKS_MAX.number


def _nobody() -> None:
    pass


class Balloon:
    """The memory of one domain as the host wants it.

    `given` are the GPAs where the kernel image begins and ends, and where what was made for the start ends.
    `on_target` is called when the host has moved the target.
    """

    def __init__(self, frames: FrameTable, given: tuple[int, int, int],
                 on_target: Callable[[], None] = _nobody) -> None:  # fmt: skip
        self.frames = frames
        """Their types and counts."""
        self._given = given
        self.n_populated = self.target = frames.n_ram
        """Frames that the domain has, and that the host wants it to have at most."""
        self.on_target = on_target
        self.served = Served(
            answers={
                rows.MEMORY_POPULATE: self.memory_populate, rows.MEMORY_RELEASE: self.memory_release,
                rows.MEMORY_TARGET: self.memory_target, rows.MEMORY_MAP: self.memory_map,
            }
        )  # fmt: skip

    def set_target(self, n_frames: int) -> None:
        """The host wants the domain to have so many frames at most. Raises ValueError beyond its RAM."""
        if not 0 <= n_frames <= self.frames.n_ram:
            raise ValueError(f"{n_frames} frames: the domain was made with {self.frames.n_ram}")
        if n_frames != self.target:
            self.target = n_frames
            self.on_target()

    def memory_target(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """MEMORY_TARGET."""
        return self.target

    def memory_populate(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """MEMORY_POPULATE(gpas, n): how many were done."""
        return self._each(domain, vcpu, exit, self._populate)

    def memory_release(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """MEMORY_RELEASE(gpas, n): how many were done."""
        return self._each(domain, vcpu, exit, self._release)

    def _each(self, domain: Domain, vcpu: Vcpu, exit: Exit, act: Callable[[int], None]) -> int:
        n, frames, n_done = min(exit.args[1], FRAMES_MAX), self.frames, 0
        gpas = unpack(f"<{n}Q", copy_in(domain, vcpu, exit.args[0], 8 * n)) if n else ()
        first_walk = frames.state.n_walked
        try:
            for gpa in gpas:
                act(frames.frame_at(gpa))
                n_done += 1
                if (frames.state.n_walked - first_walk) & U32_MAX >= WALKS_MAX:
                    break
        except GuestError:
            if not n_done:
                raise
        finally:
            frames.settle()
        return n_done

    def _populate(self, frame: int) -> None:
        if self.n_populated >= self.target and not self.frames.is_there(frame):
            raise GuestError(errnos.ENOMEM)
        self.frames.populate(frame)
        self.n_populated += 1

    def _release(self, frame: int) -> None:
        self.frames.release(frame)
        self.n_populated -= 1

    def memory_map(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """MEMORY_MAP(ranges, n): how many there are."""
        ranges = self.ranges()
        data = b"".join(
            pack("pv_memory_range", gpa=start, n_bytes=end - start, type=kind) for start, end, kind in ranges
        )
        n = min(exit.args[1], len(ranges))
        if n:
            copy_out(domain, vcpu, exit.args[0], data[: n * len(data) // len(ranges)])
        return len(ranges)

    def ranges(self) -> list[tuple[int, int, int]]:
        """(first GPA, first after it, type) of each range."""
        kernel, kernel_end, given_end = self._given
        ram, own, given = rows.MEMORY_RAM.number, rows.MEMORY_KERNEL.number, rows.MEMORY_GIVEN.number
        size_bytes = self.frames.n_ram * PAGE_BYTES
        window = (GRANT_WINDOW, GRANT_WINDOW + N_SLOTS * PAGE_BYTES, rows.MEMORY_GRANTS.number)
        parts = [(0, kernel, ram), (kernel, kernel_end, own), (kernel_end, given_end, given),
                 (given_end, size_bytes, ram), window]  # fmt: skip
        return [part for part in parts if part[0] < part[1]]
