# SPDX-License-Identifier: GPL-2.0-or-later
"""The build backend finds a compiler, asks for ziglang only without one, and ends a failure with advice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytest.importorskip("setuptools", reason="the build backend wraps setuptools, which is not installed here")

from pvisor import build_backend
from pvisor.build_zigcc import zig_command

ADVICE = "apt-get install gcc python3-dev"


def fake_compiler(folder: Path, name: str, status: int = 0) -> Path:
    """An executable that ends with STATUS, whatever it is asked to compile."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\nexit {status}\n", "utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment with an empty PATH, except for the folder that this fixture gives."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    for name in ("CC", "LDSHARED", "PVISOR_CC"):
        monkeypatch.delenv(name, raising=False)
    return folder


def test_a_compiler_on_the_path_needs_no_ziglang(bare: Path) -> None:
    fake_compiler(bare, "gcc")
    assert build_backend.get_requires_for_build_wheel() == []
    assert build_backend.get_requires_for_build_editable() == []


def test_without_a_compiler_ziglang_is_required(bare: Path) -> None:
    assert build_backend.get_requires_for_build_wheel() == ["ziglang"]
    assert build_backend.get_requires_for_build_editable() == ["ziglang"]


def test_a_compiler_that_cannot_compile_does_not_count(bare: Path) -> None:
    for name in ("gcc", "cc"):
        fake_compiler(bare, name, status=1)
    assert build_backend.get_requires_for_build_wheel() == ["ziglang"]


def test_the_users_own_choice_is_not_put_to_the_test(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = fake_compiler(bare, "my-cc", status=1)
    monkeypatch.setenv("CC", f"{chosen} -O1")
    assert build_backend.working_compiler(os.environ) == [str(chosen), "-O1"]
    assert build_backend.get_requires_for_build_wheel() == []


def test_an_sdist_requires_nothing(bare: Path) -> None:
    assert build_backend.get_requires_for_build_sdist() == []


def test_ziglang_becomes_the_compiler(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_backend, "has_ziglang", lambda: True)
    settings = build_backend.compiler_settings(os.environ)
    assert "build_zigcc.py" in settings["CC"]
    if sys.platform.startswith("linux"):
        assert settings["LDSHARED"] == settings["CC"] + " -shared"


def test_nothing_at_all_ends_with_advice(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_backend, "has_ziglang", lambda: False)
    with pytest.raises(SystemExit, match=ADVICE):
        build_backend.compiler_settings(os.environ)


def test_missing_python_headers_end_with_advice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(SystemExit, match=f"headers are missing.*{ADVICE}"):
        build_backend.compiler_settings(os.environ)


def test_zig_gets_no_flags_of_other_linkers() -> None:
    given = ["-O2", "-specs=/usr/lib/rpm/x", "-Wl,-z,relro", "-flto=auto", "-shared", "a.o", "-o", "a.so"]
    assert zig_command(given)[3:] == ["cc", "-mcpu=baseline", "-O2", "-shared", "a.o", "-o", "a.so"]


def test_the_last_line_of_a_failed_build_says_what_to_do(repo_root: Path, tmp_path: Path) -> None:
    """As pip runs it: the hook in a process of its own, with a compiler that fails."""
    pytest.importorskip("cffi", reason="building needs cffi")
    failing = fake_compiler(tmp_path, "failing-cc", status=1)
    hook = f"import pvisor.build_backend as b; b.build_wheel({str(tmp_path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", hook],
        cwd=repo_root,
        env={**os.environ, "CC": str(failing)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "failing-cc" in last
    assert ADVICE in last
    assert not list(tmp_path.glob("*.whl"))


def test_nothing_is_left_in_the_source_folder(repo_root: Path, tmp_path: Path) -> None:
    """A build that stops half-way leaves no build folder either."""
    failing = fake_compiler(tmp_path, "failing-cc", status=1)
    copy = tmp_path / "copy"
    left_out = shutil.ignore_patterns(".*", "__pycache__", "*.so", "tests", "build", "*.egg-info")
    shutil.copytree(repo_root, copy, ignore=left_out)
    before = {path for path in copy.rglob("*") if "__pycache__" not in path.parts}
    subprocess.run(
        [sys.executable, "-c", f"import pvisor.build_backend as b; b.build_wheel({str(tmp_path)!r})"],
        cwd=copy,
        env={**os.environ, "CC": str(failing)},
        capture_output=True,
        timeout=120,
    )
    assert {path for path in copy.rglob("*") if "__pycache__" not in path.parts} == before
