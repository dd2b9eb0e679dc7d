# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab sheet says what can be done: its commands have these options, its files are there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pvisor.vmm.setup_file import read_setup
from tests.cli.support import process

COMMANDS = ("pvisor run", "pvisor up", "python3 fetch.py", "python3 initramfs.py")


def commands(sheet: Path) -> list[str]:
    """What is to be typed, continued lines joined."""
    text = sheet.read_text("utf-8").replace("\\\n", " ")
    return [line.strip() for line in text.split("\n") if line.startswith("    ")]


@pytest.mark.parametrize("program", COMMANDS)
def test_each_option_of_the_sheet_is_there(program: str, repo_root: Path) -> None:
    lab = repo_root / "demos" / "linux"
    typed = [line.partition("#")[0] for line in commands(lab / "README.md") if line.startswith(program)]
    assert typed, program
    wanted = {word for line in typed for word in re.findall(r"(?<=\s)--?[a-z][a-z-]*", line)}
    words = program.split()
    if words[0] == "pvisor":
        offered = process([*words[1:], "--help"]).stdout.decode()
    else:
        asked = [sys.executable, str(lab / words[1]), "--help"]
        offered = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    for option in wanted:
        assert re.search(rf"(?<![\w-]){option}\b", offered), f"{option}: {program} does not have it"


def test_the_setup_is_one_for_two_pcs(repo_root: Path) -> None:
    lab = repo_root / "demos" / "linux"
    setup = read_setup(lab / "up.toml")
    for domain in setup.domains:
        assert (domain.config.mode, domain.config.network, domain.config.net) == ("full", "lan", True)
        assert f"run=/{(lab / 'ping.sh').name} " in domain.config.cmdline
