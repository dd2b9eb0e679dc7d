# SPDX-License-Identifier: GPL-2.0-or-later
"""The script that reads 16 MiB by ATA PIO, here and under QEMU: it runs, and both read the same."""

from __future__ import annotations

import pytest

from tests.bench.ata import measure


@pytest.mark.needs_gcc
@pytest.mark.needs_qemu
@pytest.mark.slow
def test_both_read_the_disk() -> None:
    ours, theirs = measure(n_samples=1)
    assert len(ours[0].seconds) == len(theirs[0].seconds) == 3
