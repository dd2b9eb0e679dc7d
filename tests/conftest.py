# SPDX-License-Identifier: GPL-2.0-or-later
"""What all tests share: where the repository is, and which programs of the host a test needs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run: a test that fails must fail again.
settings.register_profile("repeatable", derandomize=True, database=None)
settings.load_profile("repeatable")

_PROGRAMS = {"needs_qemu": "qemu-system-x86_64", "needs_gcc": "gcc"}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked needs_qemu or needs_gcc where that program is missing."""
    for marker, program in _PROGRAMS.items():
        if item.get_closest_marker(marker) is not None and shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the matrix of Linux boots, unless a -m names it: it takes half an hour."""
    if "linux_matrix" in str(config.getoption("markexpr")):
        return
    matrix = [item for item in items if item.get_closest_marker("linux_matrix") is not None]
    if matrix:
        items[:] = [item for item in items if item not in matrix]
        config.hook.pytest_deselected(items=matrix)


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The checkout that these tests belong to."""
    return Path(__file__).resolve().parent.parent
