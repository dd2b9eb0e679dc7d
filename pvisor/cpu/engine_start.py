# SPDX-License-Identifier: GPL-2.0-or-later
"""The start of the engine, once a process: the libraries are opened, and Unicorn has to pass a self-test.

libunicorn and libcapstone are those of the wheels.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pvisor.cpu.shim import ffi, lib
from pvisor.errors import PvisorError, UsageError

REPAIRS = {1: "state", 2: "context"}
"""How the CPU state is reached (shim/state.c)."""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What the start-up self-test found."""

    unicorn_version: str
    repair: str
    state_offsets: tuple[int, ...]


@cache
def start_engine() -> EngineFacts:
    """Open the libraries and run the self-test, once a process.

    PVISOR_REPAIR=state or =context asks for one way of repair; without it the fastest that works is used.
    Raises PvisorError where Unicorn does not behave as the shim needs it to.
    """
    error = ffi.new("char[256]")
    library = wheel_library("unicorn", "lib/libunicorn.so.2", "lib/libunicorn.2.dylib")
    if lib.pv_load_unicorn(str(library).encode(), error, len(error)):
        raise PvisorError(f"Unicorn cannot be loaded: {text_of(error)}")
    decoder = wheel_library("capstone", "lib/libcapstone.so", "lib/libcapstone.dylib")
    if lib.pv_load_capstone(str(decoder).encode(), error, len(error)):
        raise PvisorError(f"capstone cannot be loaded: {text_of(error)}")
    asked = os.environ.get("PVISOR_REPAIR", "")
    wanted = {"": 0, **{name: number for number, name in REPAIRS.items()}}.get(asked)
    if wanted is None:
        raise UsageError(f"PVISOR_REPAIR={asked}: not a way of repair; give state or context, or unset it")
    version = lib.pv_unicorn_version()
    number = ".".join(str(version >> shift & 255) for shift in (24, 16, 8))
    repair = lib.pv_self_test(wanted, error, len(error))
    if not repair:
        raise PvisorError(
            f"Unicorn {number} does not pass the self-test ({text_of(error)}); install unicorn>=2.1.4,<2.2"
        )
    offsets = ffi.new("uint32_t[6]")
    lib.pv_state_offsets(offsets)
    return EngineFacts(number, REPAIRS[repair], tuple(offsets))


def wheel_library(package: str, *names: str) -> Path:
    """The shared library that a wheel ships, without importing the package."""
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for name in names:
            if (Path(folder) / name).is_file():
                return Path(folder) / name
    raise PvisorError(f"the {package} wheel with its library is not installed; install pvisor again")


def native_names(wing: str) -> tuple[str, ...]:
    """The native handlers that the shim holds for a wing."""
    return tuple(
        text_of(lib.pv_native_name(wing.encode(), i)) for i in range(lib.pv_native_count(wing.encode()))
    )


def text_of(c_string: Any) -> str:
    """A C string's text."""
    return str(ffi.string(c_string).decode("utf-8", "replace"))
