# SPDX-License-Identifier: GPL-2.0-or-later
"""Random code in the lane, where the engine executes it all: its run ends, with a reason, and repeats.

The same kernels run in `full` as well, both times from the kernel's own start. By hand, for long:
PVISOR_FUZZ=100 runs a hundred times as many.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pvisor.domain.outcome import EndedBy
from pvisor.machine.console import ConsoleOutput, NoInput
from pvisor.vmm.builder import build
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.loop import RunLoop
from tests.emu.hostile_kernel import HostileKernel
from tests.full.hostile_code import HostileGuest
from tests.full.hostile_machine import MEMORY_BYTES, HostileMachine

N_RUNS = int(os.environ.get("PVISOR_FUZZ", "1"))
N_SEEDS, N_INSNS = 25, 2000


def kernel_of(seed: int) -> bytes:
    """The kernel's file."""
    kernel = HostileKernel()
    HostileGuest(seed).put_into(kernel)
    return kernel.elf()


def run_lane(elf: bytes, folder: Path) -> tuple[Any, ...]:
    """(ending, instructions, registers, memory) of a run in the lane."""
    path = folder / "kernel"
    path.write_bytes(elf)
    config = DomainConfig(path, "emu", memory_bytes=MEMORY_BYTES, max_insns=N_INSNS)
    machine = build(config, ConsoleOutput(), NoInput())
    try:
        loop = RunLoop(machine.domain, machine.vcpu, on_kick=lambda: None, drain_trace=lambda: None)
        ending, vcpu = loop.run(), machine.vcpu
        memory = machine.domain.memory.read(0, MEMORY_BYTES)
        return ending, vcpu.n_instructions, list(vcpu.regs.gpr), memory
    finally:
        machine.close()


@pytest.mark.parametrize("first", range(0, N_SEEDS * N_RUNS * 2, N_SEEDS))
def test_the_lane_holds_it_and_repeats_it(tmp_path: Path, first: int) -> None:
    for seed in range(first, first + N_SEEDS):
        elf = kernel_of(seed)
        ending, n_insns, *rest = run_lane(elf, tmp_path)
        assert ending.ended_by is not EndedBy.CRASH or ending.reason
        assert n_insns <= N_INSNS
        assert run_lane(elf, tmp_path) == (ending, n_insns, *rest), f"seed {seed} does not repeat"


@pytest.mark.parametrize("tier", ("native", "python"))
def test_in_full_it_is_held_from_its_own_start(tmp_path: Path, tier: str) -> None:
    for seed in range(N_SEEDS * N_RUNS):
        machine = HostileMachine(tmp_path, kernel_of(seed), tier=tier)
        machine.run(N_INSNS)
        machine.check()
        machine.close()
