# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's packages for tests, as demos/linux fetches them; where one cannot be had, the test is skipped."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import fetch
import initramfs
import pytest


@cache
def package_folder(name: str) -> Path:
    """The files of a package, or skip."""
    try:
        return fetch.package_folder(name)
    except fetch.UnavailableError as error:
        pytest.skip(str(error))


@cache
def cloud_kernel() -> fetch.Kernel:
    """Debian's kernel for clouds, or skip."""
    try:
        return fetch.kernel()
    except fetch.UnavailableError as error:
        pytest.skip(str(error))


def make_initramfs(folder: Path, **added: Path) -> Path:
    """The lab's initramfs, in a folder; `added` are programs, by their names in the guest's root."""
    busybox = package_folder(fetch.BUSYBOX) / "bin" / "busybox"
    path = folder / "initrd.gz"
    try:
        path.write_bytes(initramfs.build(cloud_kernel(), busybox, added=added))
    except fetch.UnavailableError as error:
        pytest.skip(str(error))
    return path
