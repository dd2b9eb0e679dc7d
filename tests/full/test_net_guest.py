# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests with a network card: net sees the same under pvisor and QEMU, net_sheet what the data sheet says.

Where QEMU's card differs, net_sheet shows it: QEMU has no loopback, no monitor mode and no overflow (it keeps
a frame back), 32 KiB of RAM, filters by the PROM's address, takes group addresses when it is promiscuous,
leaves CR alone in a reset, does not set ISR's reset bit in STOP, and has little on page 2.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from pvisor.errors import UsageError
from pvisor.machine.clock import WallClock
from pvisor.machine.pcap import PcapWriter
from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.run import run_domain
from tests.full.station import ADDRESS, TalkingSwitch, run_in_qemu
from tests.qemu import pc

pytestmark = pytest.mark.needs_gcc
BITS = (32, 64)
TIERS = ("native", "python")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Build a guest once: `built(name, bits)`."""
    folder = tmp_path_factory.mktemp("net")
    return lru_cache(None)(lambda name, bits: pc.build(name, bits, folder))


def run(elf: Path, tier: str, capture: Path) -> RunResult:
    """Run a guest with the station at the other end of its cable."""
    with capture.open("wb") as file:
        writer = PcapWriter(file.write, WallClock())
        config = DomainConfig(elf, mode="full", net=True, tier=tier, max_insns=100_000_000, timeout_s=60)
        return run_domain(config, switch=TalkingSwitch(writer.frame))


def frames_of(capture: Path) -> list[bytes]:
    """The frames of a pcap file."""
    data = capture.read_bytes()
    assert data[20:24] == b"\1\0\0\0", "Ethernet"
    at, frames = 24, []
    while at < len(data):
        kept, whole = struct.unpack_from("<II", data, at + 8)
        assert kept == whole
        frames.append(data[at + 16 : at + 16 + kept])
        at += 16 + kept
    return frames


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", ["net", "net_sheet"])
def test_what_a_guest_sees(built: Any, tmp_path: Path, name: str, tier: str, bits: int) -> None:
    result = run(built(name, bits), tier, tmp_path / "pcap")
    assert result.output.decode() == (pc.GUESTS / f"{name}.txt").read_text()
    assert (result.ending.ended_by.value, result.ending.status) == ("guest", 1), result.ending.reason


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.needs_qemu
def test_qemu_agrees_on_output_and_frames(built: Any, tmp_path: Path, bits: int) -> None:
    status, output = run_in_qemu(built("net", bits), tmp_path / "theirs")
    assert output.decode() == (pc.GUESTS / "net.txt").read_text()
    assert status == 1
    run(built("net", bits), "native", tmp_path / "ours")
    ours, theirs = frames_of(tmp_path / "ours"), frames_of(tmp_path / "theirs")
    for is_answer in (False, True):  # QEMU's answers come when they come
        assert [f for f in ours if (f[6:12] == ADDRESS) is is_answer] == [
            f for f in theirs if (f[6:12] == ADDRESS) is is_answer
        ]
    assert len(ours) > 100


def test_tiers_and_runs_leave_the_same_capture(built: Any, tmp_path: Path) -> None:
    captures, instructions = set(), set()
    for i, tier in enumerate((*TIERS, *TIERS)):
        instructions.add(run(built("net", 64), tier, tmp_path / str(i)).n_instructions)
        captures.add((tmp_path / str(i)).read_bytes())
    assert len(captures) == len(instructions) == 1


@pytest.mark.parametrize("tier", TIERS)
def test_a_capture_that_fails_ends_the_run_with_its_own_words(built: Any, tier: str) -> None:
    def full(virtual_ns: int, frame: bytes) -> None:
        raise UsageError("no space left")

    config = DomainConfig(built("net", 32), mode="full", net=True, tier=tier, max_insns=100_000_000)
    with pytest.raises(UsageError) as raised:
        run_domain(config, switch=TalkingSwitch(full))
    assert str(raised.value) == "no space left"


def test_without_a_card_there_is_none(built: Any) -> None:
    """The reset port reads all ones, as do all that nobody claims; the guest waits for nothing for ever."""
    config = DomainConfig(built("net", 32), mode="full", max_insns=200_000, timeout_s=20)
    assert run_domain(config).output.startswith(b"reset: 0xff\ninterrupt status: 0xff\n")
