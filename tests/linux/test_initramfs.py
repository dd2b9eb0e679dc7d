# SPDX-License-Identifier: GPL-2.0-or-later
"""demos/linux by itself: packages from an apt that is a script here, and an archive by its format."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import fetch
import initramfs
import pytest

RELEASE = "6.1.0-56-cloud-amd64"
APT_CACHE = f"""#!/bin/sh
case $3 in
    {fetch.KERNEL}) echo "Package: $3
Version: 6.1.192-2
Architecture: amd64
Depends: linux-image-{RELEASE} (= 6.1.192-2)";;
    linux-image-{RELEASE} | tool) echo "Package: $3
Version: 1:2.0
Architecture: amd64
Description: something";;
    *) echo "E: No packages found" >&2; exit 100;;
esac
"""
APT_GET = """#!/bin/sh
echo "$@" >> "$CALLS"
[ -z "$OFFLINE" ] || { echo "W: words" >&2; echo "E: Failed to fetch it" >&2; exit 100; }
echo content > "$3.deb"
"""
DPKG_DEB = f"""#!/bin/sh
mkdir -p "$3/boot" "$3/lib/modules/{RELEASE}"
cp "$2" "$3/boot/vmlinuz-{RELEASE}"
"""


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs that behave as apt's do; the file with what apt-get was asked."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("apt-cache", APT_CACHE), ("apt-get", APT_GET), ("dpkg-deb", DPKG_DEB)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    calls = tmp_path / "calls"
    calls.write_text("")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(calls))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return calls


def test_a_package_is_fetched_once(apt: Path) -> None:
    folder = fetch.package_folder("tool")
    assert folder == fetch.cache_folder() / "tool_1%3a2.0_amd64"
    assert fetch.package_folder("tool") == folder
    assert apt.read_text() == "download -qq tool=1:2.0\n"
    assert [path.name for path in fetch.cache_folder().iterdir()] == [folder.name], "nothing else is left"


def test_the_kernel_is_what_its_package_depends_on(apt: Path) -> None:
    kernel = fetch.kernel()
    assert (kernel.release, kernel.vmlinuz.name) == (RELEASE, f"vmlinuz-{RELEASE}")
    assert kernel.modules.parts[-2:] == ("modules", RELEASE)
    assert kernel.vmlinuz.is_file() and kernel.modules.is_dir()


def test_what_cannot_be_had_is_one_line(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(fetch.UnavailableError, match=r"^apt-cache show .* nothing: E: No packages found$"):
        fetch.package_folder("nothing")
    monkeypatch.setenv("OFFLINE", "1")
    with pytest.raises(fetch.UnavailableError, match=r"^apt-get download .*: E: Failed to fetch it$"):
        fetch.package_folder("tool")
    assert list(fetch.cache_folder().iterdir()) == [], "a download that failed leaves nothing"
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(fetch.UnavailableError, match="apt-cache is not here"):
        fetch.package_folder("tool")


def test_what_was_fetched_serves_without_apt(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool, kernel = fetch.package_folder("tool"), fetch.kernel()
    monkeypatch.setenv("PATH", "/nowhere")
    assert fetch.package_folder("tool") == tool
    assert fetch.kernel() == kernel


def module(*depends: str) -> bytes:
    """Something with a .modinfo."""
    return b"\x7fELF\0license=GPL\0depends=" + ",".join(depends).encode() + b"\0name=x\0"


@pytest.fixture
def kernel(tmp_path: Path) -> fetch.Kernel:
    """A kernel with a few modules."""
    modules = tmp_path / "modules"
    (modules / "kernel").mkdir(parents=True)
    names = {"pata_legacy": ("libata",), "sd_mod": ("scsi_mod", "crc-t10"), "libata": ("scsi_mod",),
             "scsi_mod": ("scsi_common",), "scsi_common": (), "crc_t10": (), "other": ()}  # fmt: skip
    for name, depends in names.items():
        (modules / "kernel" / f"{name.replace('_t10', '-t10')}.ko").write_bytes(module(*depends))
    return fetch.Kernel(RELEASE, tmp_path / "vmlinuz", tmp_path / "config", modules)


def test_the_archive_is_a_function_of_its_files(kernel: fetch.Kernel, tmp_path: Path) -> None:
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"program")
    first = initramfs.build(kernel, busybox)
    os.utime(busybox, (1, 1))
    for path in kernel.modules.rglob("*.ko"):
        os.utime(path, (2, 2))
    busybox.chmod(0o600)
    assert initramfs.build(kernel, busybox) == first


def test_modules_come_with_what_they_need(kernel: fetch.Kernel, tmp_path: Path) -> None:
    program = tmp_path / "load"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o700)
    made = initramfs.entries(kernel, program, added={"/opt/load": program})
    tree = f"lib/modules/{RELEASE}"
    assert made[f"{tree}/modules.dep"].content.decode().splitlines() == [
        "crc_t10.ko:",
        "libata.ko: scsi_mod.ko scsi_common.ko",
        "pata_legacy.ko: libata.ko scsi_mod.ko scsi_common.ko",
        "scsi_common.ko:",
        "scsi_mod.ko: scsi_common.ko",
        "sd_mod.ko: scsi_mod.ko crc_t10.ko scsi_common.ko",
    ]
    assert f"{tree}/other.ko" not in made
    assert made["opt/load"].mode == stat.S_IFREG | 0o755 and stat.S_ISDIR(made["opt"].mode)
    with pytest.raises(fetch.UnavailableError, match="holds no module missing"):
        initramfs.entries(kernel, program, ("missing",))


def test_each_member_begins_at_four(kernel: fetch.Kernel, tmp_path: Path) -> None:
    """By the format: magic, thirteen fields of eight hex digits, name, padding, content, padding."""
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"odd")
    wanted = initramfs.entries(kernel, busybox)
    data, at, inodes, names = initramfs.archive(wanted), 0, [], []
    while True:
        assert at % 4 == 0 and data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name = data[at + 110 : at + 110 + fields[11] - 1].decode()
        content_at = at + (110 + fields[11] + 3) // 4 * 4
        at = content_at + (fields[6] + 3) // 4 * 4
        if name == "TRAILER!!!":
            break
        entry = wanted[name]
        assert (fields[1], data[content_at : content_at + fields[6]]) == (entry.mode, entry.content)
        assert fields[2] == fields[3] == fields[5] == 0, "owner, group and time"
        assert tuple(fields[9:11]) == entry.device
        inodes.append(fields[0])
        names.append(name)
    assert at == len(data) and names == sorted(wanted) and inodes == list(range(1, len(wanted) + 1))


@pytest.mark.parametrize("script", ["fetch.py", "initramfs.py"])
def test_the_scripts_say_in_a_line_what_is_wrong(script: str, tmp_path: Path, repo_root: Path) -> None:
    words = [sys.executable, str(repo_root / "demos" / "linux" / script)]
    environ = {**os.environ, "PATH": "/nowhere", "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{script}: ") and done.stderr.count("\n") == 1, done.stderr
