# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests of the command line share besides fixtures: a command's remains, and commands as processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Said:
    """What a command left behind."""

    status: int
    out: str
    err: str


Pvisor = Callable[..., Said]


def refused(said: Said, status: int, *words: str) -> None:
    """Check the form of a refusal: one line on stderr, nothing on stdout."""
    assert said.status == status, said
    assert said.out == ""
    assert said.err.startswith("pvisor: ") and said.err.count("\n") == 1, said.err
    for word in words:
        assert word in said.err


def command(*words: str | Path) -> list[str]:
    """The command line of a process."""
    return [sys.executable, "-m", "pvisor", *map(str, words)]


def environment() -> dict[str, str]:
    """Of such a process: this checkout's pvisor, whatever is installed."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}


def process(words: Sequence[str | Path], *, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a command as a process of its own, to its end."""
    return subprocess.run(
        command(*words), input=input, capture_output=True, timeout=120, env=environment(), check=False
    )
