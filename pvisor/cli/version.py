# SPDX-License-Identifier: GPL-2.0-or-later
"""`pvisor --version -v`: what pvisor runs on here. For bug reports, and for the curious."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from pvisor.errors import PvisorError

OFFSET_NAMES = ("eflags", "hflags", "segs", "error_code", "exception_is_int", "old_exception")
"""What the engine's verified offsets are of (shim.h, struct state_layout)."""


def details() -> str:
    """The lines below the version."""
    lines = [f"python      {platform.python_version()}, {platform.system()} {platform.machine()}", *_engine()]
    lines += [f"{name:<11} {_version(name)}" for name in ("capstone", "pyelftools", "msgpack")]
    return "\n".join([*lines, f"compiler    {_compiler()}"])


def _engine() -> list[str]:
    """The engine has to start for this: it finds out by itself how it can be repaired."""
    try:
        from pvisor.cpu.engine_start import start_engine

        facts = start_engine()
    except PvisorError as error:
        return [f"engine      {error}"]
    offsets = ", ".join(f"{name} {at}" for name, at in zip(OFFSET_NAMES, facts.state_offsets, strict=True))
    return [f"unicorn     {facts.unicorn_version}", f"repair      {facts.repair}", f"offsets     {offsets}"]


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def _compiler() -> str:
    from pvisor.toolchain.compilers import find_compiler

    try:
        return str(find_compiler(os.environ))
    except PvisorError as error:
        return str(error)
