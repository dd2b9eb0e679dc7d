# SPDX-License-Identifier: GPL-2.0-or-later
"""Bare PC guests: gcc builds them, a stock QEMU runs them, and is the referee of what a PC does."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

QEMU = (
    "qemu-system-x86_64 -accel tcg -m 64 -display none -serial stdio -monitor none -nodefaults -no-reboot "
    "-device isa-debug-exit,iobase=0xf4,iosize=4"
)
GUESTS = Path(__file__).resolve().parent.parent / "guests" / "pc"

# What -icount sleep=off tells when a guest halts with nothing to wait for.
_NO_TIMERS = b"qemu-system-x86_64: warning: icount sleep disabled and no active timers\n"

_FLAGS = (
    "-std=gnu11 -O1 -ffreestanding -fno-pic -fno-pie -fno-stack-protector -fno-asynchronous-unwind-tables "
    "-fcf-protection=none -fno-tree-loop-distribute-patterns -mgeneral-regs-only -mno-red-zone -Wall -Wextra "
    "-Werror -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments"
)


def build(name: str, bits: int, folder: Path) -> Path:
    """Build the bare guest NAME for a kernel of 32 or 64 bits."""
    return build_source(GUESTS / f"{name}.c", bits, folder)


def build_source(source: Path, bits: int, folder: Path, defines: Sequence[str] = ()) -> Path:
    """Build a bare guest from one C file and what all of them share, with macros such as `NAME=1`."""
    output = folder / f"{source.stem}-{bits}.elf"
    sources = [*(str(GUESTS / name) for name in ("pc.S", "pc.c", "user.c")), str(source)]
    command = ["gcc", f"-m{bits}", *_FLAGS.split(), "-I", str(GUESTS), "-T", str(GUESTS / "pc.lds"), *sources]
    if bits == 32:
        command.insert(1, "-mno-sse")
    command += [f"-D{macro}" for macro in defines]
    done = subprocess.run([*command, "-o", str(output)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return output


def run(
    elf: Path, *, options: str = "", more: Sequence[str] = (), stdin: bytes = b"", timeout_s: float = 60
) -> tuple[int, bytes]:
    """Exit status and console output under QEMU; `more` are options that hold blanks."""
    command = [*QEMU.split(), *options.split(), *more, "-kernel", str(elf)]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout_s, check=False)
    assert done.stderr.replace(_NO_TIMERS, b"") == b""
    return done.returncode, done.stdout
