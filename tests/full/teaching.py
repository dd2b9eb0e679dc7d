# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the two teaching kernels of tests/guests/kernels with gcc alone, and the disk of teach32."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

KERNELS = Path(__file__).resolve().parent.parent / "guests" / "kernels"
N_SECTORS = 512

_FLAGS = (
    "-std=gnu11 -O2 -ffreestanding -fno-pic -fno-pie -fno-stack-protector -fno-asynchronous-unwind-tables "
    "-fno-omit-frame-pointer -fcf-protection=none -fno-tree-loop-distribute-patterns -mno-red-zone -Wall "
    "-Wextra -Werror -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack "
    "-Wl,-z,max-page-size=4096 -Wl,--no-warn-rwx-segments"
)
_FLAGS_32 = ("-m32", "-mgeneral-regs-only")
_FLAGS_64 = ("-m64", "-mcmodel=kernel", "-mgeneral-regs-only")


def _gcc(output: Path, script: Path, sources: Sequence[Path], *flags: str) -> Path:
    command = ["gcc", *_FLAGS.split(), *flags, "-T", str(script), "-o", str(output)]
    command += [str(source) for source in sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return output


def _sources(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.S"), *folder.glob("*.c")])


def teach32(folder: Path) -> tuple[Path, bytes]:
    """The kernel, a Multiboot ELF32, and its disk."""
    source = KERNELS / "teach32"
    kernel = _gcc(folder / "teach32.elf", source / "kernel.lds", _sources(source), *_FLAGS_32)
    user = source / "user"
    programs = {
        name: _gcc(
            folder / name, user / "user.lds",
            (user / f"{name}.c", user / "library.c", source / "text.c"), *_FLAGS_32,
        ).read_bytes()
        for name in ("init", "hello", "count")
    }  # fmt: skip
    return kernel, disk(programs)


def disk(programs: dict[str, bytes], *, more: Sequence[str] = ()) -> bytes:
    """teach32's file system (its files.c): programs, files for its tests, and `more` empty ones."""
    files = {
        **programs,
        "text": b"no program\n",
        "large": bytes((i * i >> 3) & 255 for i in range(60000)),
        "log": b"",
        **dict.fromkeys(more, b""),
    }
    directory, content = b"", b""
    for name, data in files.items():
        n_sectors = 5 if name == "log" else (len(data) + 511) // 512
        directory += struct.pack("<16s4I", name.encode(), 2 + len(content) // 512, len(data), n_sectors, 0)
        content += data.ljust(512 * n_sectors, b"\0")
    return (b"TFS3".ljust(512, b"\0") + directory.ljust(512, b"\0") + content).ljust(512 * N_SECTORS, b"\0")


def file_on(image: bytes, name: str) -> bytes:
    """A file of teach32's disk."""
    for at in range(512, 1024, 32):
        found, start, size_bytes, _, _ = struct.unpack_from("<16s4I", image, at)
        if found.rstrip(b"\0") == name.encode():
            return image[512 * start : 512 * start + size_bytes]
    raise KeyError(name)


def teach64(folder: Path) -> tuple[Path, Path, Path]:
    """The kernel as an ELF64 for PVH, the same as an ELF32 for Multiboot, and the program, its module."""
    source = KERNELS / "teach64"
    kernel = _gcc(folder / "teach64.elf", source / "kernel.lds", _sources(source), *_FLAGS_64)
    multiboot = folder / "teach64-32.elf"
    both = _gcc(folder / "both.elf", source / "kernel.lds", _sources(source), *_FLAGS_64, "-DMULTIBOOT")
    subprocess.run(["objcopy", "-O", "elf32-i386", str(both), str(multiboot)], check=True)
    user = source / "user"
    program = _gcc(folder / "tests", user / "user.lds", _sources(user), "-m64")
    return kernel, multiboot, program
