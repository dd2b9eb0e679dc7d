# SPDX-License-Identifier: GPL-2.0-or-later
"""An ATA disk with ext4: written in one boot, found whole by the host's e2fsck, and read in the next."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.linux.machine import Booted, boot

pytestmark = pytest.mark.slow

DISK_BYTES = 16 << 20
MOUNT = "mount -t ext4 /dev/sda /mnt && echo mounted"
WRITE = (
    MOUNT,
    "for i in 0 1 2 3 4 5 6 7 8 9; do dd if=/dev/urandom of=/mnt/part$i bs=1k count=16 2>/dev/null; done",
    "mkdir /mnt/folder; cat /mnt/part* > /mnt/folder/whole; rm /mnt/part[0-4]",
    "(cd /mnt; md5sum folder/whole part*) > /root/sums; cp /root/sums /mnt/sums",
)
CHECK = (MOUNT, "cd /mnt; md5sum -c sums; cat sums | wc -l; cd /")


def host_tool(name: str) -> str:
    """A program of e2fsprogs, which may lie where only root looks."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """An image with an empty ext4."""
    image = tmp_path / "root.img"
    image.write_bytes(b"")
    os.truncate(image, DISK_BYTES)
    subprocess.run([host_tool("mkfs.ext4"), "-q", "-F", image], check=True, capture_output=True)
    return image


def is_clean(image: Path) -> bool:
    """Does e2fsck find nothing to mend, and no journal to replay?"""
    done = subprocess.run([host_tool("e2fsck"), "-fn", image], capture_output=True, text=True, check=False)
    return done.returncode == 0 and "recovery" not in done.stdout + done.stderr


def boot_with(initrd: Path, mode: str, disk: Path, *lines: str) -> Booted:
    """A boot with the driver loaded and the disk in place."""
    cmdline = "quiet modprobe=pata_legacy,sd_mod"
    done = boot(initrd, mode, (*lines, "poweroff -f"), cmdline=cmdline, options=["--disk", disk])
    assert done.status == 0, done
    assert "\nmounted\n" in done.answers, done.console
    return done


@pytest.mark.parametrize(("writer", "reader"), [("full", "emu")])
def test_a_file_system_outlives_its_machine(initrd: Path, disk: Path, writer: str, reader: str) -> None:
    boot_with(initrd, writer, disk, *WRITE, "umount /mnt")
    assert is_clean(disk)
    read = boot_with(initrd, reader, disk, *CHECK, "umount /mnt")
    assert read.answers.count(": OK\n") == 6 and "\n6\n" in read.answers, read.answers
    assert is_clean(disk)


@pytest.mark.linux_matrix
@pytest.mark.parametrize(("writer", "reader"), [("emu", "full"), ("full", "full"), ("emu", "emu")])
def test_in_each_mode(initrd: Path, disk: Path, writer: str, reader: str) -> None:
    test_a_file_system_outlives_its_machine(initrd, disk, writer, reader)


@pytest.mark.linux_matrix
@pytest.mark.parametrize("mode", ["full", "emu"])
def test_what_was_synced_is_there_after_power_off(initrd: Path, disk: Path, mode: str) -> None:
    boot_with(initrd, mode, disk, *WRITE, "sync")
    repaired = subprocess.run([host_tool("e2fsck"), "-fp", disk], capture_output=True, text=True, check=False)
    assert repaired.returncode in (0, 1), repaired.stdout
    assert is_clean(disk)
    read = boot_with(initrd, mode, disk, *CHECK, "umount /mnt")
    assert read.answers.count(": OK\n") == 6, read.answers
