# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading 16 MiB by ATA PIO goes at least at half of QEMU's rate, and reads the same."""

from __future__ import annotations

import pytest

from pvisor.cpu.unicorn_engine import start_engine
from tests.bench.ata import measure


@pytest.mark.needs_gcc
@pytest.mark.needs_qemu
@pytest.mark.slow
def test_pio_reaches_half_of_qemus_rate() -> None:
    ours, theirs = measure(n_samples=1)
    assert len(ours[0].seconds) == len(theirs[0].seconds) == 3
    if start_engine().repair == "context":
        pytest.skip("the fall-back copies the CPU state at each exit")
    for mine, its in zip(ours[0].seconds, theirs[0].seconds, strict=True):
        assert mine < 2 * its
