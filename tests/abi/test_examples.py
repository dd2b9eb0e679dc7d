# SPDX-License-Identifier: GPL-2.0-or-later
"""The example of each call, compiled into a guest and run: it comes to the end that it should.

An example stands in a function of a small kernel (`guests/example_kernel.c`), which gives it the names in
`guests/example.h`. A guest that crashes, gives up or runs on has a bad example.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from pvisor.abi.areas.power import VCPU_UP
from pvisor.abi.calls import CALLS
from pvisor.abi.model import Hypercall
from pvisor.machine.console import ConsoleOutput
from pvisor.vmm.builder import build
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.run import run_domain
from tests.domain.fakes import FakeInput

pytestmark = pytest.mark.needs_gcc

ROOT = Path(__file__).resolve().parents[2]
GUESTS = Path(__file__).resolve().parent / "guests"
FLAGS = (
    "-std=c11 -O2 -ffreestanding -fno-pic -fno-stack-protector -fno-asynchronous-unwind-tables -mno-red-zone "
    "-Wall -Wextra -Werror"
)
LINK = "-nostdlib -static -no-pie -Wl,-z,separate-code,-z,noexecstack,-Ttext-segment=0x200000,--build-id=none"

STATUS: Mapping[str, int] = {"BLOCK": 124}
"""How the guest ends where it is not with status 0."""
PRINTS: Mapping[str, bytes] = {"CONSOLE_WRITE": b"hello\n"}


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernel around the examples, compiled once."""
    target = tmp_path_factory.mktemp("examples") / "kernel.o"
    _gcc("-c", str(GUESTS / "example_kernel.c"), "-o", str(target))
    return target


def _gcc(*arguments: str) -> None:
    include = ["-I", str(ROOT / "guest_sdk/include"), "-I", str(GUESTS)]
    done = subprocess.run(["gcc", *FLAGS.split(), *include, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def build_example(call: Hypercall, kernel: Path, folder: Path, *, then: str = "return 0;") -> Path:
    """The guest with a call's example, and what it does then."""
    source, elf = folder / "example.c", folder / "example.elf"
    source.write_text(f'#include "example.h"\n\nint example(void)\n{{\n{call.example}\n{then}\n}}\n')
    _gcc(str(source), str(kernel), *LINK.split(), "-o", str(elf))
    return elf


def _is_offered(call: Hypercall, config: DomainConfig) -> bool:
    machine = build(config, ConsoleOutput(), FakeInput(b""))
    try:
        offered: int = getattr(machine.domain.wing, "offered_features", 0)
    finally:
        machine.close()
    return call.feature is None or bool(offered & call.feature.mask)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_example(call: Hypercall, kernel: Path, tmp_path: Path) -> None:
    elf = build_example(call, kernel, tmp_path)
    ends = set()
    for tier in ("native", "python"):
        config = DomainConfig(elf, "para", 4 << 20, max_insns=1_000_000, tier=tier, debug_abi=True)
        if not _is_offered(call, config):
            pytest.skip(f"the feature {call.feature.name if call.feature else ''} is not offered")
        result = run_domain(config, input=FakeInput(b"keys"))
        assert result.ending.status == STATUS.get(call.name, 0), result.ending.reason
        assert result.output == PRINTS.get(call.name, b"")
        ends.add((result.ending.status, result.n_instructions))
    assert len(ends) == 1, "the tiers differ"


@pytest.mark.parametrize("tier", ["native", "python"])
def test_the_second_cpu_of_the_example_begins_as_a_c_function_does(
    kernel: Path, tmp_path: Path, tier: str
) -> None:
    elf = build_example(VCPU_UP, kernel, tmp_path, then="for (;;)\n    pv_yield();")
    config = DomainConfig(elf, "para", 4 << 20, max_insns=100_000, tier=tier, n_vcpus=2)
    result = run_domain(config)
    assert result.ending.status == 0, result.ending.reason
