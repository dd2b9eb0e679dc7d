# SPDX-License-Identifier: GPL-2.0-or-later
"""A wheel built from this checkout holds everything that an installed pvisor needs, and nothing stray."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from tests.arch.tree import files

pytestmark = [pytest.mark.slow, pytest.mark.needs_gcc]

NEEDED = {"setuptools": (77,), "cffi": (1, 16), "unicorn": (2, 1, 4)}


def lacking() -> list[str]:
    """Build requirements that are not installed here (without pip's isolation they must be)."""
    missing: list[str] = []
    for name, wanted in NEEDED.items():
        try:
            have = tuple(int(part) for part in version(name).split(".")[: len(wanted)])
        except (PackageNotFoundError, ValueError):
            have = ()
        if have < wanted:
            missing.append(f"{name}>={'.'.join(map(str, wanted))}")
    return missing


@pytest.fixture(scope="module")
def wheel(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    if lacking():
        pytest.skip(f"not installed: {', '.join(lacking())}")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
               "--wheel-dir", str(folder), str(repo_root)]
    environ = {name: value for name, value in os.environ.items() if name not in ("CC", "LDSHARED")}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300)
    if "No module named pip" in done.stderr:
        pytest.skip("pip is not installed")
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_one_wheel_serves_every_python(wheel: zipfile.ZipFile) -> None:
    assert wheel.filename is not None
    name = Path(wheel.filename).name
    assert name.startswith("pvisor_toolkit-")
    assert "-cp310-abi3-" in name


def test_it_holds_the_package(wheel: zipfile.ZipFile) -> None:
    shipped = (".py", ".cdef", "py.typed")
    ours = {name for name in files() if name.startswith("pvisor/") and name.endswith(shipped)}
    assert ours - set(wheel.namelist()) == set()
    assert any(name.startswith("pvisor/cpu/_shim") and name.endswith(".so") for name in wheel.namelist())


def test_it_holds_the_sdk_the_demos_and_the_document(wheel: zipfile.ZipFile) -> None:
    ours = [name for name in files() if name.startswith(("guest_sdk/", "demos/")) or name == "hypercalls.md"]
    assert "guest_sdk/include/pv/abi.h" in ours
    assert {f"pvisor/share/{name}" for name in ours} - set(wheel.namelist()) == set()


def test_nothing_stray_is_inside(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"pvisor", next(name for name in tops if name.endswith(".dist-info"))}
    assert not [name for name in wheel.namelist() if name.endswith((".o", ".elf", ".pyc"))]


def test_it_states_both_licences(wheel: zipfile.ZipFile) -> None:
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    assert "License-Expression: GPL-2.0-or-later AND MIT" in wheel.read(metadata).decode()
    held = [name for name in wheel.namelist() if "/licenses/" in name]
    assert len(held) == 2, held
