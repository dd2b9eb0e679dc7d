# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixture of the engine tests: rigs that are freed when the test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.cpu.rig import Rig

MakeRig = Callable[..., Rig]


@pytest.fixture
def rig() -> Iterator[MakeRig]:
    """Make a rig: `rig(code)`, or `rig(code, model)` with Unicorn's number of a CPU."""
    made: list[Rig] = []

    def make(code: bytes = b"", model: int = 0) -> Rig:
        made.append(Rig(code, model=model))
        return made[-1]

    yield make
    for one in made:
        one.close()
