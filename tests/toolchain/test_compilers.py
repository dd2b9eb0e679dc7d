# SPDX-License-Identifier: GPL-2.0-or-later
"""Which compiler is found: the order, who counts, and what is said when none does."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pvisor.errors import UsageError
from pvisor.toolchain.compilers import Kind, find_compiler, host_compiler


@pytest.fixture(autouse=True)
def no_zig_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a test puts there is there."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


def program(folder: Path, name: str, machine: str = "x86_64-linux-gnu", version: str = "(GCC) 12") -> None:
    """A fake compiler that answers -dumpmachine, --version and -print-file-name."""
    path = folder / name
    path.write_text(
        f"#!/bin/sh\nfor last; do :; done\ncase $last in\n-dumpmachine) echo {machine};;\n"
        f"--version) echo '{name} {version}';;\n"
        "-print-file-name=include) echo /its/include;;\n*) exit 1;;\nesac\n"
    )
    path.chmod(0o755)


def test_gcc_comes_before_clang(tmp_path: Path) -> None:
    program(tmp_path, "gcc")
    program(tmp_path, "clang", version="clang version 15")
    compiler = find_compiler({"PATH": str(tmp_path)})
    assert (compiler.argv, compiler.kind, compiler.includes) == (("gcc",), Kind.GCC, "/its/include")


@pytest.mark.parametrize(
    ("machine", "version"),
    [
        ("aarch64-linux-gnu", "(GCC) 12"),
        ("i686-linux-gnu", "(GCC) 12"),
        ("x86_64-w64-mingw32", "(GCC) 12"),
        ("x86_64-apple-darwin23", "(GCC) 12"),
        ("x86_64-apple-darwin23", "Apple clang version 15"),
    ],
)
def test_a_gcc_that_makes_something_else_does_not_count(tmp_path: Path, machine: str, version: str) -> None:
    program(tmp_path, "gcc", machine, version)
    program(tmp_path, "clang", version="clang version 15")
    assert find_compiler({"PATH": str(tmp_path)}).argv == ("clang",)


def test_a_cross_gcc_counts(tmp_path: Path) -> None:
    program(tmp_path, "gcc", "aarch64-linux-gnu")
    program(tmp_path, "x86_64-linux-gnu-gcc")
    assert find_compiler({"PATH": str(tmp_path)}).argv == ("x86_64-linux-gnu-gcc",)


def test_clang_counts_whatever_its_own_machine(tmp_path: Path) -> None:
    program(tmp_path, "clang", "aarch64-apple-darwin23", "clang version 15")
    assert find_compiler({"PATH": str(tmp_path)}).kind is Kind.CLANG


def test_the_zig_wheel_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "zig")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr("importlib.util.find_spec", {"ziglang": spec}.get)
    zig = find_compiler({"PATH": "/nowhere"})
    assert (zig.argv, zig.kind) == ((str(tmp_path / "zig"), "cc"), Kind.ZIG)
    program(tmp_path, "clang", version="clang version 15")
    assert find_compiler({"PATH": str(tmp_path)}).kind is Kind.CLANG


def test_none_at_all_is_said_with_advice(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no C compiler .* install gcc or clang.*PVISOR_CC") as caught:
        find_compiler({"PATH": str(tmp_path)})
    assert caught.value.status == 125


def test_pvisor_cc_comes_first_and_may_have_arguments(tmp_path: Path) -> None:
    program(tmp_path, "gcc")
    program(tmp_path, "mine")
    compiler = find_compiler({"PATH": str(tmp_path), "PVISOR_CC": "mine -O0 '-DNAME=a b'"})
    assert (compiler.argv, compiler.kind) == (("mine", "-O0", "-DNAME=a b"), Kind.GCC)


@pytest.mark.parametrize("command", ["zig cc", "/some/zig cc", f"{sys.executable} -m ziglang cc"])
def test_pvisor_cc_may_be_zig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path=None: name)
    assert find_compiler({"PATH": str(tmp_path), "PVISOR_CC": command}).kind is Kind.ZIG


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("nothere -x", "there is no program 'nothere'"),
        ("'open", "is not a command"),
        ("arm", "not a C compiler that makes x86-64 ELF files"),
        ("broken", "not a C compiler that makes x86-64 ELF files"),
    ],
)
def test_a_wrong_pvisor_cc_is_an_error(tmp_path: Path, command: str, words: str) -> None:
    program(tmp_path, "gcc")
    program(tmp_path, "arm", "aarch64-linux-gnu")
    (tmp_path / "broken").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "broken").chmod(0o755)
    with pytest.raises(UsageError, match=words) as caught:
        find_compiler({"PATH": str(tmp_path), "PVISOR_CC": command})
    assert "\n" not in str(caught.value)


def test_host_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysconfig.get_config_var", lambda name: "special-gcc -pthread")
    environ = {"PATH": str(tmp_path)}
    assert host_compiler(environ) is None
    program(tmp_path, "clang")
    assert host_compiler(environ) == ["clang"]
    program(tmp_path, "cc")
    assert host_compiler(environ) == ["cc"]
    program(tmp_path, "special-gcc")
    assert host_compiler(environ) == ["special-gcc", "-pthread"]
    assert host_compiler({**environ, "CC": "clang -g"}) == ["clang", "-g"]
    assert host_compiler({**environ, "CC": "nothere"}) is None
