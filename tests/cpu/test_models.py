# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU models: what `--cpu` names, what their CPUID shows, and that the engine runs that and nothing else."""

from __future__ import annotations

import pytest

from pvisor.cpu import features
from pvisor.cpu.exits import ExitReason as R
from pvisor.cpu.features import CR4_OSXSAVE, CpuidTable
from pvisor.cpu.models import DEFAULT_CPU, MODELS, REFUSED, VirtualCpu, parse_cpu
from pvisor.errors import UsageError
from tests.cpu.conftest import MakeRig
from tests.cpu.rig import DATA, HLT
from tests.cpu.test_features import INSTRUCTIONS

BY_MODEL = INSTRUCTIONS | {
    "AES aesenc": ("660f38dcc1", 2, features.AES),
    "PCLMULQDQ": ("660f3a44c100", 2, features.PCLMULQDQ),
    "CRC32 of SSE4.2": ("f20f38f1c1", 2, features.SSE4_2),
}


def table(cpu: VirtualCpu) -> CpuidTable:
    """CPUID of a PC with this CPU."""
    return CpuidTable({}, is_pc=True, cpu=cpu)


@pytest.mark.parametrize(
    ("text", "model", "had"),
    [
        ("sandybridge", "sandybridge", {"pcid", "xsave"}),
        ("sandybridge,-xsave", "sandybridge", {"pcid"}),
        ("SandyBridge, -pcid", "sandybridge", {"xsave"}),
        ("westmere", "westmere", {"pcid"}),
        ("nehalem,-xsave", "nehalem", set()),
        ("+pcid", "sandybridge", {"pcid"}),
        ("+xsave,+pcid,-xsave", "sandybridge", {"pcid"}),
        ("-avx,-x2apic,-tsc_deadline", "sandybridge", set()),
    ],
)
def test_a_text_names_a_cpu(text: str, model: str, had: set[str]) -> None:
    cpu = parse_cpu(text)
    assert (cpu.model.name, cpu.features) == (model, frozenset(had))
    assert parse_cpu(str(cpu)) == cpu


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "penryn, nehalem, westmere, sandybridge"),
        ("haswell", "penryn, nehalem, westmere, sandybridge"),
        ("sandybridge,xsave", "'xsave' is not \\+FEATURE or -FEATURE"),
        ("+xsaves", "there is pcid, xsave"),
        ("-sse2", "there is pcid, xsave"),
        ("westmere,+xsave", "a westmere has no xsave; sandybridge has"),
        ("nehalem,+pcid", "westmere or sandybridge has"),
        ("+avx", "cannot be had here: the engine has no instruction with a VEX prefix"),
        ("+tsc_deadline", "cannot be had here"),
    ],
)
def test_a_cpu_that_cannot_be_had_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_cpu(text)


@pytest.mark.parametrize("name", REFUSED)
def test_each_refusal_has_its_reason(name: str) -> None:
    with pytest.raises(UsageError, match=rf"\+{name}: cannot be had here: \w"):
        parse_cpu(f"+{name}")


def test_the_default_cpu_is_that_of_a_para_guest_too() -> None:
    plain, pc = CpuidTable({}, is_pc=True), table(DEFAULT_CPU)
    for leaf in (*range(0x20), *range(0x8000_0000, 0x8000_0010)):
        assert plain.leaf(leaf) == pc.leaf(leaf)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", BY_MODEL)
def test_a_model_runs_what_its_cpuid_shows(rig: MakeRig, model: str, name: str) -> None:
    text, word, bit = BY_MODEL[name]
    code = bytes.fromhex(text)
    r = rig(code + HLT, MODELS[model].engine)
    r.regs.gpr[6] = DATA
    if table(parse_cpu(model)).leaf(1)[word] & bit:
        r.expect(R.HLT, len(code))
    else:
        r.expect(R.INVALID_OPCODE, 0)


@pytest.mark.parametrize("model", MODELS)
def test_rdtscp_is_there_if_cpuid_shows_it(rig: MakeRig, model: str) -> None:
    r = rig(b"\x0f\x01\xf9" + HLT, MODELS[model].engine)
    shown = table(parse_cpu(model)).leaf(0x8000_0001)[3] & features.RDTSCP
    assert (r.run() is R.INVALID_OPCODE) is not bool(shown)


def test_xsave_has_its_leaf_and_shows_by_cr4_that_it_is_on(rig: MakeRig) -> None:
    cpuid = table(parse_cpu("+xsave"))
    assert cpuid.leaf(1)[2] & features.XSAVE and not cpuid.leaf(1)[2] & features.OSXSAVE
    assert cpuid.leaf(0xD) == (3, 576, 576, 0)
    assert cpuid.leaf(0xD, 1) == (1, 0, 0, 0)
    assert cpuid.leaf(0xD, 2) == (0, 0, 0, 0)
    assert table(DEFAULT_CPU).leaf(0xD) == (0, 0, 0, 0)
    r = rig(HLT)
    without = table(DEFAULT_CPU)
    for asked, cr4, shown in ((cpuid, CR4_OSXSAVE, True), (cpuid, 0, False), (without, CR4_OSXSAVE, False)):
        r.regs.gpr[0], r.regs.gpr[1] = 1, 0
        asked.answer(r.vcpu, r.exit, cr4)
        assert bool(r.regs.gpr[1] & features.OSXSAVE) is shown


def test_leaf_7_has_no_second_sub_leaf() -> None:
    assert table(DEFAULT_CPU).leaf(7)[1]
    assert table(DEFAULT_CPU).leaf(7, 1) == (0, 0, 0, 0)
