# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests with a machine of hand-made state share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.full.hostile_machine import HostileMachine


@pytest.fixture(params=("native", "python"))
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HostileMachine]:
    """One in each tier."""
    hostile = HostileMachine(tmp_path, tier=request.param)
    yield hostile
    hostile.close()
