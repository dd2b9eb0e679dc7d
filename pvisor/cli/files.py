# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that a command writes besides its output: checked before the work begins, written when it is done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pvisor.errors import UsageError


class OutputFile:
    """A file to be written later. It is opened at once, so that a path that will not do is found early.

    Until the first `write` the file keeps what it held; one that was made anew and never written goes again.
    """

    def __init__(self, option: str, path: Path) -> None:
        self.option = option
        self.path = path
        self._is_new = not path.exists()
        self._is_begun = False
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise self._failure(error) from None
        self._file: IO[bytes] = os.fdopen(descriptor, "wb")

    def write(self, data: bytes) -> None:
        """Append to what this command has written. Raises UsageError when the file takes no more."""
        try:
            if not self._is_begun and self.path.is_file():  # a device or a pipe cannot be emptied
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

    def is_file(self, other: Path) -> bool:
        """Is it the same file as another one?"""
        return self.path.is_file() and other.exists() and self.path.samefile(other)

    def _failure(self, error: OSError) -> UsageError:
        return UsageError(f"{self.option} {self.path}: cannot be written ({words_of(error)})")


@contextmanager
def output_file(
    option: str, path: Path | None, *others: Path | OutputFile | None
) -> Iterator[OutputFile | None]:
    """The file that an option names, open for writing; None where the option was not given.

    Raises UsageError when it cannot be written, or is one of the command's other files.
    """
    if path is None:
        yield None
        return
    output = OutputFile(option, path)
    try:
        for other in others:
            if isinstance(other, OutputFile) and output.is_file(other.path):
                raise UsageError(f"{option} {path}: is the file of {other.option} as well")
            if isinstance(other, Path) and output.is_file(other):
                raise UsageError(f"{option} {path}: is a file that is read, and would be overwritten")
        yield output
    finally:
        output.close()


def words_of(error: OSError) -> str:
    """The system's words for what went wrong."""
    return (error.strerror or str(error)).lower()
