# SPDX-License-Identifier: GPL-2.0-or-later
"""Computing under the block hook: same result as on a bare engine, exact counts, and not much slower."""

from __future__ import annotations

import pytest

from pvisor.cpu.engine_start import start_engine
from tests.bench.compute import measure


@pytest.mark.needs_gcc
@pytest.mark.slow
def test_a_guest_that_only_computes_is_hardly_slowed() -> None:
    result = measure(rounds=1, n_samples=5)
    assert result.n_exits == 1 + len(result.shim_s)  # HLT, once a run
    assert result.n_instructions > 10_000_000
    if start_engine().repair == "context":
        pytest.skip("the fall-back copies the CPU state at each block")
    assert min(result.shim_s) < 2 * min(result.bare_s)
