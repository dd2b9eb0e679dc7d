# SPDX-License-Identifier: GPL-2.0-or-later
"""XSAVE and PCIDs in both lanes that have a PC: bare kernels see what the manual says.

What is flushed where is in the guest `pcid`; that PCIDs keep what they may is counted here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from pvisor.errors import UsageError
from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.run import run_domain
from tests.guests.shelf import Shelf
from tests.qemu import pc

pytestmark = pytest.mark.needs_gcc

IN_EMU = {
    # SDM 1 13.7 to 13.9: #NM while CR0.TS is set. QEMU's engine does not look at it.
    "xsave": {
        "XSAVE with TS: vector 7, error 0x0, at +7": "XSAVE with TS: nothing",
        "XRSTOR with TS: vector 7, error 0x0, at +7": "XRSTOR with TS: nothing",
    },
    # SDM 3A 4.10.1 and 2.5: QEMU's engine has no PCIDs, and takes any value.
    "pcid": {
        "without PCIDE: vector 13, error 0x0, at +0": "without PCIDE: nothing",
        "has other bits: vector 13, error 0x0, at +0": "has other bits: nothing",
        "bit 62 of CR3: vector 13, error 0x0, at +0": "bit 62 of CR3: nothing",
    },
}
IN_QEMU = IN_EMU["xsave"] | {"its sub-leaf 1: 0x1 0x0": "its sub-leaf 1: 0x1 0x240"}
"""QEMU 7.2 without AVX."""
BUSY = """
#include "pages.h"
static struct space kernel, user;
int main(void)
{
    paging_set_up();
    fill_space(&kernel);
    fill_space(&user);
    write_cr4(read_cr4() | PCIDE);
    write_cr3((word)user.root | 2);
    for (unsigned i = 0; i < 64; i++)
        user.low[i] = (0x800000 + i * PAGE) | P | WRITE;
    for (unsigned round = 0; round < 50; round++) {
        write_cr3((word)kernel.root | 1 | KEEP);
        user.low[100 + round] = 0x900000 | P; /* the kernel changes the user's tables */
        write_cr3((word)user.root | 2 | KEEP);
        for (unsigned i = 0; i < 64; i++)
            (void)HIGH[i * PAGE];
    }
    return 0;
}
"""
TSC_AUX = """
#include "pc.h"
int main(void)
{
    TRY("WRMSR", "mov $5, %%eax; xor %%edx, %%edx; wrmsr", "c"(0xc0000103));
    TRY("RDMSR", "rdmsr", "c"(0xc0000103));
    TRY("RDTSCP", "push %%rcx; rdtscp; pop %%rcx");
    return 0;
}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Build a guest once."""
    folder = tmp_path_factory.mktemp("pc")
    return lru_cache(None)(lambda name: pc.build(name, 64, folder))


def expected(name: str, differences: Mapping[str, str] = MappingProxyType({})) -> str:
    """What a guest prints: as the manual has it, but for these parts."""
    text = (pc.GUESTS / f"{name}-64.txt").read_text()
    for ours, theirs in differences.items():
        assert text.count(ours) == 1
        text = text.replace(ours, theirs)
    return text


def run(elf: Path, **settings: Any) -> RunResult:
    """Run a guest, with a limit in case it never ends."""
    return run_domain(DomainConfig(elf, **{"max_insns": 5_000_000, "timeout_s": 20, **settings}))


@pytest.mark.parametrize("name", ["xsave", "pcid"])
@pytest.mark.parametrize("tier", ["native", "python"])
@pytest.mark.parametrize("mode", ["full", "emu"])
def test_a_kernel_sees_the_feature(built: Any, name: str, tier: str, mode: str) -> None:
    result = run(built(name), mode=mode, tier=tier, cpu=f"+{name}")
    differences = IN_EMU[name] if mode == "emu" else {}
    assert result.output.decode() == expected(name, differences)
    assert result.ending.status == 1, result.ending.reason


@pytest.mark.needs_qemu
def test_qemu_agrees_about_xsave(built: Any) -> None:
    model = "-cpu SandyBridge,-avx,-x2apic,-tsc-deadline"
    assert pc.run(built("xsave"), options=model) == (1, expected("xsave", IN_QEMU).encode())


@pytest.mark.parametrize(("name", "bit"), [("xsave", 18), ("pcid", 17)])
@pytest.mark.parametrize("tier", ["native", "python"])
def test_what_is_not_offered_is_reserved(tmp_path: Path, name: str, bit: int, tier: str) -> None:
    source = tmp_path / "guest.c"
    text = f'TRY("CR4", "mov %0, %%cr4", "r"(read_cr4() | 1ul << {bit}));'
    source.write_text(f'#include "pc.h"\nint main(void)\n{{\n    {text}\n    return 0;\n}}\n')
    elf = pc.build_source(source, 64, tmp_path)
    assert run(elf, tier=tier).output == b"CR4: vector 13, error 0x0, at +0\n"
    assert run(elf, tier=tier, cpu=f"+{name}").output == b"CR4: nothing\n"


@pytest.mark.parametrize("model", ["westmere", "sandybridge"])
def test_tsc_aux_goes_with_rdtscp(tmp_path: Path, model: str) -> None:
    source = tmp_path / "guest.c"
    source.write_text(TSC_AUX)
    elf = pc.build_source(source, 64, tmp_path)
    there = "WRMSR: nothing\nRDMSR: nothing\nRDTSCP: nothing\n"
    missing = (
        "WRMSR: vector 13, error 0x0, at +7\n"
        "RDMSR: vector 13, error 0x0, at +0\n"
        "RDTSCP: vector 6, error 0x0, at +1\n"
    )
    for tier in ("native", "python"):
        output = run(elf, cpu=model, tier=tier).output.decode()
        assert output == (there if model == "sandybridge" else missing)


@pytest.mark.parametrize("tier", ["native", "python"])
def test_pcids_keep_what_they_may(tmp_path: Path, tier: str) -> None:
    def fills(keep: str) -> int:
        source = tmp_path / "guest.c"
        source.write_text(f"enum {{ PCIDE = 1 << 17 }};\n#define KEEP {keep}\n{BUSY}")
        result = run(pc.build_source(source, 64, tmp_path), cpu="+pcid", tier=tier)
        assert result.ending.status == 1, result.ending.reason
        return result.exits["shadow_fill"].count

    assert fills("(1ull << 63)") < 300
    assert fills("0") > 50 * 64


@pytest.mark.parametrize("name", ["xsave", "pcid"])
def test_both_tiers_leave_the_same_trace(built: Any, name: str) -> None:
    def facts(tier: str) -> list[tuple[object, ...]]:
        records: list[tuple[object, ...]] = []

        def keep(batch: Any) -> None:
            for x in batch:
                ops = tuple(x.ops[i] for i in range(x.n_ops))
                records.append((x.virtual_ns, x.rip, x.reason, x.outcome, x.result, ops))

        run_domain(DomainConfig(built(name), max_insns=5_000_000, tier=tier, cpu=f"+{name}"), trace=keep)
        return records

    assert facts("native") == facts("python")


def test_a_paravirtual_guest_has_no_model(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--cpu sandybridge: is for PCs"):
        run(Shelf(tmp_path)("write_text", "para"), cpu="sandybridge")
