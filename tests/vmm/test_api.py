# SPDX-License-Identifier: GPL-2.0-or-later
"""What a program imports from `pvisor` itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import pvisor
from pvisor.vmm.config import DiskConfig, DomainConfig


@pytest.mark.parametrize("name", ["DomainConfig", "Hypervisor", "HostedDomain", "UsageError", "GuestRefused"])
def test_the_api_is_had_from_the_package(name: str) -> None:
    assert getattr(pvisor, name).__name__ == name
    assert name in dir(pvisor)


def test_other_names_are_none() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Hyperviser'"):
        pvisor.Hyperviser  # noqa: B018


def test_to_import_the_package_loads_nothing_of_it() -> None:
    code = "import sys, pvisor; print([name for name in sys.modules if name.startswith('pvisor.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_paths_may_be_texts() -> None:
    config = DomainConfig("a/b.elf", initrd="c", disks=(DiskConfig("d.img"),))  # type: ignore[arg-type]
    assert (config.kernel, config.initrd, config.disks[0].path) == (Path("a/b.elf"), Path("c"), Path("d.img"))
