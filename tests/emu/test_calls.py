# SPDX-License-Identifier: GPL-2.0-or-later
"""Ring changes: SYSCALL, SYSENTER, INT and faults of user code, with QEMU as the referee."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.vmm.config import DomainConfig
from pvisor.vmm.run import run_domain
from tests.emu.machine import INTEL, build_guest, expected
from tests.qemu import pc

pytestmark = pytest.mark.needs_gcc
GUESTS = pytest.mark.parametrize(("name", "bits"), [("syscalls", 64), ("syscalls_32", 32)])


@GUESTS
def test_user_code_and_its_kernel(tmp_path: Path, name: str, bits: int) -> None:
    result = run_domain(DomainConfig(build_guest(name, bits, tmp_path), "emu", max_insns=1_000_000))
    assert result.output.decode() == expected(name)
    assert result.ending.status == 1, result.ending.reason
    assert result.exits["syscall"].native == result.exits["syscall"].count > 0
    assert result.exits["sysenter"].count == 1


@GUESTS
@pytest.mark.needs_qemu
def test_qemu_agrees(tmp_path: Path, name: str, bits: int) -> None:
    status, output = pc.run(build_guest(name, bits, tmp_path), options=INTEL)
    assert (status, output.decode()) == (1, expected(name))
