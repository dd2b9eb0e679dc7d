# SPDX-License-Identifier: GPL-2.0-or-later
"""`pvisor inspect`: what a guest's file says about itself."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pvisor.abi import constants
from pvisor.abi.features import FEATURES
from pvisor.cli.params import FILE
from pvisor.full import multiboot
from pvisor.full.kernel_file import PVH_NOTE, multiboot_header, read_image
from pvisor.machine.elf import ElfImage, Note, RawImage
from pvisor.para.start import abi_note


@click.command(short_help="Show what is in a guest's ELF file.")
@click.argument("elf", type=FILE)
def inspect(elf: Path) -> None:
    """Show the kind of guest that ELF is, its entry, segments, notes and symbols."""
    image = read_image(elf)
    console = Console(highlight=False)
    facts = Table.grid(padding=(0, 2))
    for name, text in _facts(image):
        facts.add_row(name, Text(text))
    console.print(facts)
    console.print(_segments(image))
    if image.notes:
        console.print(_notes(image))


def _facts(image: ElfImage) -> list[tuple[str, str]]:
    address = _entry(image)
    name = image.symbolize(address)
    line = image.source_line(image.functions[0].address) if image.functions else None
    return [
        ("file", str(image.path)),
        ("kind", _kind(image)),
        ("format", "plain bytes" if isinstance(image, RawImage) else f"ELF{image.bits}, x86"),
        ("entry", f"{address:#x}" + (f"  {name.removesuffix('+0x0')}" if name else "")),
        ("symbols", f"{len(image.functions)} functions" if image.functions else "none"),
        ("source lines", "yes" if line else "none"),
    ]


def _entry(image: ElfImage) -> int:
    """Where the kernel is entered, by its kind."""
    if abi_note(image) is not None:
        return image.entry
    header = multiboot_header(image)
    if header is not None:
        return multiboot.kernel_of(image, header).entry
    note = image.note(*PVH_NOTE)
    return int.from_bytes(note.desc, "little") if note is not None else image.entry


def _kind(image: ElfImage) -> str:
    """By what `--mode auto` goes by."""
    if abi_note(image) is not None:
        return "paravirtual kernel (mode para)"
    if multiboot_header(image) is not None:
        return "PC kernel, started by Multiboot (mode full)"
    if image.note(*PVH_NOTE) is not None:
        return "PC kernel, started by PVH (mode full)"
    return "neither a PC kernel nor a paravirtual one: it has no note or header that says so"


def _segments(image: ElfImage) -> Table:
    table = Table(title="Segments", title_justify="left")
    table.add_column("rights")
    for heading in ("virtual", "physical", "in file", "in memory"):
        table.add_column(heading, justify="right")
    header = multiboot_header(image) if abi_note(image) is None else None
    for s in image.segments if header is None else multiboot.kernel_of(image, header).segments:
        table.add_row(s.flag_text, f"{s.vaddr:#x}", f"{s.paddr:#x}", f"{len(s.data)}", f"{s.memory_bytes}")
    return table


def _notes(image: ElfImage) -> Table:
    table = Table(title="Notes", title_justify="left")
    table.add_column("name")
    table.add_column("type", justify="right")
    table.add_column("meaning", overflow="fold")
    for note in image.notes:
        table.add_row(Text(note.name), str(note.type), Text(_meaning(image, note)))
    return table


def _meaning(image: ElfImage, note: Note) -> str:
    if (note.name, note.type) == (constants.ELF_NOTE_NAME.value, constants.ELF_NOTE_TYPE.number):
        fields = abi_note(image) or {}
        needs = fields["needed_features"]
        names = [feature.name for feature in FEATURES if needs & feature.mask]
        unknown = needs & ~sum(feature.mask for feature in FEATURES)
        names += [f"unknown {unknown:#x}"] if unknown else []
        return f"ABI version {fields['abi_version']}, needs {', '.join(names) or 'no features'}"
    if (note.name, note.type) == PVH_NOTE:
        return f"PVH entry point {int.from_bytes(note.desc, 'little'):#x}"
    return f"{len(note.desc)} bytes"
