# SPDX-License-Identifier: GPL-2.0-or-later
"""`pvisor build`: C sources and the guest SDK become one ELF file."""

from __future__ import annotations

from pathlib import Path

import click

from pvisor.cli.params import FILE
from pvisor.toolchain.build import MODES, build_guest


@click.command(short_help="Build a guest from C.")
@click.argument("sources", nargs=-1, required=True, type=FILE, metavar="SRC...")
@click.option("-o", "--output", required=True, type=FILE, metavar="OUT", help="The ELF file to write.")
@click.option(
    "--mode",
    required=True,
    type=click.Choice(MODES),
    help="full: a kernel for a PC. para: one that calls the hypervisor.",
)
@click.option("-D", "--define", "defines", multiple=True, metavar="NAME[=VALUE]",
              help="Define a macro for SRC. Can be given several times.")  # fmt: skip
def build(sources: tuple[Path, ...], output: Path, mode: str, defines: tuple[str, ...]) -> None:
    """Build a guest from SRC, C (.c) or assembly (.S) files, and the SDK for the mode.

    full: a PC kernel. para: one that asks by hypercall. hybrid: a PC kernel that asks for its I/O, for
    `pvisor run --mode hybrid`. The same sources build for all of them if they use the SDK only, `#include
    <pv/console.h>` and its neighbours. The compiler is $PVISOR_CC, or else the first found of gcc, clang and
    the ziglang wheel.
    """
    macros = (define.partition("=") for define in defines)
    values = {name: value if is_given else "1" for name, is_given, value in macros}
    result = build_guest(sources, output, mode, defines=values)
    if result.warnings:
        click.echo(result.warnings.rstrip("\n"), err=True)
