# SPDX-License-Identifier: GPL-2.0-or-later
"""Parameters that several commands take: sizes, dates, limits, and files to write."""

from __future__ import annotations

import math
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Final, TypeVar

import click

from pvisor.errors import UsageError
from pvisor.vmm.config import TIERS

MAX_INSNS: Final = (1 << 64) - 2
_UNITS: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_F = TypeVar("_F", bound=Callable[..., object])


class Size(click.ParamType):
    """Bytes: `64M`, `1G`, `4096`."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d{1,18})([KMGT]?)(?:i?B)?", str(value).strip(), re.IGNORECASE | re.ASCII)
        if found is None:
            self.fail(f"{value!r} is not a size; give bytes, or a number with K, M, G or T", param, ctx)
        return int(found[1]) << _UNITS[found[2].upper()]


class Date(click.ParamType):
    """A date and time, UTC where it does not say otherwise, as seconds since 1970."""

    name = "date"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Seconds since 1970."""
        if isinstance(value, int):
            return value
        text = str(value).strip()
        try:
            date = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
            if date.tzinfo is None:
                date = date.replace(tzinfo=timezone.utc)
            seconds = math.floor(date.timestamp())
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a date; give one as 2026-01-31 or 2026-01-31T12:00:00Z", param, ctx)
        if seconds < 0:
            self.fail(f"{value!r} is before 1970, where a guest's clock begins", param, ctx)
        return seconds


class Instructions(click.ParamType):
    """A number of instructions."""

    name = "instructions"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        text = str(value).strip()
        number = int(text) if re.fullmatch(r"\d{1,20}", text, re.ASCII) else 0
        if not 1 <= number <= MAX_INSNS:
            self.fail(f"{value!r} is not a number of instructions; give a whole number from 1", param, ctx)
        return number


class Seconds(click.ParamType):
    """A time span on the host."""

    name = "seconds"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number of seconds."""
        try:
            seconds = float(str(value))
        except ValueError:
            seconds = math.nan
        if not 0 < seconds <= threading.TIMEOUT_MAX:
            self.fail(f"{value!r} is not a number of seconds above 0", param, ctx)
        return seconds


def domain_options(command: _F) -> _F:
    """The options of every command that runs guests."""
    for option in reversed((
        click.option("--memory", "memory_bytes", type=Size(), default="64M", metavar="SIZE", show_default=True,
                     help="The guest's RAM."),
        click.option("--cmdline", default="", metavar="TEXT", help="The guest's command line."),
        click.option("--max-insns", type=Instructions(), metavar="N",
                     help="End the run before the guest has executed more than N instructions."),
        click.option("--timeout", "timeout_s", type=Seconds(), metavar="S",
                     help="End the run after S seconds of the host's time."),
        click.option("--tier", type=click.Choice(TIERS), default="native", show_default=True,
                     help="Who serves the hottest exits: handlers in C, or those in Python, which serve all others."),
    )):  # fmt: skip
        command = option(command)
    return command


class OutputFile:
    """A file to be written later. It is opened at once, so that a path that will not do is found early.

    Until the first `write` the file keeps what it held; one that was made anew and never written goes again.
    """

    def __init__(self, option: str, path: Path, file: IO[bytes], is_new: bool) -> None:
        self.option = option
        self.path = path
        self._file = file
        self._is_new = is_new
        self._is_begun = False

    def write(self, data: bytes) -> None:
        """Append to what this command has written."""
        try:
            if not self._is_begun and self._file.seekable():
                self._file.truncate(0)
            self._is_begun = True
            self._file.write(data)
        except OSError as error:
            raise self._failure(error) from None

    def close(self) -> None:
        """Done, also when nothing was written."""
        try:
            self._file.close()
        except OSError as error:
            raise self._failure(error) from None
        finally:
            if self._is_new and not self._is_begun:
                self.path.unlink(missing_ok=True)

    def _failure(self, error: OSError) -> UsageError:
        return UsageError(f"{self.option} {self.path}: cannot be written ({_reason(error)})")


@contextmanager
def output_file(option: str, path: Path | None, *others: Path | OutputFile | None) -> Iterator[OutputFile | None]:
    """Open what an option names, for writing. Raises UsageError; also when it is one of the command's other files."""
    if path is None:
        yield None
        return
    is_new = not path.exists()
    try:
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666), "wb")
    except OSError as error:
        raise UsageError(f"{option} {path}: cannot be written ({_reason(error)})") from None
    output = OutputFile(option, path, file, is_new)
    try:
        for other in others:
            other_path = other.path if isinstance(other, OutputFile) else other
            if other_path is not None and _is_same_file(path, other_path):
                raise UsageError(f"{option} {path}: is {_what(other)} as well")
        yield output
    finally:
        output.close()


def _is_same_file(path: Path, other: Path) -> bool:
    return other.exists() and path.is_file() and path.samefile(other)


def _what(other: Path | OutputFile | None) -> str:
    return f"the file of {other.option}" if isinstance(other, OutputFile) else "a file that is read"


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
