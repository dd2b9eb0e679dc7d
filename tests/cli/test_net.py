# SPDX-License-Identifier: GPL-2.0-or-later
"""`pvisor run --net --pcap FILE`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import Pvisor
from tests.guests.shelf import Shelf
from tests.qemu import pc

EMPTY = bytes.fromhex("4d3cb2a1020004000000000000000000ffff000001000000")


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guest that sends frames."""
    return pc.build("net_sheet", 64, tmp_path_factory.mktemp("net"))


@pytest.mark.needs_gcc
def test_a_capture_of_what_was_sent(pvisor: Pvisor, talker: Path, tmp_path: Path) -> None:
    path = tmp_path / "frames.pcap"
    said = pvisor("run", talker, "--net", "--pcap", path, "--epoch", "2026-03-01", "--max-insns", "100000")
    assert said.out.startswith("command after a reset: 0x21\n")
    data = path.read_bytes()
    assert data.startswith(EMPTY)
    # The first frame is the one that went through loopback on the cable; it bears the guest's date.
    assert data[24:28] == (1_772_323_200).to_bytes(4, "little")
    assert data[32:40] == (64).to_bytes(4, "little") * 2
    assert data[40:52] == bytes.fromhex("525400123456525400123456")


def test_a_capture_without_a_frame_is_one_all_the_same(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    path = tmp_path / "frames.pcap"
    path.write_bytes(b"something older, and longer than what comes")
    assert pvisor("run", guests("hello", "full"), "--net", "--pcap", path).status == 0
    assert path.read_bytes() == EMPTY


def test_a_paravirtual_guest_may_have_a_card(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    path = tmp_path / "frames.pcap"
    assert pvisor("run", guests("hello", "para"), "--net", "--pcap", path).status == 0
    assert path.read_bytes() == EMPTY


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["{full}", "--pcap", "{tmp}/x"], "--net"),
        (["{full}", "--net", "--pcap", "{tmp}/no/folder"], "--pcap"),
        (["{full}", "--net", "--pcap", "{full}"], "overwritten"),
        (["{full}", "--net", "--pcap", "{tmp}/x", "--stats", "{tmp}/x"], "--stats"),
        (["{full}", "--net", "--pcap", "/dev/full"], "no space left"),
    ],
)
def test_what_will_not_do_is_said_in_one_line(
    pvisor: Pvisor, guests: Shelf, tmp_path: Path, words: list[str], hint: str
) -> None:
    places = {"full": guests("hello", "full"), "para": guests("hello", "para"), "tmp": tmp_path}
    said = pvisor("run", *(word.format(**places) for word in words))
    assert said.status == 125
    assert said.err.startswith("pvisor: ") and said.err.count("\n") == 1 and hint in said.err, said.err
    assert not (tmp_path / "x").exists()


@pytest.mark.needs_gcc
def test_a_disk_that_fills_up_on_the_way(pvisor: Pvisor, talker: Path) -> None:
    said = pvisor("run", talker, "--net", "--pcap", "/dev/full", "--max-insns", "100000")
    assert said.status == 125
    how_it_ended, what_went_wrong = said.err.splitlines()
    assert how_it_ended.endswith("(--max-insns)")
    assert what_went_wrong == "pvisor: --pcap /dev/full: cannot be written (no space left on device)"


def test_a_refused_guest_leaves_the_file_as_it_was(pvisor: Pvisor, tmp_path: Path) -> None:
    path, guest = tmp_path / "frames.pcap", tmp_path / "guest"
    path.write_bytes(b"older")
    guest.write_bytes(b"no guest")
    assert pvisor("run", guest, "--net", "--pcap", path).status == 126
    assert path.read_bytes() == b"older"
