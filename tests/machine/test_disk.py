# SPDX-License-Identifier: GPL-2.0-or-later
"""Disk images: what is accepted, who may have one at a time, and that a host's trouble stays a DiskError."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pvisor.errors import UsageError
from pvisor.machine.disk import SECTOR_BYTES, DiskError, DiskImage

CONTENT = b"".join(bytes([i]) * SECTOR_BYTES for i in range(8))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "disk.img"
    file.write_bytes(CONTENT)
    return file


def refusal(path: Path, *, read_only: bool = False) -> str:
    """The line with which a file is refused."""
    with pytest.raises(UsageError) as refused:
        DiskImage(path, read_only=read_only)
    text = str(refused.value)
    assert text.startswith("--disk ") and "\n" not in text
    return text


def test_sectors(path: Path) -> None:
    disk = DiskImage(path)
    assert (disk.n_sectors, disk.read_only) == (8, False)
    assert disk.read(0, 8) == CONTENT
    assert disk.read(7, 1) == b"\x07" * 512
    assert disk.read(3, 0) == b""
    disk.write(2, b"a" * 512 + b"b" * 512)
    assert disk.read(1, 4) == CONTENT[512:1024] + b"a" * 512 + b"b" * 512 + CONTENT[2048:2560]
    disk.flush()
    disk.close()
    disk.close()
    assert path.stat().st_size == len(CONTENT)


@pytest.mark.parametrize(("lba", "n"), [(8, 1), (7, 2), (-1, 1), (0, 9), (0, -1), (1 << 60, 1)])
def test_nothing_outside_the_disk(path: Path, lba: int, n: int) -> None:
    disk = DiskImage(path)
    with pytest.raises(ValueError, match="not in"):
        disk.read(lba, n)
    if n > 0:
        with pytest.raises(ValueError, match="not in"):
            disk.write(lba, bytes(n * SECTOR_BYTES))
    assert path.read_bytes() == CONTENT


def test_parts_of_sectors_are_not_written(path: Path) -> None:
    with pytest.raises(ValueError, match="whole"):
        DiskImage(path).write(0, b"x")


def test_read_only(path: Path) -> None:
    path.chmod(0o444)
    disk = DiskImage(path, read_only=True)
    assert disk.read(1, 1) == b"\x01" * 512
    with pytest.raises(ValueError, match="only read"):
        disk.write(0, bytes(512))
    disk.flush()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_may_only_be_read_is_refused_with_the_remedy(path: Path) -> None:
    path.chmod(0o444)
    assert f"`--disk {path},ro`" in refusal(path)


def test_files_that_are_no_disks(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "nowhere")
    assert "no such file" in refusal(tmp_path / "nowhere", read_only=True)
    assert "a folder" in refusal(tmp_path)
    assert "block device" in refusal(Path("/dev/null"))
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert "block device" in refusal(fifo)
    assert "block device" in refusal(fifo, read_only=True)
    place = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        assert "block device" in refusal(place)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert "cannot be opened" in refusal(loop)
    assert "no name of a file" in refusal(Path("a\0b"))
    assert "cannot be opened" in refusal(Path("x" * 300))


@pytest.mark.parametrize("n_bytes", [1, 511, 513, 1000])
def test_a_size_that_is_no_whole_number_of_sectors(tmp_path: Path, n_bytes: int) -> None:
    path = tmp_path / "odd.img"
    path.write_bytes(bytes(n_bytes))
    whole = -(-n_bytes // 512) * 512
    assert f"`truncate -s {whole} {path}`" in refusal(path)
    assert path.stat().st_size == n_bytes


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert "truncate -s 16M" in refusal(tmp_path / "empty")


def test_one_writer_or_many_readers(path: Path) -> None:
    writer = DiskImage(path)
    assert "in use" in refusal(path)
    assert "in use" in refusal(path, read_only=True)
    writer.close()
    readers = [DiskImage(path, read_only=True) for _ in range(3)]
    assert "in use" in refusal(path)
    readers.pop().close()
    assert "in use" in refusal(path)
    for reader in readers:
        reader.close()
    DiskImage(path).close()


def test_another_process_is_kept_out_too(path: Path) -> None:
    writer = DiskImage(path)
    program = f"import pathlib, pvisor.machine.disk as d; d.DiskImage(pathlib.Path({str(path)!r}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "in use by another machine" in done.stderr
    writer.close()
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_disk_that_was_refused_is_not_left_locked(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.touch()
    refusal(path)
    path.write_bytes(CONTENT)
    DiskImage(path).close()


def test_a_file_that_became_shorter(path: Path) -> None:
    disk = DiskImage(path)
    os.truncate(path, 3 * 512 + 100)
    assert disk.read(0, 3) == CONTENT[:1536]
    with pytest.raises(DiskError) as failed:
        disk.read(1, 4)
    assert failed.value.lba == 3


def test_an_error_of_the_host_names_the_sector(path: Path) -> None:
    disk = DiskImage(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    os.truncate(path, 0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        with pytest.raises(DiskError, match="too large") as failed:
            disk.write(1, bytes(1024))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert failed.value.lba == 2


def test_errors_after_the_file_is_gone_from_under_it(path: Path) -> None:
    disk = DiskImage(path)
    os.close(disk._fd)
    for act in (lambda: disk.read(0, 1), lambda: disk.write(0, bytes(512)), disk.flush):
        with pytest.raises(DiskError):
            act()
    disk._fd = -1


@pytest.mark.needs_qemu
def test_qemu_respects_our_lock(path: Path) -> None:
    writer = DiskImage(path)
    qemu = "qemu-system-x86_64 -display none -nodefaults -S -monitor stdio -drive"
    command = [*qemu.split(), f"file={path},format=raw"]
    done = subprocess.run(command, input=b"quit\n", capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert b"lock" in done.stderr
    writer.close()
    done = subprocess.run(command, input=b"quit\n", capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
