# SPDX-License-Identifier: GPL-2.0-or-later
"""The console of a whole PC: input by interrupts, from a pipe and from a terminal, and output in time."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pvisor.domain.outcome import EndedBy
from pvisor.machine.console import ConsoleOutput, HostInput
from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.run import run_domain
from tests.cli.support import command, environment
from tests.qemu import pc

pytestmark = pytest.mark.needs_gcc
TYPED = b"one line of text\nand another, which is longer than the FIFO has room for.\n"
SEEN = b"ONE LINE OF TEXT\nAND ANOTHER, WHICH IS LONGER THAN THE FIFO HAS ROOM FOR.\nstrays: 0x0\n"


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pc.build("typed", 64, tmp_path_factory.mktemp("typed"))


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def run_piped(elf: Path, folder: Path, data: bytes, tier: str) -> tuple[RunResult, list[tuple[object, ...]]]:
    """Run with input from a file; the result and the trace."""
    path = folder / "typed"
    path.write_bytes(data)
    records: list[tuple[object, ...]] = []
    with path.open("rb") as file:
        result = run_domain(
            DomainConfig(elf, mode="full", tier=tier, max_insns=50_000_000), ConsoleOutput(),
            HostInput(file.fileno()),
            trace=lambda batch: records.extend(
                (x.virtual_ns, x.rip, x.reason, x.outcome, *list(x.ops)[: x.n_ops]) for x in batch
            ),
        )  # fmt: skip
    return result, records


def test_a_pipe_wakes_a_guest_that_halts(elf: Path, tmp_path: Path) -> None:
    runs = [run_piped(elf, tmp_path, TYPED, tier) for tier in ("native", "python", "native")]
    result, records = runs[0]
    assert result.output.replace(b"\n\n", b"\n") == SEEN
    assert (result.ending.ended_by, result.ending.status) == (EndedBy.GUEST, 1)
    assert runs[1][1] == records
    assert runs[2][1] == records
    assert runs[1][0].virtual_ns == result.virtual_ns


def test_a_pipe_that_ends_too_soon_leaves_an_idle_guest(elf: Path, tmp_path: Path) -> None:
    result, _ = run_piped(elf, tmp_path, b"no end", "native")
    assert result.output == b"NO END"
    assert result.ending.ended_by is EndedBy.IDLE


@pytest.mark.needs_qemu
def test_qemu_agrees(elf: Path) -> None:
    status, output = pc.run(elf, stdin=TYPED)
    seen = output.replace(b"\n\n", b"\n")
    assert seen in (SEEN, SEEN[1:]), "a byte that came before the FIFO was switched on is lost there"
    assert status == 1


def test_a_terminal_wakes_a_guest_that_halts(elf: Path, terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    output = ConsoleOutput()

    def type_slowly() -> None:
        for word in (b"some ", b"words", b"."):
            time.sleep(0.15)
            os.write(ours, word + b"\n")

    typist = threading.Thread(target=type_slowly)
    typist.start()
    result = run_domain(DomainConfig(elf, mode="full", timeout_s=30), output, HostInput(theirs))
    typist.join()
    assert result.output.split() == [b"SOME", b"WORDS", b".", b"strays:", b"0x0"]
    assert result.ending.ended_by is EndedBy.GUEST
    assert result.virtual_ns < 10_000_000_000, "while the host waits, its time goes by"


def test_a_guest_that_waits_for_a_terminal_hears_the_time_limit(
    elf: Path, terminal: tuple[int, int]
) -> None:
    result = run_domain(DomainConfig(elf, mode="full", timeout_s=0.3), input=HostInput(terminal[1]))
    assert result.ending.ended_by is EndedBy.BUDGET
    assert result.virtual_ns < 10_000_000_000


def test_what_was_printed_is_seen_while_the_guest_computes(tmp_path: Path) -> None:
    """Without a newline, and without another exit."""
    source = tmp_path / "prompt.c"
    source.write_text('#include "pc.h"\nint main(void) { print("> "); for (;;) __asm__ volatile(""); }\n')
    with subprocess.Popen(
        command("run", pc.build_source(source, 64, tmp_path)),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment(),
    ) as child:  # fmt: skip
        assert child.stdout is not None
        seen = os.read(child.stdout.fileno(), 1)
        seen += os.read(child.stdout.fileno(), 1)
        child.terminate()
        assert seen == b"> "
        assert child.wait(60) == 130
