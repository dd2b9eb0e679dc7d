# SPDX-License-Identifier: GPL-2.0-or-later
"""The headers that a guest's author reads: a contract at each function, and the modes that have it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pvisor.paths import sdk_dir

GENERATED = ("abi.h", "hypercall.h")
HEADERS = sorted(
    path for path in (sdk_dir() / "include" / "pv").glob("*.h") if path.name not in GENERATED
)
FUNCTION = re.compile(r"^(?!typedef|#|static)[\w ]+[ *]\w+\((?:.|\n)*?\)[^;{]*;$", re.MULTILINE)
MODES = re.compile(r"\bFull\b|\bpara and hybrid guests\b|\bevery mode\b|PV_MODE_PARA|are the SDK's own")


@pytest.mark.parametrize("path", HEADERS, ids=lambda path: path.name)
def test_it_says_what_each_mode_does(path: Path) -> None:
    assert MODES.search(path.read_text("utf-8")), "full, para and hybrid: which of them has it, and how?"


@pytest.mark.parametrize("path", HEADERS, ids=lambda path: path.name)
def test_each_function_has_a_contract(path: Path) -> None:
    """A comment right above it, or above the function in the line before; string.h has one for all."""
    text = path.read_text("utf-8")
    for found in FUNCTION.finditer(text):
        before = text[: found.start()].splitlines()[-1]
        assert before.endswith(("*/", ";")) or path.name == "string.h", found.group()
