# SPDX-License-Identifier: GPL-2.0-or-later
"""The load program (tests/guests/linux): built by the host's gcc, and what it may say of each engine."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_SOURCES = Path(__file__).resolve().parent.parent / "guests" / "linux"
_FLAGS = ("-O2", "-Wall", "-Wextra", "-static", "-no-pie", "-fno-pie")
# No libc, so that gcc for one architecture will do; frame pointers, because the checks use all registers.
_FLAGS_32 = (
    "-m32", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-msse2", "-mstackrealign",
    "-fno-tree-loop-distribute-patterns", "-fno-omit-frame-pointer",
)  # fmt: skip

_ENGINE = frozenset((
    "floating.x87_stack", "floating.x87_precision", "floating.sse_divide", "faults.locked", "flags.alignment",
    "illegal.lock_mov", "illegal.mov_cr1", "i386.beyond_limit", "i386.expand_down_limit", "i386.null_segment",
))  # fmt: skip
_OLD_ENGINE = _ENGINE | {
    "faults.non_canonical_push", "steps.icebp", "steps.int_50_error", "steps.int_13_error",
    "steps.int_14_error", "steps.int_1_error", "illegal.lock_pushf",
}  # fmt: skip
KNOWN = {
    "full": _ENGINE | {"code.read_back"},
    "emu": _OLD_ENGINE
    | {"counters.rdpmc", "watches.stores", "watches.any", "watches.several", "watches.by_kernel"},
    "qemu": _OLD_ENGINE,
}
"""Limits that docs/pc.md and docs/emulation.md state; whatever else the program calls known is a failure."""


def build(folder: Path) -> dict[str, Path]:
    """`load` and `load32`, in a folder, by their names. Raises CalledProcessError with what gcc said."""
    plain = sorted(path for path in (_SOURCES / "load").glob("*.c") if path.name != "fpu.c")
    fpu = folder / "fpu.o"
    programs = {"load": folder / "load", "load32": folder / "load32"}
    # Between filling and looking at the FPU's registers the compiler must not use them.
    _gcc("-O2", "-fno-pie", "-mgeneral-regs-only", "-c", _SOURCES / "load" / "fpu.c", "-o", fpu)
    _gcc(*_FLAGS, "-pthread", *plain, fpu, "-o", programs["load"])
    _gcc(*_FLAGS, *_FLAGS_32, *sorted((_SOURCES / "load32").glob("*.[cS]")), "-o", programs["load32"])
    return programs


def _gcc(*words: str | Path) -> None:
    subprocess.run(["gcc", *map(str, words)], check=True, capture_output=True, text=True)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the program has printed."""

    n_checks: int
    failed: tuple[str, ...]
    """Whole lines."""
    known: frozenset[str]
    ended: bool
    """Its last line came."""


def verdict(console: str) -> Verdict:
    """Reads the program's lines out of a console's output."""
    lines = console.split("\n")
    return Verdict(
        sum(line.startswith(("ok ", "not ok ")) for line in lines),
        tuple(line for line in lines if line.startswith("not ok ")),
        frozenset(line[6:].partition(":")[0] for line in lines if line.startswith("known ")),
        any(line.startswith("load: ") and line.endswith(" checks, 0 failed") for line in lines),
    )
