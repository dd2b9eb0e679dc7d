# SPDX-License-Identifier: GPL-2.0-or-later
"""`pvisor inspect`: what a guest's file says about itself."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pvisor.abi import constants
from pvisor.abi.features import FEATURES
from pvisor.cli.files import OutputFile, output_file
from pvisor.cli.params import FILE
from pvisor.errors import GuestRefused
from pvisor.full import multiboot
from pvisor.full.kernel_file import PVH_NOTE, is_pc_kernel, loaded_segments, multiboot_header, read_image
from pvisor.full.linux_boot import ENTRY_64, LinuxImage
from pvisor.machine.elf import ElfImage, Note, RawImage
from pvisor.observe.sensitive import Finding, Survey, survey
from pvisor.para.start import PARA_NOTE, PC_NOTE, abi_note

MAX_PLACES = 5
"""So many places that cannot be decoded are named."""


@click.command(short_help="Show what is in a guest's ELF file.")
@click.argument("elf", type=FILE)
@click.option(
    "--sensitive",
    is_flag=True,
    help="List the instructions that concern the machine itself and yet do not trap in a deprivileged guest.",
)
@click.option(
    "--json",
    "json_file",
    type=FILE,
    metavar="FILE",
    help="With --sensitive: write the list to FILE, too (schema pvisor.sensitive/1).",
)
def inspect(elf: Path, sensitive: bool, json_file: Path | None) -> None:
    """Show the kind of guest that ELF is, its entry, segments, notes and symbols."""
    if json_file is not None and not sensitive:
        raise click.UsageError("--json FILE goes with --sensitive", click.get_current_context())
    image = read_image(elf)
    console = Console(highlight=False)
    if sensitive:
        if isinstance(image, LinuxImage):
            raise GuestRefused(f"{elf}: a bzImage does not say what in it is code; give the vmlinux in it")
        with output_file("--json", json_file, elf) as output:
            _show_sensitive(console, image, survey(image), output)
        return
    facts = Table.grid(padding=(0, 2))
    for name, text in _facts(image):
        facts.add_row(name, Text(text))
    console.print(facts)
    console.print(_segments(image))
    if image.notes:
        console.print(_notes(image))


def _show_sensitive(console: Console, image: ElfImage, found: Survey, output: OutputFile | None) -> None:
    """The list, the totals, and what the list cannot know."""
    if output is not None:
        output.write(json.dumps(found.as_json(image.path.name), indent=2).encode() + b"\n")
    if found.findings:
        _print_in_full(console, _sensitive(found.findings))
        console.print(_totals(found))
    console.print(
        f"{image.path.name}: {len(found.findings):,} of {found.n_instructions:,} instructions are sensitive."
    )
    if any(finding.kind.in_user_code_only for finding in found.findings):
        console.print("User code only: of a kernel, the same instruction is handed over by an intercept.")
    if found.undecoded:
        n_bytes = sum(n for _, n in found.undecoded)
        places = ", ".join(f"{address:#x}" for address, _ in found.undecoded[:MAX_PLACES])
        more = ", ..." if len(found.undecoded) > MAX_PLACES else ""
        console.print(
            f"{n_bytes:,} bytes are no instruction (at {places}{more}): data, or code of another width "
            f"than {found.bits} bits. What stands near them may be wrong.",
            soft_wrap=True,
        )
    if not image.functions:
        console.print("There are no symbols, so code was decoded straight on, data in between and all.")


def _print_in_full(console: Console, table: Table) -> None:
    """On a narrow terminal the lines are broken by it: an address that is cut off would be worse."""
    width = max(console.width, Console(width=1000).measure(table).maximum)
    Console(highlight=False, width=width).print(table)


def _sensitive(findings: tuple[Finding, ...]) -> Table:
    table = Table(title="Sensitive instructions", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("address", justify="right", no_wrap=True)
    for heading in ("place", "instruction", "about"):
        table.add_column(heading, no_wrap=True)
    for finding in findings:
        about = finding.kind.group.value
        table.add_row(f"{finding.address:#x}", Text(finding.place), Text(finding.text), about)
    return table


def _totals(found: Survey) -> Table:
    table = Table(title="In all", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("instruction", no_wrap=True)
    table.add_column("count", justify="right")
    table.add_column("what it does at ring 1, unpatched")
    for kind, count in found.totals.items():
        table.add_row(kind.name, f"{count:,}", kind.at_ring_1)
    return table


def _facts(image: ElfImage) -> list[tuple[str, str]]:
    address = _entry(image)
    name = image.symbolize(address)
    line = image.source_line(image.functions[0].address) if image.functions else None
    return [
        ("file", str(image.path)),
        ("kind", _kind(image)),
        ("format", _format(image)),
        ("entry", f"{address:#x}" + (f"  {name.removesuffix('+0x0')}" if name else "")),
        ("symbols", f"{len(image.functions)} functions" if image.functions else "none"),
        ("source lines", "yes" if line else "none"),
    ]


def _format(image: ElfImage) -> str:
    if isinstance(image, LinuxImage) and image.header.kernel_version:
        return f"plain bytes: {image.header.kernel_version}"
    return "plain bytes" if isinstance(image, RawImage) else f"ELF{image.bits}, x86"


def _entry(image: ElfImage) -> int:
    """Where the kernel is entered, by its kind."""
    if abi_note(image) is not None:
        return image.entry
    header = multiboot_header(image)
    if header is not None:
        return multiboot.kernel_of(image, header).entry
    if isinstance(image, LinuxImage):
        return image.load_address + (ENTRY_64 if image.header.has_64bit_entry else 0)
    note = image.note(*PVH_NOTE)
    return int.from_bytes(note.desc, "little") if note is not None else image.entry


def _kind(image: ElfImage) -> str:
    """By what `--mode auto` goes by."""
    if abi_note(image) is not None:
        return "paravirtual kernel (mode para)"
    mode = "full" if abi_note(image, PC_NOTE) is None else "hybrid"
    if isinstance(image, LinuxImage):
        return f"Linux bzImage, boot protocol {image.header.protocol}, {image.bits}-bit entry (mode {mode})"
    if multiboot_header(image) is not None:
        return f"PC kernel, started by Multiboot (mode {mode})"
    if image.note(*PVH_NOTE) is not None:
        return f"PC kernel, started by PVH (mode {mode})"
    return "neither a PC kernel nor a paravirtual one: it has no note or header that says so"


def _segments(image: ElfImage) -> Table:
    table = Table(title="Segments", title_justify="left")
    table.add_column("rights")
    for heading in ("virtual", "physical", "in file", "in memory"):
        table.add_column(heading, justify="right")
    is_loaded_by_header = abi_note(image) is None and is_pc_kernel(image)
    for s in loaded_segments(image) if is_loaded_by_header else image.segments:
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
    if note.name == constants.ELF_NOTE_NAME.value and note.type in (PARA_NOTE, PC_NOTE):
        fields = abi_note(image, note.type) or {}
        needs = fields["needed_features"]
        names = [feature.name for feature in FEATURES if needs & feature.mask]
        unknown = needs & ~sum(feature.mask for feature in FEATURES)
        names += [f"unknown {unknown:#x}"] if unknown else []
        return f"ABI version {fields['abi_version']}, needs {', '.join(names) or 'no features'}"
    if (note.name, note.type) == PVH_NOTE:
        return f"PVH entry point {int.from_bytes(note.desc, 'little'):#x}"
    return f"{len(note.desc)} bytes"
