# SPDX-License-Identifier: GPL-2.0-or-later
"""Both machines, for all tests of a file; in each tier."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pvisor.emu.vcpu import lane_works
from tests.full.differential.pair import Pair


@pytest.fixture(scope="module", params=["python", "native"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    if not lane_works():
        pytest.skip("the emulation lane does not work here")
    made = Pair(request.param)
    yield made
    made.close()
