# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices' memory: what reaches the bus, from which instruction, and when."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.cpu.exits import ExitReason
from pvisor.emu.vcpu import EmulatedVcpu
from pvisor.machine.memory import GuestMemory
from pvisor.machine.mmio import MmioBus
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.run import run_domain
from tests.emu.machine import build_guest, build_text, expected, new_machine, run

pytestmark = pytest.mark.needs_gcc
DEVICE = 0xFD00_0000


class Adding:
    """4 KiB of memory that adds 1 to each byte that is read. It notes (RIP, virtual time, offset, size)."""

    widest_bytes = 4

    def __init__(self, vcpu: EmulatedVcpu) -> None:
        self._vcpu = vcpu
        self._bytes = bytearray(4096)
        self.accesses: list[tuple[int, int, int, int]] = []

    def _note(self, offset: int, size_bytes: int) -> None:
        exit = self._vcpu.exit
        self.accesses.append((exit.rip, exit.virtual_ns, offset, size_bytes))

    def read(self, offset: int, size_bytes: int) -> int:
        self._note(offset, size_bytes)
        raw = self._bytes[offset : offset + size_bytes]
        return int.from_bytes(bytes(b + 1 & 0xFF for b in raw), "little")

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        self._note(offset, size_bytes)
        self._bytes[offset : offset + size_bytes] = value.to_bytes(size_bytes, "little")


def run_with_device(elf: Path) -> tuple[str, list[tuple[int, int, int, int]], int]:
    machine, wing, vcpu = new_machine(elf)
    device = Adding(vcpu)
    wing.mmio.attach(DEVICE, 4096, device)
    ending = run(machine)
    assert ending.status == 1, ending.reason
    return machine.domain.console.text, device.accesses, wing.mmio.unclaimed[0xE000_0000]


def test_loads_and_stores(tmp_path: Path) -> None:
    text, accesses, n_unclaimed = run_with_device(build_guest("devices", 32, tmp_path))
    assert text == expected("devices")
    assert n_unclaimed == 2
    assert [at for _, _, at, size in accesses if size == 1] == [1, 3, 8, 9, 10]


def test_each_access_has_its_instruction_and_its_time(tmp_path: Path) -> None:
    body = "nop; mov 0xfd000000, %eax; nop; add %eax, 0xfd000004; mov $2, %ecx; rep stosb; nop"
    text = f"""
int main(void)
{{
    __asm__ volatile("mov $0xfd000010, %%edi; mov $7f, %%ebx; 7: {body.replace("%", "%%")}"
                     : "=b"(try_begin) : : "eax", "ecx", "edi", "memory");
    show("from", try_begin);
    *(volatile uint32_t *)0xe0000000u;
    return 0;
}}
"""
    output, accesses, _ = run_with_device(build_text(text, 32, tmp_path))
    begin = int(output.split()[1], 16)
    first_ns = accesses[0][1]
    assert [(rip - begin, ns - first_ns, at, size) for rip, ns, at, size in accesses] == [
        (1, 0, 0, 4), (7, 2, 4, 4), (7, 2, 4, 4), (18, 4, 16, 1), (18, 5, 17, 1),
    ]  # fmt: skip


def test_instructions_are_counted_through_everything(tmp_path: Path) -> None:
    result = run_domain(DomainConfig(build_guest("counts", 32, tmp_path), "emu", max_insns=1_000_000))
    assert result.output.decode() == expected("counts")


def test_a_budget_is_never_exceeded(tmp_path: Path) -> None:
    elf = build_guest("counts", 32, tmp_path)
    for budget in (1, 2, 500, 2001, 2002, 2003):
        result = run_domain(DomainConfig(elf, "emu", max_insns=budget))
        assert budget - 40 < result.n_instructions <= budget
        assert result.ending.status == 124


def test_exits_are_recorded_with_what_they_were(tmp_path: Path) -> None:
    text = "int main(void) { *(volatile uint16_t *)0xfd000002u = 0x1234; return 0; }"
    records: list[tuple[object, ...]] = []
    run_domain(
        DomainConfig(build_text(text, 32, tmp_path), "emu"),
        trace=lambda batch: records.extend((x.reason, *(x.ops[i] for i in range(x.n_ops))) for x in batch),
    )
    mmio = [record for record in records if record[0] == ExitReason.MMIO]
    assert mmio == [(ExitReason.MMIO, 0xFD00_0002, 2, 0x1234, 1)]


def test_a_device_may_lie_inside_ram(tmp_path: Path) -> None:
    memory, mmio = GuestMemory(1 << 20), MmioBus()
    vcpu = EmulatedVcpu(memory)
    device = Adding(vcpu)
    mmio.attach(0xB_8000, 0x1000, device)
    vcpu.map_devices(mmio, memory.size_bytes)
    memory.write(0x1000, b"\xa1\x00\x80\x0b\x00\xa3\x00\x70\x0b\x00\xf4")  # mov eax, [..]; mov [..], eax
    vcpu.regs.rip = 0x1000
    seen: list[int] = []

    def serve() -> bool:
        seen.append(vcpu.exit.address)
        vcpu.exit.value = 5
        return False

    vcpu.on_hook_exit = serve
    assert vcpu.run() == ExitReason.HLT
    vcpu.close()
    assert seen == [0xB_8000]
    assert memory.read(0xB_7000, 4) == b"\x05\0\0\0"
