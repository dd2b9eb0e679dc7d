# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests to observe."""

from __future__ import annotations

import pytest

from tests.guests.shelf import Shelf


@pytest.fixture(scope="session")
def guests(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Built guests."""
    return Shelf(tmp_path_factory.mktemp("guests"))
