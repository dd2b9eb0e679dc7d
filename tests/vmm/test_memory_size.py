# SPDX-License-Identifier: GPL-2.0-or-later
"""Too little memory: one line says how much the kernel needs, whatever is missing, and so much is enough."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pvisor.domain.outcome import EndedBy
from pvisor.emu.vcpu import lane_works
from pvisor.errors import GuestRefused, UsageError
from pvisor.machine.memory import PAGE_BYTES, size_text
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.run import run_domain
from tests.full.kernels import pvh_elf
from tests.guests import elves
from tests.machine.elf_bytes import Part
from tests.para import kernel as para_kernel
from tests.para.kernel import abi_note, elf

MIB = 1 << 20


def least(path: Path, mode: str, memory_bytes: int) -> int:
    """What the refusal says, in bytes."""
    with pytest.raises(GuestRefused if memory_bytes >= MIB else UsageError) as refusal:
        run_domain(DomainConfig(path, mode, memory_bytes))
    words = str(refusal.value)
    found = re.search(r"at least (\d+)([KM]) of memory, the domain has (\w+); give more --memory", words)
    assert found is not None and "\n" not in words, words
    assert found[3] == size_text(memory_bytes)
    return int(found[1]) << {"K": 10, "M": 20}[found[2]]


@pytest.mark.needs_gcc
@pytest.mark.parametrize("mode", ["full", "emu", "para", "hybrid"])
def test_what_it_says_is_enough_and_no_less_is(mode: str, tmp_path: Path) -> None:
    if mode == "emu" and not lane_works():
        pytest.skip("the control lane needs Unicorn 2.1.4 on Linux")
    path = elves.build("halt", "full" if mode == "emu" else mode, tmp_path)
    needed = least(path, mode, 4096)
    for memory_bytes in (0, 100, 640 << 10, MIB, 2 * MIB, 2 * MIB + PAGE_BYTES, needed - PAGE_BYTES):
        assert least(path, mode, memory_bytes) == needed, memory_bytes
    result = run_domain(DomainConfig(path, mode, needed))
    assert (result.ending.ended_by, result.output) == (EndedBy.IDLE, b"waiting\n")


@pytest.mark.parametrize(
    "end", [MIB + PAGE_BYTES, 2 * MIB - 0x2_0000, 2 * MIB - PAGE_BYTES, 2 * MIB, 3 * MIB]
)
def test_a_pc_gives_the_end_of_its_ram_to_acpi(end: int, tmp_path: Path) -> None:
    """But not one of less than 2 MiB, so more memory may be less room."""
    path = tmp_path / "kernel"
    path.write_bytes(pvh_elf(Part(b"\xf4" * 8, paddr=MIB, vaddr=MIB, memory_bytes=end - MIB)))
    needed = least(path, "full", MIB)
    for memory_bytes in (needed, needed + PAGE_BYTES, 2 * MIB, 4 * MIB):
        if memory_bytes >= needed:
            assert run_domain(DomainConfig(path, "full", memory_bytes)).ending.ended_by is EndedBy.IDLE


def test_a_kernel_that_no_pc_holds(tmp_path: Path) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(pvh_elf(Part(b"\xf4" * 8, paddr=3 << 30, vaddr=3 << 30)))
    with pytest.raises(GuestRefused, match="needs memory up to 0xc0000008, and a PC has 3072M at most"):
        run_domain(DomainConfig(path, "full", MIB))


@pytest.mark.parametrize("n_pages", [2, 400, 511, 512, 1024])
def test_tables_are_counted_in(n_pages: int, tmp_path: Path) -> None:
    """A kernel that is a great many pages, and the tables that map the memory for them."""
    path = tmp_path / "kernel"
    parts = [para_kernel.Part(para_kernel.CODE, b"\xf4", para_kernel.R | para_kernel.X,
                              memory_bytes=n_pages * PAGE_BYTES)]  # fmt: skip
    path.write_bytes(elf(parts, abi_note()))
    needed = least(path, "para", 4096)
    assert run_domain(DomainConfig(path, "para", needed)).ending.ended_by is EndedBy.CRASH, "HLT is forbidden"
    if needed > MIB:
        assert least(path, "para", needed - PAGE_BYTES) == needed


def test_nobody_counts_the_tables_of_more_memory_than_there_is(tmp_path: Path) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(elf([para_kernel.Part(1 << 50, b"\xf4", para_kernel.R | para_kernel.X)], abi_note()))
    assert least(path, "para", MIB) > 1 << 50
    with pytest.raises(UsageError, match="more than this host has"):
        run_domain(DomainConfig(path, "para", 1 << 52))
