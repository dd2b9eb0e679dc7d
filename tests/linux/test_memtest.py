# SPDX-License-Identifier: GPL-2.0-or-later
"""memtest86+ 6.10 as Debian packs it, over 32 MiB: its tests find no error, on screen and serial port.

It is a kernel of the Linux boot protocol that drives the bare machine: page tables of its own, the 8254
polled for the speed of the CPU, the keyboard and the serial port polled, no interrupts. A run is ended by its
number of instructions: the last of its tests waits for minutes by polling the time-stamp counter.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pvisor.domain.outcome import EndedBy
from pvisor.emu.vcpu import lane_works
from pvisor.machine.console import HostInput
from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.run import run_domain
from tests.linux.packages import package_folder

pytestmark = pytest.mark.slow

FILES = {32: "memtest86+ia32.bin", 64: "memtest86+x64.bin"}
MEMORY_BYTES = 32 << 20
AT_ONCE = "nopause nobench"
"""Begin without waiting for a key, and do not measure the memory's speed."""
INSNS_OF_4_TESTS = 850_000_000
"""So many are enough for tests 0 to 3, in either width."""
INSNS_OF_2_LOOKS = 2_400_000_000
"""The serial port is written to at the beginning, and again after two seconds."""
INSNS_OF_9_TESTS = 42_000_000_000
LANE = pytest.mark.skipif(not lane_works(), reason="no control lane here")


def memtest(bits: int, mode: str, n_insns: int, *, cmdline: str = AT_ONCE, **settings: Any) -> RunResult:
    kernel = package_folder("memtest86+") / "boot" / FILES[bits]
    return run_domain(DomainConfig(kernel, mode, MEMORY_BYTES, cmdline, max_insns=n_insns, **settings))


def shown(result: RunResult) -> tuple[int, str, str]:
    """The number of the test that is under way, what was tested by it, and the errors so far."""
    screen = "\n".join(result.screen)
    test, memory, errors = (
        re.search(pattern, screen) for pattern in (r"Test #(\d+)", r"of (31\.\dMB)\]", r"Errors: (\d+)")
    )
    assert test and memory and errors, screen
    return int(test[1]), memory[1], errors[1]


@pytest.mark.parametrize(
    ("mode", "bits", "entry"),
    [
        ("full", 32, "auto"),
        ("full", 64, "linux64"),
        ("full", 64, "linux32"),
        pytest.param("emu", 32, "auto", marks=LANE),
        pytest.param("emu", 64, "auto", marks=[LANE, pytest.mark.linux_matrix]),
    ],
)
def test_four_tests_find_no_error(mode: str, bits: int, entry: str) -> None:
    result = memtest(bits, mode, INSNS_OF_4_TESTS, entry=entry)
    assert result.ending.ended_by is EndedBy.BUDGET, result.ending
    test, memory, errors = shown(result)
    assert (test, errors) == (4, "0") and memory.startswith("31."), result.screen
    assert "pvisor virtual CPU" in result.screen[0] and "999MHz" in result.screen[1]
    assert result.unclaimed_ioports.keys() <= {0x3F2}, "the floppy's motor"


def test_the_serial_port_tells_the_same() -> None:
    """Each test in its turn, and no errors."""
    result = memtest(32, "full", INSNS_OF_2_LOOKS, cmdline=f"{AT_ONCE} console=ttyS0,115200")
    said = result.output.decode("cp437")
    assert set(re.findall(r"Errors: (\d+)", said)) == {"0"}
    tests = [int(number) for number in re.findall(r"#(\d+) +\[", said)]
    assert tests == sorted(tests) and tests[-1] == 4 and shown(result)[0] >= 4
    assert "Memtest86+ v6.10" in said and "pvisor virtual CPU @ 1.00GHz" in said


@pytest.mark.parametrize("mode", ["full", pytest.param("emu", marks=LANE)])
def test_a_key_ends_it(mode: str, tmp_path: Path) -> None:
    """ESC: it resets the PC, which ends the run."""
    kernel = package_folder("memtest86+") / "boot" / FILES[32]
    config = DomainConfig(kernel, mode, MEMORY_BYTES, max_insns=INSNS_OF_4_TESTS, screen=True)
    (tmp_path / "keys").write_bytes(b"\x1b")
    with (tmp_path / "keys").open("rb") as keys:
        result = run_domain(config, input=HostInput(keys.fileno()))
    assert (result.ending.ended_by, result.ending.status) == (EndedBy.GUEST, 0)
    assert any("<ESC> Exit" in line for line in result.screen)


@pytest.mark.linux_matrix
@pytest.mark.parametrize("mode", ["full", pytest.param("emu", marks=LANE)])
def test_nine_tests_find_no_error(mode: str) -> None:
    """Tests 0 to 8 to their ends, and most of test 9."""
    result = memtest(32, mode, INSNS_OF_9_TESTS)
    assert shown(result)[::2] == (9, "0"), result.screen
