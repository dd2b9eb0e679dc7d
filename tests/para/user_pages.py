# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages of a paravirtual guest given to its user code from outside, before it runs."""

from __future__ import annotations

from pathlib import Path

from elftools.elf.elffile import ELFFile

from pvisor.vmm.builder import Machine

USER = 4
FRAME = 0x000F_FFFF_FFFF_F000


def symbol(elf: Path, name: str) -> int:
    """The address of a symbol."""
    with elf.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        found = table.get_symbol_by_name(name)  # type: ignore[union-attr]
        return int(found[0]["st_value"])


def give(machine: Machine, gva: int, n_pages: int = 1) -> None:
    """Let user code use these pages, with the rights that they have."""
    memory = machine.domain.memory
    for page in range(gva, gva + n_pages * 4096, 4096):
        table = machine.vcpu.v.cr3
        for shift in (39, 30, 21, 12):
            at = (table & FRAME) + 8 * (page >> shift & 511)
            entry = memory.read_u64(at) | USER
            memory.write_u64(at, entry)
            table = entry
    machine.vcpu.flush_tlb()
