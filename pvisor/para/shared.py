# SPDX-License-Identifier: GPL-2.0-or-later
"""The shared page: pending events, masks and time, which guest and hypervisor read and write without a call.

It lies in the guest's own RAM, so nothing that is read from it is trusted: it can mislead its own guest only.
It has no twin; a PC's interrupt controllers keep such state to themselves (full/pic.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pvisor.abi.areas import cpu as rows
from pvisor.abi.layout import offsetof, sizeof
from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.machine.memory import PAGE_BYTES, GuestMemory
from pvisor.para.hypercalls import Served
from pvisor.para.refusal import invalid

_VCPU = offsetof("pv_shared_info", "vcpu")
_VCPU_BYTES = sizeof("pv_vcpu_info")
_UPCALL_PENDING = offsetof("pv_vcpu_info", "upcall_pending")
_UPCALL_MASK = offsetof("pv_vcpu_info", "upcall_mask")
_PENDING_WORDS, _CR2 = offsetof("pv_vcpu_info", "pending_words") >> 3, offsetof("pv_vcpu_info", "cr2") >> 3
_TSC_AT, _SYSTEM_NS = offsetof("pv_vcpu_info", "tsc_at"), offsetof("pv_vcpu_info", "system_ns")
_TSC_MUL, _TSC_SHIFT = offsetof("pv_vcpu_info", "tsc_mul"), offsetof("pv_vcpu_info", "tsc_shift")
_STEAL = offsetof("pv_vcpu_info", "steal_ns")
_WALL_S, _WALL_NS = offsetof("pv_shared_info", "wall_s"), offsetof("pv_shared_info", "wall_ns")
_N_VCPUS = offsetof("pv_shared_info", "n_vcpus")
_PENDING, _MASK = offsetof("pv_shared_info", "pending") >> 3, offsetof("pv_shared_info", "mask") >> 3


NOWHERE = -1
"""The address of a shared page that the guest cannot see."""


class SharedPage:
    """The shared page of a domain, at a frame of its RAM. Event ports and vCPUs are given by number.

    Without a frame (None) the guest cannot see it until it gives one by SHARED_SET.
    """

    def __init__(self, memory: GuestMemory, gpa: int | None) -> None:
        self._memory = memory
        self.on_move: list[Callable[[], None]] = []
        """Called after the page has moved, by who keeps its address."""
        if gpa is None:
            self._place(NOWHERE, memoryview(bytearray(PAGE_BYTES)))
        else:
            self.move(gpa)

    def move(self, gpa: int) -> None:
        """Use another frame, as it is. Raises MemoryRangeError where there is no RAM."""
        self._place(gpa, self._memory.view(gpa, PAGE_BYTES))
        for moved in self.on_move:
            moved()

    def _place(self, gpa: int, page: memoryview) -> None:
        self.gpa, self._bytes, self._words = gpa, page, page.cast("Q")

    def vcpu_info(self, vcpu_id: int) -> int:
        """Guest-physical address of a vCPU's part (struct pv_vcpu_info)."""
        return self.gpa + _VCPU + vcpu_id * _VCPU_BYTES

    def clear(self) -> None:
        """As at the start: nothing pending, every port and every vCPU masked."""
        self._bytes[:] = bytes(PAGE_BYTES)
        for i in range(16):
            self._words[_MASK + i] = (1 << 64) - 1
            self._bytes[_VCPU + i * _VCPU_BYTES + _UPCALL_MASK] = 1

    # --- event ports

    def is_pending(self, port: int) -> bool:
        """Was it signalled, and not looked at yet?"""
        return bool(self._words[_PENDING + (port >> 6)] >> (port & 63) & 1)

    def is_masked(self, port: int) -> bool:
        """Has the guest masked it?"""
        return bool(self._words[_MASK + (port >> 6)] >> (port & 63) & 1)

    def set_pending(self, port: int, value: bool) -> None:
        """Set or clear a port's pending bit."""
        self._set(_PENDING + (port >> 6), port & 63, value)

    def set_masked(self, port: int, value: bool) -> None:
        """Set or clear a port's mask bit."""
        self._set(_MASK + (port >> 6), port & 63, value)

    def signal(self, port: int, vcpu_id: int) -> bool:
        """A signal arrives at a port. True: the vCPU is to be told, because it has not been told yet.

        Nothing more happens when the port is pending already; when it is masked, nobody is told.
        """
        words, word, bit = self._words, port >> 6, 1 << (port & 63)
        pending = words[_PENDING + word]
        if pending & bit:
            return False
        words[_PENDING + word] = pending | bit
        if words[_MASK + word] & bit:
            return False
        at = _VCPU + vcpu_id * _VCPU_BYTES
        words[(at >> 3) + _PENDING_WORDS] |= 1 << word
        if self._bytes[at + _UPCALL_PENDING]:
            return False
        self._bytes[at + _UPCALL_PENDING] = 1
        return True

    def _set(self, word: int, bit: int, value: bool) -> None:
        if value:
            self._words[word] |= 1 << bit
        else:
            self._words[word] &= ~(1 << bit) & (1 << 64) - 1

    # --- vCPUs

    def raise_upcall(self, vcpu_id: int, port: int) -> bool:
        """Tell a vCPU to look at a port. True: it has not been told yet."""
        at = _VCPU + vcpu_id * _VCPU_BYTES
        self._words[(at >> 3) + _PENDING_WORDS] |= 1 << (port >> 6)
        was_pending = self._bytes[at + _UPCALL_PENDING]
        self._bytes[at + _UPCALL_PENDING] = 1
        return not was_pending

    def upcall_pending(self, vcpu_id: int) -> bool:
        """Is there something that the vCPU has not been told of?"""
        return bool(self._bytes[_VCPU + vcpu_id * _VCPU_BYTES + _UPCALL_PENDING])

    def upcall_masked(self, vcpu_id: int) -> bool:
        """Does the vCPU want no upcall now?"""
        return bool(self._bytes[_VCPU + vcpu_id * _VCPU_BYTES + _UPCALL_MASK])

    def set_upcall_masked(self, vcpu_id: int, value: bool) -> None:
        """Mask or unmask upcalls."""
        self._bytes[_VCPU + vcpu_id * _VCPU_BYTES + _UPCALL_MASK] = value

    def start_time(self, vcpu_id: int) -> None:
        """The time of a vCPU: its TSC counts nanoseconds of system time, and both began together."""
        at = _VCPU + vcpu_id * _VCPU_BYTES
        self._words[at + _TSC_AT >> 3] = self._words[at + _SYSTEM_NS >> 3] = 0
        self._bytes[at + _TSC_MUL : at + _TSC_MUL + 4] = (1 << 31).to_bytes(4, "little")
        self._bytes[at + _TSC_SHIFT] = 1

    def set_wall_clock(self, wall_s: int, wall_ns: int, n_vcpus: int) -> None:
        """What holds for all: UTC at system time 0, and how many vCPUs there are."""
        self._words[_WALL_S >> 3] = wall_s
        self._bytes[_WALL_NS : _WALL_NS + 4] = wall_ns.to_bytes(4, "little")
        self._bytes[_N_VCPUS : _N_VCPUS + 4] = n_vcpus.to_bytes(4, "little")

    def set_steal(self, vcpu_id: int, steal_ns: int) -> None:
        """How much time others have taken from a vCPU."""
        self._words[_VCPU + vcpu_id * _VCPU_BYTES + _STEAL >> 3] = steal_ns

    def set_cr2(self, vcpu_id: int, address: int) -> None:
        """The address of a page fault."""
        self._words[(_VCPU + vcpu_id * _VCPU_BYTES >> 3) + _CR2] = address


class FrameHolds(Protocol):
    """Who keeps frames from becoming page tables, or from being released."""

    def hold(self, gfn: int, *, writable: bool) -> None:
        """Hold a frame. Raises GuestError where it cannot be held."""

    def drop(self, gfn: int, *, writable: bool) -> None:
        """Let go of it."""


class NoHolds:
    """Where no frame ever changes what it is."""

    def hold(self, gfn: int, *, writable: bool) -> None:
        """Nothing can happen to it."""

    def drop(self, gfn: int, *, writable: bool) -> None:
        """Nothing was held."""


class SharedPageMover:
    """SHARED_SET: another frame becomes the shared page. `initialise` fills it, as at the start."""

    def __init__(self, shared: SharedPage, holds: FrameHolds, initialise: Callable[[], None]) -> None:
        self._shared = shared
        self._holds = holds
        self._initialise = initialise
        self.served = Served(answers={rows.SHARED_SET: self.shared_set})

    def shared_set(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """SHARED_SET(gpa): 0."""
        gpa, old = exit.args[0], self._shared.gpa
        if gpa % PAGE_BYTES or gpa >= domain.memory.size_bytes:
            raise invalid()
        self._holds.hold(gpa // PAGE_BYTES, writable=True)
        if old != NOWHERE:
            self._holds.drop(old // PAGE_BYTES, writable=True)
        self._shared.move(gpa)
        self._initialise()
        return 0
