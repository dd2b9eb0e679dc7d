# SPDX-License-Identifier: GPL-2.0-or-later
"""`pvisor up`: consoles with names, files, statuses, reports, and one line for what cannot be done."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pvisor.toolchain.build import build_guest
from tests.cli.support import Pvisor, command, environment, refused

pytestmark = pytest.mark.needs_gcc

TESTS = Path(__file__).resolve().parents[1]
WORKER = TESTS / "vmm" / "guests" / "worker.c"
BALLOON = TESTS / "guests" / "para" / "balloon.c"

Setup = Callable[..., Path]
"""Writes a file with domains: name -> (mode, what the guest does, further lines)."""


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("worker")
    return {mode: build_guest([WORKER], folder / f"{mode}.elf", mode).path for mode in ("full", "para")}


@pytest.fixture
def setup(tmp_path: Path, kernels: dict[str, Path]) -> Setup:
    def write(head: str = "", **domains: tuple[str, str, str]) -> Path:
        text = head
        for name, (mode, words, rest) in domains.items():
            kernel = kernels["para" if mode == "para" else "full"]
            text += f'\n[domain.{name}]\nkernel = "{kernel}"\nmode = "{mode}"\ncmdline = "{words}"\n{rest}\n'
        path = tmp_path / "setup.toml"
        path.write_text(text)
        return path

    return write


def test_consoles_come_with_names(pvisor: Pvisor, setup: Setup) -> None:
    path = setup(
        a=("para", "say:one spin:2000 say:two", ""), longer=("full", "spin:1000 say:three", "weight = 512"),
    )  # fmt: skip
    said = pvisor("up", path)
    assert said.status == 0
    lines = said.out.splitlines()
    assert lines[-1] == "a      | two"
    assert "longer | three" in lines and "a      | one" in lines
    assert all(line.startswith(("a      | ", "longer | ")) for line in lines)
    assert "domain" in said.err and "guest" in said.err


def test_the_same_twice(pvisor: Pvisor, setup: Setup) -> None:
    path = setup(a=("para", "spin:3000 nap:100 say:x", ""), b=("full", "spin:3000 nap:100 say:x", ""))
    assert pvisor("up", path) == pvisor("up", path)
    assert pvisor("up", path, "--threads", "2").status == 0


def test_a_console_may_be_a_file(pvisor: Pvisor, setup: Setup, tmp_path: Path) -> None:
    path = setup(
        a=("para", "say:to-the-file", 'console = "a.log"'), b=("para", "say:shown", ""),
        c=("para", "", 'console = "empty.log"'),
    )  # fmt: skip
    said = pvisor("up", path)
    assert (said.status, said.out) == (0, "b | shown\n")
    assert (tmp_path / "a.log").read_text() == "to-the-file\n"
    assert (tmp_path / "empty.log").read_bytes() == b""


def test_a_network_and_its_capture(pvisor: Pvisor, setup: Setup, tmp_path: Path) -> None:
    path = setup(
        '[network.lan]\npcap = "lan.pcap"\n', a=("full", "say:x", 'network = "lan"'),
        b=("full", "spin:1000", 'network = "lan"'),
    )  # fmt: skip
    assert pvisor("up", path).status == 0
    assert len((tmp_path / "lan.pcap").read_bytes()) == 24, "a header and no frame"


@pytest.mark.parametrize(
    ("words", "status"),
    [(("", ""), 0), (("exit:1", "exit:2"), 3), (("", "exit:2"), 5), (("spin:9000 exit:1", "idle"), 3),
     (("idle", "crash"), 124), (("", "crash"), 134)],
)  # fmt: skip
def test_the_status_is_the_first_that_is_not_0(
    pvisor: Pvisor, setup: Setup, words: tuple[str, str], status: int
) -> None:
    path = setup(first=("para", words[0], ""), second=("para", words[1], ""))
    assert pvisor("up", path).status == status


def test_a_crash_has_its_report_and_leaves_the_others(pvisor: Pvisor, setup: Setup) -> None:
    path = setup(good=("full", "spin:4000 say:still-here", ""), bad=("para", "say:x crash", ""))
    said = pvisor("up", path)
    assert said.status == 134
    assert "good | still-here" in said.out
    assert "\nbad:\npvisor: the guest crashed" in said.err and "\n  on d2/v0\n  at 0x" in said.err
    assert "worker.c" in said.err and "Traceback" not in said.err


def test_statistics(pvisor: Pvisor, setup: Setup, tmp_path: Path) -> None:
    path = setup(a=("para", "spin:1000", ""), b=("full", "exit:1", ""))
    assert pvisor("up", path, "--stats", tmp_path / "stats.json").status == 3
    stats = json.loads((tmp_path / "stats.json").read_text())
    assert list(stats) == ["a", "b"]
    assert [(one["schema"], one["mode"], one["status"]) for one in stats.values()] == [
        ("pvisor.stats/1", "para", 0), ("pvisor.stats/1", "full", 3),
    ]  # fmt: skip


def test_limits(pvisor: Pvisor, setup: Setup) -> None:
    path = setup(
        a=("para", "forever", "max_insns = 100000"), b=("para", "forever", "timeout = 0.2"),
        c=("para", "say:x", "timeout = 60.0"),
    )  # fmt: skip
    said = pvisor("up", path)
    assert (said.status, said.out) == (124, "c | x\n")


def test_a_line_without_an_end_and_one_without_measure(pvisor: Pvisor, setup: Setup) -> None:
    said = pvisor("up", setup(a=("para", f"say:{'x' * 200} crash", "")))
    assert said.out == f"a | {'x' * 200}\na | as it was told\n"


# --- what cannot be done


def test_no_such_file(pvisor: Pvisor, tmp_path: Path) -> None:
    refused(pvisor("up", tmp_path / "nowhere.toml"), 125, "nowhere.toml", "no such file")
    refused(pvisor("up", tmp_path), 125)


def test_a_wrong_file(pvisor: Pvisor, tmp_path: Path) -> None:
    path = tmp_path / "setup.toml"
    path.write_text("[domain.x]\nkernel = 'k'\nweight = 0\n")
    refused(pvisor("up", path), 125, "[domain.x] weight")


def test_a_kernel_that_is_not_there(pvisor: Pvisor, setup: Setup) -> None:
    refused(pvisor("up", setup('[domain.x]\nkernel = "nowhere.elf"')), 125, "[domain.x]", "nowhere.elf")


def test_a_kernel_that_is_none(pvisor: Pvisor, setup: Setup) -> None:
    path = setup(good=("para", "say:x", ""))
    path.write_text(path.read_text() + f'\n[domain.bad]\nkernel = "{path}"\n')
    refused(pvisor("up", path), 126, "[domain.bad]", "setup.toml")


@pytest.mark.parametrize(
    ("rest", "words"),
    [('memory = "1000"', ("the domain has 1000; give more memory\n",)), ("vcpus = 2", ("full",)),
     ('disks = ["no.img"]', (" disks", "no.img")),
     ('initrd = "no.gz"', (" initrd", "no.gz")), ('modules = ["no"]', (" modules", "no"))],
)  # fmt: skip
def test_a_domain_that_cannot_be_made_is_named(
    pvisor: Pvisor, setup: Setup, rest: str, words: tuple[str, ...]
) -> None:
    """By the file's keys, not by options of other commands."""
    path = setup(ok=("para", "", ""), bad=("full", "", rest))
    refused(pvisor("up", path), 125, f"{path}: [domain.bad]", *words)


def test_one_disk_for_two(pvisor: Pvisor, setup: Setup, tmp_path: Path) -> None:
    (tmp_path / "disk.img").write_bytes(bytes(1 << 20))
    both = 'disks = ["disk.img"]'
    refused(pvisor("up", setup(a=("full", "", both), b=("full", "", both))), 125, "[domain.b]", "disk.img")
    both = 'disks = ["disk.img,ro"]'
    assert pvisor("up", setup(a=("full", "", both), b=("full", "", both))).status == 0


def test_no_file_is_written_over(
    pvisor: Pvisor, setup: Setup, kernels: dict[str, Path], tmp_path: Path
) -> None:
    before = kernels["para"].read_bytes()
    path = setup(a=("para", "say:x", f'console = "{kernels["para"]}"'))
    refused(pvisor("up", path), 125, "[domain.a] console")
    assert kernels["para"].read_bytes() == before
    refused(pvisor("up", setup(a=("para", "", 'console = "setup.toml"'))), 125, "setup.toml")
    refused(pvisor("up", setup(a=("para", "", "")), "--stats", tmp_path / "setup.toml"), 125, "--stats")
    twice = 'console = "x.log"'
    path = setup(a=("para", "", twice), b=("para", "", twice))
    refused(pvisor("up", path), 125, "[domain.b] console", "x.log")


@pytest.mark.parametrize("n_threads", ["0", "65", "x", "-1"])
def test_threads(pvisor: Pvisor, setup: Setup, n_threads: str) -> None:
    refused(pvisor("up", setup(a=("para", "", "")), "--threads", n_threads), 125, "--threads")


@pytest.mark.parametrize("n_threads", ["1", "2"])
def test_a_reader_that_goes_away(setup: Setup, n_threads: str) -> None:
    words = "say:x nap:1000 " * 20
    path = setup(a=("para", words, ""), b=("full", words, ""))
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command("up", path, "--threads", n_threads), stdout=writer, stderr=subprocess.PIPE, timeout=60,
        env=environment(), check=False,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (130, b"")


def test_an_interruption_ends_all(setup: Setup) -> None:
    path = setup(a=("para", "say:x forever", ""), b=("full", "forever", ""))
    process = subprocess.Popen(
        command("up", path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"a | x\n"
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert err.count(b"interrupted") == 2 and b"Traceback" not in err


@pytest.mark.parametrize("tier", ["native", "python"])
def test_memory_targets_move(pvisor: Pvisor, tmp_path: Path, tier: str) -> None:
    build_guest([BALLOON], tmp_path / "balloon.elf", "para")
    path = tmp_path / "setup.toml"
    path.write_text(f"""
        [domain.b]
        kernel = "balloon.elf"
        memory = "16M"
        tier = "{tier}"
        memory_targets = [{{ at_ms = 1, memory = "16128K" }}, {{ at_ms = 2, memory = "16M" }}]
    """)
    said = pvisor("up", path)
    assert said.status == 0, said.err
    assert said.out.splitlines() == [
        "b | target: 64 frames less", "b | given back: 64", "b | mapped again: -2",
        "b | target: 0 frames less", "b | taken: 64", "b | mapped again: 0", "b | zeroed: 1",
    ]  # fmt: skip


def test_a_pc_has_no_memory_target(pvisor: Pvisor, setup: Setup) -> None:
    path = setup(a=("full", "", 'memory_targets = [{ at_ms = 1, memory = "16M" }]'))
    refused(pvisor("up", path), 125, "[domain.a] memory_targets", "mode para")
