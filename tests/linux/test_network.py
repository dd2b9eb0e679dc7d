# SPDX-License-Identifier: GPL-2.0-or-later
"""Two of Debian's kernels for i386, which has a driver for the NE2000, ping each other over a switch."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import fetch
import initramfs
import pytest

from tests.cli.support import command, environment

pytestmark = pytest.mark.linux_matrix

KERNEL = "linux-image-686-pae:i386"


def test_two_guests_ping_each_other(tmp_path: Path, repo_root: Path) -> None:
    """The lab's own files, in a folder of their own."""
    lab = repo_root / "demos" / "linux"
    try:
        kernel = fetch.kernel(KERNEL)
        busybox = fetch.package_folder(f"{fetch.BUSYBOX}:i386") / "bin" / "busybox"
    except fetch.UnavailableError as error:
        pytest.skip(f"{error} (dpkg --add-architecture i386)")
    (tmp_path / "pae").mkdir()
    shutil.copyfile(kernel.vmlinuz, tmp_path / "pae" / "vmlinuz")
    shutil.copyfile(lab / "up.toml", tmp_path / "up.toml")
    made = initramfs.build(kernel, busybox, ("ne",), {"/ping.sh": lab / "ping.sh"})
    (tmp_path / "net.gz").write_bytes(made)
    done = subprocess.run(command("up", "up.toml"), cwd=tmp_path, env=environment(), capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=1200, check=False)  # fmt: skip
    said = done.stdout.decode()
    assert done.returncode == 0, said + done.stderr.decode()
    assert said.count("ping ended with status 0") == 2
    assert said.count("3 packets transmitted, 3 packets received, 0% packet loss") >= 1
    assert (tmp_path / "lan.pcap").stat().st_size > 8 * 60
