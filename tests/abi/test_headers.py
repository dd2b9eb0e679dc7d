# SPDX-License-Identifier: GPL-2.0-or-later
"""The emitted headers stand alone: C11 and C++, every warning an error; the constants serve assembly too."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pvisor.abi.calls import CALLS
from pvisor.abi.table import ABI

ROOT = Path(__file__).resolve().parents[2]
INCLUDE = ROOT / "guest_sdk/include"
STRICT = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic", "-Werror")
needs_gcc = pytest.mark.needs_gcc


def _compile(tmp_path: Path, compiler: str, source: str, suffix: str, *flags: str) -> None:
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler}")
    path = tmp_path / f"alone{suffix}"
    path.write_text(source, encoding="utf-8")
    command = [compiler, *flags, "-I", str(INCLUDE), "-c", str(path), "-o", str(tmp_path / "alone.o")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@needs_gcc
@pytest.mark.parametrize("header", ["pv/abi.h", "pv/hypercall.h"])
@pytest.mark.parametrize("level", ["-O0", "-O2"])
@pytest.mark.parametrize(
    ("compiler", "standard", "suffix"),
    [
        ("gcc", "-std=c11", ".c"),
        ("gcc", "-std=gnu17", ".c"),
        ("g++", "-std=c++11", ".cc"),
        ("g++", "-std=c++20", ".cc"),
        ("clang", "-std=c11", ".c"),
        ("clang++", "-std=c++17", ".cc"),
    ],
)
def test_header_compiles_alone(
    tmp_path: Path, header: str, level: str, compiler: str, standard: str, suffix: str
) -> None:
    source = f"#include <{header}>\n#include <{header}>\nint something_to_compile;\n"
    _compile(tmp_path, compiler, source, suffix, standard, level, "-ffreestanding", "-mno-red-zone", *STRICT)


@needs_gcc
def test_every_constant_serves_assembly(tmp_path: Path) -> None:
    names = [row.name for row in ABI.constants if not isinstance(row.value, str)]
    names += [row.macro for row in ABI.errnos] + [row.macro for row in ABI.features]
    names += [row.macro for row in ABI.calls]
    names += [f"{row.name}_{field.name}".upper() for row in ABI.structs for field in row.fields]
    source = "#include <pv/abi.h>\n" + "".join(f"        .quad {name}\n" for name in names)
    source += "        .asciz PV_ELF_NOTE_NAME\n"
    source += '        .section .note.GNU-stack, "", @progbits\n'
    _compile(tmp_path, "gcc", source, ".S")


@needs_gcc
def test_examples_compile(tmp_path: Path) -> None:
    prelude = Path(__file__).parent / "guests" / "example.h"
    source = f'#include "{prelude}"\n'
    for call in CALLS:
        source += f"int example_{call.handler}(void);\n"
        source += f"int example_{call.handler}(void)\n{{\n{call.example}\nreturn 0;\n}}\n"
    _compile(tmp_path, "gcc", source, ".c", "-std=c11", "-O2", "-mno-red-zone", *STRICT)


def test_no_name_is_defined_twice() -> None:
    text = (INCLUDE / "pv/abi.h").read_text(encoding="utf-8") + (INCLUDE / "pv/hypercall.h").read_text(
        encoding="utf-8"
    )
    names = re.findall(r"^#define (PV_\w+)", text, re.MULTILINE)
    assert sorted(set(names) - {"PV_STATIC_ASSERT"}) == sorted(n for n in names if n != "PV_STATIC_ASSERT")
    functions = re.findall(r"^static inline int64_t (\w+)\(", text, re.MULTILINE)
    assert len(functions) == len(set(functions)) == len(CALLS) + 6


@needs_gcc
def test_cffi_api_mode_accepts_the_cdef(tmp_path: Path) -> None:
    """In API mode cffi compares each number with the C compiler's: a real extension is compiled."""
    cffi = pytest.importorskip("cffi")
    ffi = cffi.FFI()
    ffi.cdef((ROOT / "pvisor/abi/abi.cdef").read_text(encoding="utf-8"))
    ffi.set_source("_abi_probe", "#include <pv/abi.h>")
    source = tmp_path / "_abi_probe.c"
    ffi.emit_c_code(str(source))
    text = source.read_text(encoding="utf-8")
    assert "PV_HOLE_START" in text
    assert "struct pv_start_info" in text
    sysconfig = pytest.importorskip("sysconfig")
    python_include = sysconfig.get_paths()["include"]
    if not (Path(python_include) / "Python.h").is_file():
        pytest.skip("no Python headers")
    _compile(tmp_path, "gcc", text, ".c", "-fPIC", "-I", python_include)
