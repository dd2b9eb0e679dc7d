# SPDX-License-Identifier: GPL-2.0-or-later
"""Random code in rings 0 and 3: no mistake of ours, the same in both tiers, and the guest stays isolated.

By hand, for long: PVISOR_FUZZ=100 runs a hundred times as many.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from pvisor.cpu.shim import ffi
from tests.full.hostile_code import HostileGuest
from tests.full.hostile_machine import MEMORY_BYTES, HostileMachine

N_RUNS = int(os.environ.get("PVISOR_FUZZ", "1"))
N_SEEDS, N_INSNS = 25, 1000
WAYS = ({"tier": "native"}, {"tier": "python"}, {"tier": "native", "n_frames": 64})


def outcome(machine: HostileMachine, ending: object) -> dict[str, Any]:
    """All that must not depend on the tier, nor on the room for shadow tables."""
    vcpu = machine.vcpu
    memory = vcpu.original_code(0, machine.memory.read(0, MEMORY_BYTES))
    return {
        "ending": ending, "instructions": vcpu.n_instructions, "registers": list(vcpu.regs.gpr),
        "rip": vcpu.regs.rip, "rflags": vcpu.rflags & ~0x200, "if": vcpu.virtual_if,
        "segments": [vcpu.segment(i) for i in range(6)], "state": bytes(ffi.buffer(machine.state)),
        "memory": hashlib.sha256(memory).hexdigest(), "output": machine.console.data,
    }  # fmt: skip


def run(seed: int, folder: Path, **settings: Any) -> dict[str, Any]:
    """One run of one seed."""
    machine = HostileMachine(folder, **settings)
    try:
        HostileGuest(seed).put_into(machine)
        ending = machine.run(N_INSNS)
        machine.check()
        return outcome(machine, ending)
    finally:
        machine.close()


@pytest.mark.parametrize("first", range(0, N_SEEDS * N_RUNS * 4, N_SEEDS))
def test_hostile_code_is_held(tmp_path: Path, first: int) -> None:
    for seed in range(first, first + N_SEEDS):
        results = [run(seed, tmp_path, **way) for way in WAYS]
        assert results[0] == results[1], f"seed {seed}: the tiers differ"
        assert results[0] == results[2], f"seed {seed}: fewer frames make a difference"
