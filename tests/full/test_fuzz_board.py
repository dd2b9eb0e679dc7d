# SPDX-License-Identifier: GPL-2.0-or-later
"""Random accesses to every device of the board, with time going by: only values come back, and only in range.

By hand, for long: PVISOR_FUZZ=100 runs a hundred times as many.
"""

from __future__ import annotations

import os
import random
import tracemalloc
from pathlib import Path

import pytest

from pvisor.errors import DomainCrash
from pvisor.machine.timers import Timers
from pvisor.vmm.config import DiskConfig
from tests.full.hostile_machine import HostileMachine

N_RUNS = int(os.environ.get("PVISOR_FUZZ", "1"))
N_ACCESSES, MAX_GROWTH_BYTES = 4000, 64 << 10
IOPORTS = (
    0x20, 0x21, 0x40, 0x41, 0x42, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x80, 0x92, 0xA0, 0xA1, 0xB2, 0xB3,
    0xE9, 0xF4, *range(0x1F0, 0x1F8), *range(0x300, 0x320), *range(0x3D4, 0x3DB), 0x3F6, *range(0x3F8, 0x400),
    0x4D0, 0x4D1, 0x600, 0x604, 0x608, 0xCF8, 0xCF9, 0xCFC,
)  # fmt: skip
VALUES = (0, 1, 2, 4, 6, 8, 0x0A, 0x0B, 0x11, 0x20, 0x30, 0x34, 0x80, 0xA0, 0xC0, 0xC4, 0xD1, 0xE7, 0xEC,
          0xEF, 0xFF)  # fmt: skip
APIC_REGISTERS = (0, 0x10, 0x20, 0x80, 0xB0, 0xD0, 0xF0, 0x300, 0x310, 0x320, 0x380, 0x390, 0x3E0)
APIC_VALUES = (0, 1, 0x10, 0x20, 0x1FF, 0x1_0020, 0x2_0030, 0xFFFF_FFFF)
SPANS_NS = (1, 100, 1000, 1_000_000, 10_000_000, 54_925_000, 1_000_000_000)


class Board:
    """All devices, and somebody who does not know them."""

    def __init__(self, machine: HostileMachine, seed: int) -> None:
        self._random = random.Random(seed)
        self._machine = machine
        assert machine.machine.ioports is not None and machine.machine.mmio is not None
        self._ioports, self._mmio = machine.machine.ioports, machine.machine.mmio
        self._timers: Timers = machine.domain.timers
        self._hot = self._random.sample(IOPORTS, self._random.choice((3, 8, len(IOPORTS))))

    def act(self) -> None:
        """One access, or some time."""
        chance = self._random.random()
        if chance < 0.75:
            self._access_ioport(is_write=chance < 0.4)
        elif chance < 0.88:
            self._access_memory(is_write=chance < 0.82)
        elif chance < 0.95:
            span_ns = self._random.choice(SPANS_NS[: self._random.randrange(3, 8)])
            self._machine.vcpu.skip_to(self._timers.now() + span_ns)
            self._timers.run_due()
        else:
            self._take_interrupt()

    def _access_ioport(self, *, is_write: bool) -> None:
        r = self._random
        ioport = r.choice(self._hot) if r.random() < 0.9 else r.randrange(0x1_0000)
        n_bytes = r.choice((1, 1, 1, 2, 4))
        mask = (1 << 8 * n_bytes) - 1
        if is_write:
            value = r.choice(VALUES) if r.random() < 0.6 else r.getrandbits(32)
            self._ioports.write(ioport, n_bytes, value & mask)
        else:
            assert 0 <= self._ioports.read(ioport, n_bytes) <= mask, f"I/O port {ioport:#x}"

    def _access_memory(self, *, is_write: bool) -> None:
        r = self._random
        n_bytes = r.choice((1, 2, 4, 4, 4, 8))
        page = r.choice((0xFEE0_0000, 0xFEC0_0000))
        gpa = page + r.choice((*APIC_REGISTERS, r.randrange(4096)))
        if r.random() < 0.05:
            gpa = r.getrandbits(40)
        gpa, mask = gpa & -n_bytes, (1 << 8 * n_bytes) - 1
        if is_write:
            self._mmio.write(gpa, n_bytes, r.choice((*APIC_VALUES, r.getrandbits(32))) & mask)
        else:
            assert 0 <= self._mmio.read(gpa, n_bytes) <= mask, f"{gpa:#x}"

    def _take_interrupt(self) -> None:
        source = self._machine.wing.interrupt_source
        assert source is not None
        if self._machine.vcpu.event_pending:
            assert 0 <= source.acknowledge() < 256
        if self._random.random() < 0.3:
            self._mmio.write(0xFEE0_00B0, 4, 0)
            self._ioports.write(0x20, 1, 0x20)


@pytest.mark.parametrize("seed", range(8 * N_RUNS))
def test_no_access_is_a_mistake_of_ours(tmp_path: Path, seed: int) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(512 * 200))
    machine = HostileMachine(tmp_path, disks=(DiskConfig(disk),), net=True)
    board = Board(machine, seed)
    for _ in range(N_ACCESSES):
        try:
            board.act()
        except DomainCrash as crash:
            assert str(crash)
        machine.domain.ending = None
    machine.close()


def test_no_device_collects_without_bound(tmp_path: Path) -> None:
    """After a warm-up, memory does not grow with the number of accesses."""
    machine = HostileMachine(tmp_path, net=True)
    board = Board(machine, 1)
    sizes = []
    tracemalloc.start()
    try:
        for _ in range(3):
            for _ in range(2 * N_ACCESSES):
                try:
                    board.act()
                except DomainCrash as crash:
                    assert str(crash)
                machine.domain.ending = None
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    machine.close()
    assert sizes[2] - sizes[1] < MAX_GROWTH_BYTES, sizes
