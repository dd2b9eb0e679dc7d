# SPDX-License-Identifier: GPL-2.0-or-later
"""The shim's build script: what cffi parses, what C gets, and that a change of any input shows.

The script is loaded by its path, as cffi does it: these tests need no built shim.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from tests.arch.tree import ROOT


def load() -> ModuleType:
    """pvisor/cpu/shim/build.py as a module of its own."""
    spec = importlib.util.spec_from_file_location("shim_build", ROOT / "pvisor/cpu/shim/build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = load()


def test_preprocessor_lines_vanish_and_lines_keep_their_numbers() -> None:
    text = "#pragma once\n#define A(x) \\\n  (x)\nstruct s { int a; };\n  #endif\nint b;\n"
    assert build.without_preprocessor(text) == "\n\n\nstruct s { int a; };\n\nint b;\n"


@pytest.mark.parametrize(
    ("api", "declarations"),
    [
        ("int f(int a);", "int f(int a);"),
        ('extern "Python+C" int f(int a);', "extern int f(int a);"),
        ('extern "Python+C" {\nint f(int a);\n}', "\nint f(int a);\n"),
    ],
)
def test_what_cffi_defines_is_declared_for_c(api: str, declarations: str) -> None:
    assert build.c_declarations(api) == declarations


def test_hidden_callbacks_are_refused() -> None:
    with pytest.raises(ValueError, match="Python\\+C"):
        build.c_declarations('extern "Python" int f(void);')


def test_cffi_parses_the_declarations() -> None:
    cffi = pytest.importorskip("cffi", reason="building needs cffi")
    pytest.importorskip("pycparser", reason="cffi parses with it")
    cffi.FFI().cdef(build.cdef_text())


def test_sources_are_found_in_a_fixed_order() -> None:
    assert build.sources() == sorted(build.sources())
    assert any(name.startswith("pvisor/cpu/shim/") for name in build.sources())
    assert all((build.ROOT / name).is_file() for name in build.sources() + build.headers())


@pytest.mark.parametrize("kind", ["sources", "headers"])
def test_each_input_changes_the_hash(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    original = build.source_hash()
    names = build.sources() + build.headers()
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(build.ROOT / name, tmp_path / name)
    monkeypatch.setattr(build, "ROOT", tmp_path)
    assert build.source_hash() == original
    seen = {original}
    for name in build.sources() if kind == "sources" else build.headers():
        with (tmp_path / name).open("a", encoding="utf-8") as file:
            file.write("\n")
        seen.add(build.source_hash())
    assert len(seen) == 1 + len(build.sources() if kind == "sources" else build.headers())


def test_the_hash_is_in_the_preamble() -> None:
    assert f'pv_shim_source_hash(void) {{ return "{build.source_hash()}"; }}' in build.preamble_text()


def test_unicorns_headers_come_from_its_wheel() -> None:
    assert (build.unicorn_include() / "unicorn" / "unicorn.h").is_file()
