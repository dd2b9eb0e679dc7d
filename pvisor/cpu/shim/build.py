# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds `pvisor.cpu._shim`, the C half of the engine: what goes in, and how to tell that it is stale.

setup.py names `ffi_builder` below to setuptools, which compiles the extension. At run time the loader
uses only `source_hash`, so cffi is imported nowhere but inside the functions that build.

This file stands alone: cffi executes it by path, before pvisor is installed.

What Python sees of C (`cdef_text`), in this order:
  pvisor/abi/abi.cdef          structs and numbers of the hypercall interface (generated)
  pvisor/cpu/shim/types.h      structs and enums that C and Python share; preprocessor lines are for C alone
  pvisor/*/native/*_state.h    state of virtual CPUs and devices that both tiers work on
  pvisor/cpu/shim/api.h        functions: the prototypes that the C files include, too
  pvisor/cpu/shim/callbacks.cdef   `extern "Python+C"`: calls into Python
The C preamble includes the headers, and declares what callbacks.cdef declares.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cffi import FFI

MODULE = "pvisor.cpu._shim"
ROOT = Path(__file__).resolve().parents[3]

_STATE_FOLDERS = ("pvisor/full/native", "pvisor/para/native", "pvisor/emu/native")
_STATE_HEADERS = tuple(
    sorted(
        str(path.relative_to(ROOT)) for folder in _STATE_FOLDERS for path in (ROOT / folder).glob("*_state.h")
    )
)
_CDEF_PARTS = (
    "pvisor/abi/abi.cdef",
    "pvisor/cpu/shim/types.h",
    *_STATE_HEADERS,
    "pvisor/cpu/shim/api.h",
    "pvisor/cpu/shim/callbacks.cdef",
)
_SOURCE_FOLDERS = ("pvisor/cpu/shim", *_STATE_FOLDERS)
_INCLUDE_FOLDERS = ("pvisor/cpu/shim", "pvisor", "guest_sdk/include")
_FLAGS = ["-O2", "-std=gnu11", "-Wall", "-Wextra", "-fvisibility=hidden"]
_HASH_PROTOTYPE = "const char *pv_shim_source_hash(void)"


def sources() -> list[str]:
    """Every C file of the extension, relative to the repository, in a fixed order."""
    return [path for path in _inputs() if path.endswith(".c")]


def headers() -> list[str]:
    """Every other file whose change makes the extension stale."""
    return [path for path in _inputs() if not path.endswith(".c")]


def source_hash() -> str:
    """A hash of all inputs. The built extension carries the one that it was built from."""
    digest = hashlib.sha256()
    for path in _inputs():
        content = (ROOT / path).read_bytes()
        digest.update(f"{path}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:32]


def cdef_text() -> str:
    """The declarations that cffi parses."""
    parts = ((ROOT / part).read_text("utf-8") for part in _CDEF_PARTS)
    return "\n".join((*(without_preprocessor(part) for part in parts), f"{_HASH_PROTOTYPE};\n"))


def preamble_text() -> str:
    """What the generated C file begins with."""
    callbacks = (ROOT / _CDEF_PARTS[-1]).read_text("utf-8")
    return "\n".join(
        (
            "#include <stdint.h>",
            "#include <pv/abi.h>",
            '#include "types.h"',
            *(f'#include "{header.removeprefix("pvisor/")}"' for header in _STATE_HEADERS),
            '#include "api.h"',
            c_declarations(callbacks),
            f'static {_HASH_PROTOTYPE} {{ return "{source_hash()}"; }}\n',
        )
    )


def without_preprocessor(text: str) -> str:
    """TEXT with each preprocessor line, and the lines that continue it, left empty."""

    def emptied(match: re.Match[str]) -> str:
        return "\n" * match.group().count("\n")

    return re.sub(r"^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", emptied, text, flags=re.MULTILINE)


def c_declarations(callbacks: str) -> str:
    """CALLBACKS (cffi's dialect) as C: `extern "Python+C"` functions, which cffi defines, as prototypes."""
    text = without_preprocessor(callbacks)
    text = re.sub(r'extern\s+"Python\+C"\s*\{([^}]*)\}', r"\1", text)
    text = re.sub(r'extern\s+"Python\+C"', "extern", text)
    if '"Python"' in text:
        raise ValueError('callbacks.cdef: a plain extern "Python" is hidden from C: write extern "Python+C"')
    return text


def unicorn_include() -> Path:
    """Unicorn's C headers, which its wheel ships. The library itself is opened at run time."""
    spec = importlib.util.find_spec("unicorn")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        include = Path(folder) / "include"
        if (include / "unicorn" / "unicorn.h").is_file():
            return include
    raise FileNotFoundError("Unicorn's C headers are missing: pip install 'unicorn>=2.1.4,<2.2'")


def ffi_builder() -> FFI:
    """The extension, described for cffi."""
    from cffi import FFI

    builder = FFI()
    builder.cdef(cdef_text())
    builder.set_source(
        MODULE,
        preamble_text(),
        sources=sources(),
        depends=headers(),
        include_dirs=[*(str(ROOT / folder) for folder in _INCLUDE_FOLDERS), str(unicorn_include())],
        extra_compile_args=list(_FLAGS),
        libraries=["dl"] if sys.platform.startswith("linux") else [],
    )
    return builder


def _inputs() -> list[str]:
    found = {*_CDEF_PARTS, "guest_sdk/include/pv/abi.h", "pvisor/cpu/shim/build.py"}
    for folder in _SOURCE_FOLDERS:
        found.update(f"{folder}/{path.name}" for path in (ROOT / folder).glob("*.[ch]"))
    return sorted(found)
