# SPDX-License-Identifier: GPL-2.0-or-later
"""Which C compiler? Two questions with different answers: one that builds guests, one for this host.

A guest is a bare x86-64 ELF, so the guest's compiler must target that, whatever the host is. The host's
compiler builds pvisor's own C extension; the build backend asks for it before anything is installed, so
this module needs nothing but the standard library.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pvisor.errors import UsageError

GCC_NAMES = ("gcc", "x86_64-linux-gnu-gcc", "x86_64-elf-gcc")
"""gcc as it is called at home, as a cross compiler on other Linux machines, and on macOS."""

ADVICE = (
    "install gcc or clang, or add the compiler that comes as a wheel (pip install ziglang), "
    "or set PVISOR_CC to a compiler"
)


class Kind(Enum):
    """What decides about a compiler's options."""

    GCC = "gcc"
    CLANG = "clang"
    ZIG = "zig"


@dataclass(frozen=True, slots=True)
class Compiler:
    """A compiler for guests: how to call it, and what its dialect of options is."""

    argv: tuple[str, ...]
    kind: Kind
    includes: str | None = None
    """gcc only: the folder of its own headers (stdint.h and the like), for use without the host's."""

    def __str__(self) -> str:
        return shlex.join(self.argv)


def find_compiler(environ: Mapping[str, str]) -> Compiler:
    """The compiler that builds guests: $PVISOR_CC, else the first of gcc, clang and the ziglang wheel."""
    chosen = environ.get("PVISOR_CC", "").strip()
    if chosen:
        return _chosen_compiler(chosen, environ)
    for name in GCC_NAMES:
        compiler = _examine([name], environ)
        if compiler is not None and compiler.kind is Kind.GCC:
            return compiler
    for compiler in (_examine(["clang"], environ), _zig_wheel()):
        if compiler is not None:
            return compiler
    raise UsageError(f"no C compiler that makes x86-64 guests was found: {ADVICE}")


def host_compiler(environ: Mapping[str, str]) -> list[str] | None:
    """The command that compiles for this host: $CC, or the first of Python's own, cc, gcc and clang."""
    chosen = environ.get("CC", "").strip()
    candidates = [chosen] if chosen else [str(sysconfig.get_config_var("CC") or ""), "cc", "gcc", "clang"]
    for candidate in candidates:
        command = _split(candidate)
        if command and _answer([*command, "-dumpmachine"], environ) is not None:
            return command
    return None


def _chosen_compiler(command: str, environ: Mapping[str, str]) -> Compiler:
    argv = _split(command)
    if not argv:
        raise UsageError(f"PVISOR_CC is not a command: {command!r}")
    if shutil.which(argv[0], path=environ.get("PATH")) is None:
        raise UsageError(f"PVISOR_CC is {command!r}, but there is no program {argv[0]!r}")
    compiler = _examine(argv, environ)
    if compiler is None:
        raise UsageError(f"PVISOR_CC is {command!r}, which is not a C compiler that makes x86-64 ELF files")
    return compiler


def _examine(argv: Sequence[str], environ: Mapping[str, str]) -> Compiler | None:
    """What kind of compiler a command is; None if it does not answer or cannot make x86-64 ELF files."""
    if shutil.which(argv[0], path=environ.get("PATH")) is None:
        return None
    if _is_zig(argv):
        return Compiler(tuple(argv), Kind.ZIG)
    machine = _answer([*argv, "-dumpmachine"], environ)
    if machine is None:
        return None
    if "clang" in (_answer([*argv, "--version"], environ) or "").lower():
        return Compiler(tuple(argv), Kind.CLANG)  # any clang has all targets, whatever its own
    if not _is_x86_64_elf(machine):
        return None
    return Compiler(tuple(argv), Kind.GCC, _answer([*argv, "-print-file-name=include"], environ))


def _is_x86_64_elf(machine: str) -> bool:
    """Whether a gcc with this -dumpmachine makes 64-bit x86 ELF files."""
    architecture, _, rest = machine.partition("-")
    foreign = ("darwin", "mingw", "cygwin", "windows", "x32")
    return architecture in ("x86_64", "amd64") and not any(word in rest for word in foreign)


def _is_zig(argv: Sequence[str]) -> bool:
    """Whether this is `zig cc` or `python -m ziglang cc`, in either case perhaps with options behind."""
    return "cc" in argv[1:] and (Path(argv[0]).stem == "zig" or "ziglang" in argv)


def _zig_wheel() -> Compiler | None:
    """The ziglang wheel's compiler; called directly, which saves starting one more Python."""
    spec = importlib.util.find_spec("ziglang")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        program = Path(folder) / ("zig.exe" if sys.platform == "win32" else "zig")
        if os.access(program, os.X_OK):
            return Compiler((str(program), "cc"), Kind.ZIG)
    return None


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # a quotation mark without its partner
        return []


def _answer(argv: Sequence[str], environ: Mapping[str, str]) -> str | None:
    """What a command prints, or None when it cannot be run or fails."""
    program = shutil.which(argv[0], path=environ.get("PATH"))
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *argv[1:]],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
