# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line under test: in this process where that shows all (support.py has it as one of its own)."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.cli import main
from tests.cli.support import Pvisor, Said
from tests.guests.shelf import Shelf


@pytest.fixture(scope="session")
def guests(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Built guests."""
    return Shelf(tmp_path_factory.mktemp("guests"))


@pytest.fixture
def pvisor(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Pvisor:
    """Run a command in this process; tables are 100 columns wide."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*words: str | Path) -> Said:
        status = main([str(word) for word in words])
        said = capfd.readouterr()
        return Said(status, said.out, said.err)

    return run
