#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Fetches Debian's packages for this lab and copies what boots into a folder: python3 fetch.py [FOLDER].

A package is downloaded by apt-get (no root needed), unpacked by dpkg-deb, and kept in the cache folder
$XDG_CACHE_HOME/pvisor/debian (~/.cache where that is not set), each version once. Nothing is installed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

KERNEL = "linux-image-cloud-amd64"
"""Names no file itself: it depends on the package of the release's newest kernel."""
BUSYBOX = "busybox-static"
MEMTEST = "memtest86+"
TIMEOUT_S = 600


class UnavailableError(Exception):
    """A package cannot be had here; the text says why, in one line."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """An unpacked kernel package."""

    release: str
    """What `uname -r` says."""
    vmlinuz: Path
    config: Path
    modules: Path
    """Its folder lib/modules/RELEASE."""


def cache_folder() -> Path:
    """Where packages are kept, one folder for each version. It may not be there yet."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(root) if root.startswith("/") else Path.home() / ".cache") / "pvisor" / "debian"


def package_folder(name: str) -> Path:
    """The folder with a package's files, fetched where it is not there yet. Raises UnavailableError.

    NAME:ARCHITECTURE is a package of another architecture, where apt knows of that.
    """
    plain, _, architecture = name.partition(":")
    try:
        fields = _fields(name)
    except UnavailableError:
        kept = sorted(cache_folder().glob(f"{plain}_*{architecture}"), key=lambda path: path.stat().st_mtime)
        if not kept:
            raise
        return kept[-1]
    folder = cache_folder() / f"{plain}_{fields['Version'].replace(':', '%3a')}_{fields['Architecture']}"
    if not folder.is_dir():
        _fetch(f"{name}={fields['Version']}", folder)
    return folder


def kernel(name: str = KERNEL) -> Kernel:
    """A kernel by its package, or by the one that depends on it. Raises UnavailableError."""
    try:
        depends = _fields(name).get("Depends", "")
    except UnavailableError:
        depends = ""  # no lists of packages here, but perhaps the kernel itself, from another day
    named = re.search(r"\blinux-image-[0-9][^\s,(]*", depends)
    _, colon, architecture = name.partition(":")
    folder = package_folder(
        named[0] + colon + architecture if named else name if depends else _kept_kernel(name)
    )
    found = sorted((folder / "boot").glob("vmlinuz-*"))
    if not found:
        raise UnavailableError(f"{folder}: the package holds no kernel (boot/vmlinuz-*)")
    release = found[-1].name.removeprefix("vmlinuz-")
    trees = [folder / place / "modules" / release for place in ("lib", "usr/lib")]
    modules = next((tree for tree in trees if tree.is_dir()), trees[0])
    return Kernel(release, found[-1], folder / "boot" / f"config-{release}", modules)


def _kept_kernel(name: str) -> str:
    """The package of a kernel that was fetched before."""
    plain, colon, architecture = name.partition(":")
    flavour = plain.removeprefix("linux-image-")
    kept = sorted(
        cache_folder().glob(f"linux-image-[0-9]*-{flavour}_*{architecture}"),
        key=lambda path: path.stat().st_mtime,
    )
    if not kept:
        raise UnavailableError(f"{name}: apt-cache does not know it, and none was fetched before")
    return kept[-1].name.partition("_")[0] + colon + architecture


def _fields(name: str) -> dict[str, str]:
    """What apt knows of the version that it would install."""
    shown = _run(["apt-cache", "show", "--no-all-versions", name])
    fields = dict(re.findall(r"^([A-Za-z-]+): *(.*)$", shown, re.MULTILINE))
    if "Version" not in fields or "Architecture" not in fields:
        raise UnavailableError(f"{name}: apt-cache does not know it; root may have to `apt-get update`")
    return fields


def _fetch(package: str, folder: Path) -> None:
    """Download and unpack. The folder is there with all its files, or not at all."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(f"{folder.parent}: {error.strerror}") from None
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as work:
        _run(["apt-get", "download", "-qq", package], Path(work))
        (archive,) = Path(work).glob("*.deb")
        unpacked = Path(work) / "unpacked"
        _run(["dpkg-deb", "-x", str(archive), str(unpacked)])
        if not folder.is_dir():  # another process may have been faster
            unpacked.rename(folder)


def _run(command: Sequence[str], folder: Path | None = None) -> str:
    """What a program prints. Raises UnavailableError with its last complaint."""
    environ = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True,
                              timeout=TIMEOUT_S, check=False)  # fmt: skip
    except FileNotFoundError:
        raise UnavailableError(f"{command[0]} is not here: this needs Debian") from None
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{' '.join(command)}: no answer after {TIMEOUT_S} s") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith(("E:", "dpkg-deb:"))]
        raise UnavailableError(f"{' '.join(command)}: {said[0] if said else f'status {done.returncode}'}")
    return done.stdout


def main(words: Sequence[str]) -> int:
    """Fetch kernel, busybox and memtest86+, and copy what boots to a folder; another kernel comes alone."""
    parser = argparse.ArgumentParser(prog="fetch.py", description="Fetch what boots from Debian's packages.")
    parser.add_argument("--kernel", metavar="PACKAGE", help=f"this kernel and nothing else; else {KERNEL}")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="FOLDER")
    given = parser.parse_args(words)
    target: Path = given.folder
    try:
        copies = {kernel(given.kernel or KERNEL).vmlinuz: "vmlinuz"}
        if given.kernel is None:
            package_folder(BUSYBOX)
            copies |= {path: path.name for path in sorted((package_folder(MEMTEST) / "boot").glob("*.bin"))}
        target.mkdir(parents=True, exist_ok=True)
        for source, name in copies.items():
            shutil.copyfile(source, target / name)
            print(f"{target / name}: {source}")
    except (UnavailableError, OSError) as error:
        print(f"fetch.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
