# SPDX-License-Identifier: GPL-2.0-or-later
"""CLI and STI, native, against two floors of a bare CLI: `python -m tests.bench.cli_sti`.

Each floor has the two instructions of its loop in it, and so has the pair, once. Of many short samples, taken
in turn, the least counts: others on the host only ever add.
"""

from __future__ import annotations

from dataclasses import dataclass

from pvisor.cpu.floor import BareLoop, floor_ns
from pvisor.observe.bench_guest import OPERATIONS, BenchGuest, Operation
from tests.bench.figure import Figure, n_samples_asked, report

LIMIT = 1.3
N_OPERATIONS = 20_000
SAMPLES_EACH = 10
"""Short samples for one of those that are asked for."""
PAIR = bytes.fromhex("fa fb 41ffcf 75f9")
"""cli; sti; dec %r15d; jnz."""


@dataclass(frozen=True)
class CliSti(Operation):
    """Both in one loop."""

    @property
    def loop(self) -> BareLoop:
        """The guest's bytes."""
        return BareLoop("cli", PAIR)


def measure(n_samples: int = 5, n_operations: int = N_OPERATIONS) -> Figure:
    """A pair, and two floors."""
    (cli,) = (operation for operation in OPERATIONS if operation.name == "cli")
    guest = BenchGuest(CliSti("cli_sti", "full", "cli"), "native")
    ours, floors = [], []
    try:
        guest.sample(n_operations)
        for _ in range(n_samples * SAMPLES_EACH):
            floors.append(2 * floor_ns(cli.loop, n_operations))
            ours.append(guest.sample(n_operations))
        exits, native, _ = guest.counts()
    finally:
        guest.close()
    assert exits >= 2 * n_operations * n_samples * SAMPLES_EACH
    by = "native" if native * 2 > exits else "python"
    return Figure("CLI + STI", min(ours), min(floors), "two floors", LIMIT, by)


if __name__ == "__main__":
    report([measure(n_samples_asked())])
