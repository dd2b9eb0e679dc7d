# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk of sectors in a file of the host: raw, never made longer or shorter. No bus, no controller.

The file is locked for as long as it is open, so that two machines never write to one disk: a writer is alone
with it, readers share it. On Linux these are the locks that QEMU takes, too, so neither writes to a disk that
the other uses.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import struct
from pathlib import Path

from pvisor.errors import UsageError

SECTOR_BYTES = 512
_ZEROS_AT_ONCE = 2048
_KEEP_SIZE, _PUNCH_HOLE = 1, 2
"""Modes of fallocate(2): the file keeps its length, and the range reads as zeros."""


class DiskError(Exception):
    """The host could not do what the disk was asked. `lba` is the first sector that failed."""

    def __init__(self, lba: int, reason: str) -> None:
        super().__init__(f"sector {lba}: {reason}")
        self.lba = lba


class DiskImage:
    """An open disk of `n_sectors` sectors of 512 bytes. Close it when the domain goes.

    Raises UsageError when the file is no disk: missing, of another kind, empty, no whole number of sectors,
    not to be opened, or in use elsewhere.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self._fd = _open(path, read_only)
        try:
            _lock(path, self._fd, exclusive=not read_only)
            self.n_sectors = _count_sectors(path, self._fd)
        except BaseException:
            self.close()
            raise

    def read(self, lba: int, n_sectors: int) -> bytes:
        """Whole sectors. Raises DiskError where the host cannot read, ValueError outside the disk."""
        self._check(lba, n_sectors)
        data = bytearray()
        while len(data) < n_sectors * SECTOR_BYTES:
            at = lba * SECTOR_BYTES + len(data)
            try:
                more = os.pread(self._fd, n_sectors * SECTOR_BYTES - len(data), at)
            except OSError as error:
                raise DiskError(at // SECTOR_BYTES, _words(error)) from None
            if not more:
                raise DiskError(at // SECTOR_BYTES, "the file has become shorter")
            data += more
        return bytes(data)

    def write(self, lba: int, data: bytes) -> None:
        """Store whole sectors. Raises DiskError where the host cannot write, ValueError outside the disk."""
        if self.read_only or len(data) % SECTOR_BYTES:
            raise ValueError("the disk is only read" if self.read_only else "no whole number of sectors")
        self._check(lba, len(data) // SECTOR_BYTES)
        n_done = 0
        while n_done < len(data):
            at = lba * SECTOR_BYTES + n_done
            try:
                n_done += os.pwrite(self._fd, data[n_done:], at)
            except OSError as error:
                raise DiskError(at // SECTOR_BYTES, _words(error)) from None

    def discard(self, lba: int, n_sectors: int) -> None:
        """Fill sectors with zeros, and let the host forget what was there if it can.

        Raises DiskError where the host cannot, ValueError outside the disk.
        """
        self._check(lba, n_sectors)
        if self.read_only:
            raise ValueError("the disk is only read")
        if not punch_hole(self._fd, lba * SECTOR_BYTES, n_sectors * SECTOR_BYTES):
            zeros = bytes(min(n_sectors, _ZEROS_AT_ONCE) * SECTOR_BYTES)
            for first in range(lba, lba + n_sectors, _ZEROS_AT_ONCE):
                n_bytes = min(len(zeros), (lba + n_sectors - first) * SECTOR_BYTES)
                self.write(first, zeros[:n_bytes])

    def flush(self) -> None:
        """Return when all that was written is on the host's disk. Raises DiskError."""
        if self.read_only:
            return
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise DiskError(0, _words(error)) from None

    def close(self) -> None:
        """Close the file, which unlocks it. A second time has no effect."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _check(self, lba: int, n_sectors: int) -> None:
        if lba < 0 or n_sectors < 0 or lba + n_sectors > self.n_sectors:
            raise ValueError(f"sectors [{lba}, {lba + n_sectors}) are not in [0, {self.n_sectors})")


def punch_hole(fd: int, at: int, n_bytes: int) -> bool:
    """Give a range of a file back to the host's file system; it reads as zeros then. False: it cannot."""
    fallocate = getattr(ctypes.CDLL(None), "fallocate", None)
    if fallocate is None:
        return False
    offset, length = ctypes.c_long(at), ctypes.c_long(n_bytes)
    return bool(fallocate(fd, _KEEP_SIZE | _PUNCH_HOLE, offset, length) == 0)


def _open(path: Path, read_only: bool) -> int:
    """A descriptor of a regular file or a block device. Opening other things may wait, or disturb them."""
    try:
        _refuse_odd_kinds(path, path.stat().st_mode)
        # Without waiting, should a pipe have taken the file's place meanwhile.
        fd = os.open(path, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise _cannot_open(path, read_only, error) from None
    try:
        _refuse_odd_kinds(path, os.fstat(fd).st_mode)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _cannot_open(path: Path, read_only: bool, error: OSError | ValueError) -> UsageError:
    if isinstance(error, ValueError):
        return UsageError(f"--disk {path!s:.100}: no name of a file ({error})")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and not read_only and os.access(path, os.R_OK):
        return UsageError(
            f"--disk {path}: cannot be written ({_words(error)}); `--disk {path},ro` only reads it"
        )
    return UsageError(f"--disk {path}: cannot be opened ({_words(error)})")


def _refuse_odd_kinds(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise UsageError(f"--disk {path}: a folder; give a disk image")
    if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
        raise UsageError(f"--disk {path}: neither a file nor a block device; give a disk image")


def _count_sectors(path: Path, fd: int) -> int:
    """The size, by seeking: a block device's length is not in its inode."""
    n_bytes = os.lseek(fd, 0, os.SEEK_END)
    n_sectors, rest = divmod(n_bytes, SECTOR_BYTES)
    if n_bytes == 0:
        raise UsageError(f"--disk {path}: empty; `truncate -s 16M {path}` makes it a disk of 16 MiB")
    if rest:
        whole = (n_sectors + 1) * SECTOR_BYTES
        raise UsageError(
            f"--disk {path}: {n_bytes} bytes are no whole number of sectors of {SECTOR_BYTES} bytes; "
            f"`truncate -s {whole} {path}` fills the last one up"
        )
    return n_sectors


def _lock(path: Path, fd: int, *, exclusive: bool) -> None:
    """Lock the file by its open description: two disks of one process exclude each other, as well."""
    try:
        command = getattr(fcntl, "F_OFD_SETLK", None)
        if command is None:
            fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        else:
            kind = fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK
            # struct flock of fcntl(2): the whole file, whatever its length; l_pid has to be 0.
            fcntl.fcntl(fd, command, struct.pack("@hhqqi4x", kind, os.SEEK_SET, 0, 0, 0))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise UsageError(
                f"--disk {path}: in use by another machine or domain, which has it locked"
            ) from None
        raise UsageError(f"--disk {path}: cannot be locked ({_words(error)})") from None


def _words(error: OSError) -> str:
    """The system's words for what went wrong."""
    return (error.strerror or str(error)).lower()
