# SPDX-License-Identifier: GPL-2.0-or-later
"""The options by which a C compiler builds a guest: a bare 64-bit kernel, debuggable, always the same bytes.

Facts only; `build.py` runs the commands.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from pvisor.toolchain.compilers import Compiler, Kind

_COMPILE = (
    "-std=gnu11",
    "-ffreestanding",
    "-O2",
    "-g",
    "-Wall",
    "-Wextra",
    # linked at a fixed address, in the lowest 2 GiB
    "-fno-pic",
    "-fno-pie",
    "-mcmodel=small",
    # a hypercall is a call inside an asm statement: what lies below RSP does not survive it
    "-mno-red-zone",
    # each frame in the chain of RBP, no frame replaced by a jump: backtraces show every caller
    "-fno-omit-frame-pointer",
    "-fno-optimize-sibling-calls",
    # these would need support by the guest's start code
    "-fno-stack-protector",
    "-fcf-protection=none",
    "-fno-asynchronous-unwind-tables",
    # a variable defined twice is an error
    "-fno-common",
)

_LINK = ("-z", "max-page-size=4096", "-z", "noexecstack", "--build-id=none", "--gc-sections")
"""An object of which nothing is used is left out: a program does not pay for headers it does not include."""


def compile_command(compiler: Compiler) -> list[str]:
    """The command that compiles, up to what differs from source to source."""
    command = [*compiler.argv]
    if compiler.kind is Kind.GCC:
        command += ["-m64", "-march=x86-64"]
        if compiler.includes:
            # The host's headers are not the guest's, and gcc's own limits.h is not to look for them.
            command += ["-nostdinc", "-isystem", compiler.includes, "-D_LIBC_LIMITS_H_=1"]
    elif compiler.kind is Kind.CLANG:
        command += ["--target=x86_64-unknown-linux-gnu", "-march=x86-64", "-nostdlibinc"]
    else:
        command += ["-target", "x86_64-freestanding-none", "-mcpu=baseline", "-fno-sanitize=all"]
    return [*command, *_COMPILE]


def link_command(
    compiler: Compiler, script: Path, objects: list[Path], output: Path, environ: Mapping[str, str]
) -> list[str]:
    """The command that links the objects by a linker script; what the script includes lies beside it."""
    files = [str(path) for path in objects]
    where = ["-L", str(script.parent), "-T", str(script)]
    if compiler.kind is Kind.ZIG:
        # zig's own link command knows few of the linker's options; the linker inside knows all.
        zig = compiler.argv[: compiler.argv.index("cc")]
        return [*zig, "ld.lld", "-m", "elf_x86_64", "-static", *_LINK, *where, "-o", str(output), *files]
    command = [*compiler.argv, "-nostdlib", "-static"]
    if compiler.kind is Kind.CLANG:
        command += ["--target=x86_64-unknown-linux-gnu"]
        if shutil.which("ld.lld", path=environ.get("PATH")) is not None:
            command += ["-fuse-ld=lld"]
    else:
        command += ["-m64", "-no-pie"]
    options = [f"-Wl,{','.join(_LINK)}", *where, "-o", str(output)]
    helpers = ["-lgcc"] if compiler.kind is Kind.GCC else []  # 128-bit division and the like
    return [*command, *options, *files, *helpers]
