# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiles a part of the SDK as a library of the host, so that a test can call it directly."""

from __future__ import annotations

import ctypes
import platform
import subprocess
from pathlib import Path

import pytest


def library(repo_root: Path, folder: Path, sources: list[str], extra: str = "", *flags: str) -> ctypes.CDLL:
    """The SDK's `sources` and the C text `extra` as a shared library."""
    if platform.machine() != "x86_64":
        pytest.skip("the SDK's code is for x86-64, and this host is not")
    sdk = repo_root / "guest_sdk"
    text = folder / "extra.c"
    text.write_text(extra)
    output = folder / "sdk.so"
    command = [
        *["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-ffreestanding"],
        *flags,
        f"-I{sdk / 'include'}",
        *(str(sdk / "src" / name) for name in sources),
        str(text),
        "-o",
        str(output),
    ]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(output))
