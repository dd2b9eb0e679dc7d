# SPDX-License-Identifier: GPL-2.0-or-later
"""Three ways to lay a struct out (layout.py, cffi, gcc) agree, and packing is exact."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvisor.abi import layout
from pvisor.abi.model import CType, Field, Struct
from pvisor.abi.structs import STRUCTS

ROOT = Path(__file__).resolve().parents[2]

each_struct = pytest.mark.parametrize("row", STRUCTS, ids=lambda row: row.name)


def _by_layout(row: Struct) -> dict[str, int]:
    offsets = {field.name: layout.offsetof(row.name, field.name) for field in row.fields}
    return {"sizeof": layout.sizeof(row.name), **offsets}


@each_struct
def test_cffi_agrees(row: Struct) -> None:
    cffi = pytest.importorskip("cffi")
    ffi = cffi.FFI()
    ffi.cdef((ROOT / "pvisor/abi/abi.cdef").read_text(encoding="utf-8"))
    name = f"struct {row.name}"
    found = {"sizeof": ffi.sizeof(name), **{f.name: ffi.offsetof(name, f.name) for f in row.fields}}
    assert found == _by_layout(row)


@pytest.mark.needs_gcc
@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
def test_gcc_agrees(tmp_path: Path) -> None:
    prints = []
    for row in STRUCTS:
        prints.append(f'p("{row.name}", "sizeof", sizeof(struct {row.name}));')
        prints += [
            f'p("{row.name}", "{field.name}", offsetof(struct {row.name}, {field.name}));'
            for field in row.fields
        ]
    source = tmp_path / "offsets.c"
    source.write_text(
        "#include <pv/abi.h>\n#include <stdio.h>\n"
        "static void p(const char *s, const char *f, size_t n)\n"
        '{ printf("[\\"%s\\",\\"%s\\",%zu]\\n", s, f, n); }\n'
        f"int main(void) {{ {' '.join(prints)} return 0; }}\n",
        encoding="utf-8",
    )
    program = tmp_path / "offsets"
    subprocess.run(["gcc", "-I", ROOT / "guest_sdk/include", source, "-o", program], check=True)
    lines = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
    found: dict[str, dict[str, int]] = {row.name: {} for row in STRUCTS}
    for line in lines:
        struct_name, field_name, number = json.loads(line)
        found[struct_name][field_name] = number
    assert found == {row.name: _by_layout(row) for row in STRUCTS}


@given(
    system_ns=st.integers(0, 2**64 - 1), wall_s=st.integers(0, 2**64 - 1), wall_ns=st.integers(0, 2**32 - 1)
)
def test_unpack_undoes_pack(system_ns: int, wall_s: int, wall_ns: int) -> None:
    data = layout.pack("pv_time", system_ns=system_ns, wall_s=wall_s, wall_ns=wall_ns)
    assert len(data) == layout.sizeof("pv_time")
    assert data[layout.offsetof("pv_time", "wall_ns") :][:4] == wall_ns.to_bytes(4, "little")
    expected = {"system_ns": system_ns, "wall_s": wall_s, "wall_ns": wall_ns, "reserved": 0}
    assert layout.unpack("pv_time", data) == expected
    assert layout.unpack("pv_time", memoryview(data + b"more")) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"system_ns": 1, "wall_s": 2},
        {"system_ns": 1, "wall_s": 2, "wall_ns": 3, "colour": 4},
        {"system_ns": -1, "wall_s": 2, "wall_ns": 3},
        {"system_ns": 1, "wall_s": 2, "wall_ns": 2**32},
    ],
    ids=["missing", "unknown", "negative", "too great"],
)
def test_pack_refuses(fields: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="pv_time"):
        layout.pack("pv_time", **fields)


def test_unpack_refuses_too_few_bytes() -> None:
    with pytest.raises(ValueError, match="24 bytes, not 23"):
        layout.unpack("pv_time", bytes(23))


@pytest.mark.parametrize(
    "types",
    [(CType.U32, CType.U64), (CType.U64, CType.U32), (CType.U8, CType.U16)],
    ids=["inner", "end", "small"],
)
def test_padding_without_a_name_is_refused(types: tuple[CType, CType]) -> None:
    fields = tuple(Field(f"member_{index}", ctype, "") for index, ctype in enumerate(types))
    with pytest.raises(ValueError, match="padding"):
        layout.layout_of(Struct("pv_bad", "", fields, grows=False))


def test_importing_the_abi_parses_no_c() -> None:
    code = (
        "import sys, pvisor.abi.table, pvisor.abi.layout\n"
        "print([name for name in ('cffi', 'pycparser', 'unicorn', 'argparse', 'pvisor.abi.emit') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
