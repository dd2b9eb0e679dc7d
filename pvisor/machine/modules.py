# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot modules: files that a PC kernel gets besides its own, each with a line of arguments."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pvisor.errors import UsageError

ARGUMENTS_MAX = 4095
"""Bytes of a module's arguments."""


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """A module as it is asked for: `option` names the option that did, for messages."""

    path: Path
    arguments: str = ""
    option: str = "--module"


@dataclass(frozen=True, slots=True)
class Module:
    """A module as the guest gets it: its file's name as it was given, its arguments, its bytes."""

    name: bytes
    arguments: bytes
    data: bytes = field(repr=False)


def read_modules(files: Sequence[ModuleFile], max_bytes: int) -> tuple[Module, ...]:
    """Read the files, all together no more than `max_bytes`.

    Raises UsageError for one that is missing, no regular file, unreadable or too large.
    """
    modules = []
    n_left = max_bytes
    for file in files:
        arguments = os.fsencode(file.arguments)
        if len(arguments) > ARGUMENTS_MAX or b"\0" in arguments:
            raise UsageError(
                f"{file.option} {file.path}: {len(arguments)} bytes of arguments; "
                f"at most {ARGUMENTS_MAX}, none of them NUL"
            )
        data = _read(file, n_left)
        n_left -= len(data)
        modules.append(Module(os.fsencode(file.path), arguments, data))
    return tuple(modules)


def _read(file: ModuleFile, max_bytes: int) -> bytes:
    named = f"{file.option} {file.path}"
    try:
        status = file.path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UsageError(f"{named}: a folder, not a file")
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{named}: a pipe or a device, not a file")
        with file.path.open("rb") as opened:
            # The file may have grown since; one byte more tells.
            data = opened.read(max_bytes + 1) if status.st_size <= max_bytes else None
    except FileNotFoundError:
        raise UsageError(f"{named}: no such file") from None
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{named}: cannot be read ({words})") from None
    if data is None or len(data) > max_bytes:
        raise UsageError(
            f"{named}: {status.st_size} bytes do not fit into the guest's memory; give more --memory"
        )
    return data
