# SPDX-License-Identifier: GPL-2.0-or-later
"""Console input arrives at fixed virtual times, unless it is live; output is kept and handed on at once."""

from __future__ import annotations

import os
import pty
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pvisor.machine.console import BYTE_NS, POLL_NS, SILENCE_S, START_NS, ConsoleOutput, HostInput, NoInput

FOREVER = 1 << 62


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        try:
            os.close(fd)
        except OSError:
            continue


def piped(pipe: tuple[int, int], data: bytes) -> HostInput:
    """A pipe that holds all of its data and has ended."""
    os.write(pipe[1], data)
    os.close(pipe[1])
    return HostInput(pipe[0])


def test_nothing_arrives_on_no_input() -> None:
    assert NoInput().take(FOREVER, 10) == b""
    assert not NoInput().has_arrived(FOREVER)
    assert NoInput().next_arrival_ns(0) is None
    assert not NoInput().is_live
    began = time.monotonic()
    assert not NoInput().wait(60)
    assert time.monotonic() - began < 5


def test_each_byte_of_a_pipe_has_its_virtual_time(pipe: tuple[int, int]) -> None:
    source = piped(pipe, b"abc")
    for i, byte in enumerate(b"abc"):
        at = START_NS + i * BYTE_NS
        assert not source.has_arrived(at - 1)
        assert source.take(at - 1, 9) == b""
        assert source.has_arrived(at)
        assert source.take(at, 9) == bytes([byte])
    assert not source.has_arrived(FOREVER)
    assert source.take(FOREVER, 9) == b""


def test_bytes_that_were_not_taken_wait(pipe: tuple[int, int]) -> None:
    source = piped(pipe, b"abcdef")
    assert source.take(START_NS + 3 * BYTE_NS, 2) == b"ab"
    assert source.take(START_NS + 3 * BYTE_NS, 9) == b"cd"
    assert source.take(START_NS + 3 * BYTE_NS, 9) == b""
    assert source.take(FOREVER, 1) == b"e"
    assert source.take(FOREVER, 9) == b"f"


def test_asking_whether_something_has_arrived_takes_nothing(pipe: tuple[int, int]) -> None:
    source = piped(pipe, b"ab")
    for _ in range(3):
        assert source.has_arrived(START_NS)
    assert source.take(FOREVER, 0) == b""
    assert source.take(FOREVER, 9) == b"ab"


def test_an_empty_pipe_is_at_its_end_at_once(pipe: tuple[int, int]) -> None:
    source = piped(pipe, b"")
    began = time.monotonic()
    assert source.take(FOREVER, 9) == b""
    assert not source.has_arrived(FOREVER)
    assert time.monotonic() - began < 5


def test_a_file_is_read_like_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "typed"
    path.write_bytes(b"from a file")
    with path.open("rb") as file:
        source = HostInput(file.fileno())
        assert source.take(START_NS + 3 * BYTE_NS, 100) == b"from"
        assert source.take(FOREVER, 100) == b" a file"


def test_much_input_comes_whole(tmp_path: Path) -> None:
    data = bytes(range(256)) * 1000
    path = tmp_path / "typed"
    path.write_bytes(data)
    with path.open("rb") as file:
        source = HostInput(file.fileno())
        parts = [source.take(FOREVER, 1000) for _ in range(256)]
        assert b"".join(parts) == data
        assert source.take(FOREVER, 1) == b""


def test_a_pipe_that_is_slow_is_waited_for(pipe: tuple[int, int]) -> None:
    """Later than asked for, but sooner than a silence: the byte has its virtual time all the same."""
    source = HostInput(pipe[0])
    timer = threading.Timer(SILENCE_S / 5, os.write, (pipe[1], b"x"))
    timer.start()
    assert source.take(START_NS, 1) == b"x"
    timer.join()


def test_a_silent_pipe_counts_as_live(pipe: tuple[int, int]) -> None:
    source = HostInput(pipe[0])
    assert source.take(START_NS, 1) == b""
    os.write(pipe[1], b"now")
    assert source.has_arrived(0), "a live byte arrives when it is there"
    assert source.take(0, 9) == b"now"
    assert source.take(0, 9) == b""


def test_a_terminal_is_live() -> None:
    ours, theirs = pty.openpty()
    try:
        source = HostInput(theirs)
        assert source.take(FOREVER, 9) == b""
        os.write(ours, b"typed\n")
        deadline = time.monotonic() + 5
        while not source.has_arrived(0) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert source.take(0, 9) == b"typed\n"
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_descriptor_that_is_closed_has_ended(pipe: tuple[int, int]) -> None:
    source = HostInput(pipe[0])
    os.close(pipe[0])
    assert source.take(FOREVER, 9) == b""


def test_a_pipes_bytes_announce_themselves(pipe: tuple[int, int]) -> None:
    source = piped(pipe, b"ab")
    assert not source.is_live
    assert source.next_arrival_ns(0) == START_NS
    source.take(START_NS, 1)
    assert source.next_arrival_ns(FOREVER) == START_NS + BYTE_NS, "in the past: it waits to be taken"
    source.take(FOREVER, 1)
    assert source.next_arrival_ns(FOREVER) == START_NS + 2 * BYTE_NS, "the host has not been asked yet"
    source.take(FOREVER, 1)
    assert source.next_arrival_ns(FOREVER) is None
    assert source.wait(60)


def test_a_live_input_is_polled(pipe: tuple[int, int]) -> None:
    source = HostInput(pipe[0])
    source.is_live = True
    assert source.next_arrival_ns(0) == 0
    assert source.take(500, 1) == b""
    assert source.next_arrival_ns(600) == 500 + POLL_NS
    os.write(pipe[1], b"ab")
    assert source.next_arrival_ns(600) == 500 + POLL_NS
    assert source.take(700, 1) == b"a"
    assert source.next_arrival_ns(800) == 800, "the other has come, too"
    assert source.wait(60)
    assert source.take(800, 1) == b"b"
    os.close(pipe[1])
    assert source.take(900, 1) == b""
    assert source.next_arrival_ns(900) is None


def test_the_host_is_waited_for_no_longer_than_asked(pipe: tuple[int, int]) -> None:
    source = HostInput(pipe[0])
    assert not source.wait(60), "a pipe's bytes have their times"
    source.is_live = True
    assert not source.wait(0.01)
    timer = threading.Timer(0.02, os.write, (pipe[1], b"x"))
    timer.start()
    assert source.wait(60)
    timer.join()
    assert source.take(0, 1) == b"x"
    os.close(pipe[1])
    assert source.wait(60), "the end is something to see, too"
    assert source.next_arrival_ns(0) is None


def test_output_is_kept_and_handed_on() -> None:
    handed_on: list[bytes] = []
    output = ConsoleOutput(handed_on.append)
    for data in (b"one ", b"", b"two\n"):
        output.write(data)
    assert b"".join(handed_on) == output.data == b"one two\n"
    assert output.n_bytes == 8
    assert output.text == "one two\n"
    assert output.last_write_host_ns > 0


def test_output_that_is_no_text_does_not_hurt() -> None:
    output = ConsoleOutput()
    output.write(b"ok \xff\xfe")
    assert output.text == "ok \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"


def test_output_need_not_be_kept() -> None:
    handed_on: list[bytes] = []
    output = ConsoleOutput(handed_on.append, keep=False)
    output.write(b"gone")
    assert (output.data, output.n_bytes, handed_on) == (b"", 4, [b"gone"])


def test_what_is_kept_of_output_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pvisor.machine.console.MAX_KEPT_BYTES", 10)
    seen: list[bytes] = []
    output = ConsoleOutput(seen.append)
    for _ in range(3):
        output.write(b"1234567")
    assert output.data == b"1234567123"
    assert (output.n_bytes, b"".join(seen)) == (21, b"1234567" * 3)


def test_gathered_bytes_come_before_what_is_written_or_read_next() -> None:
    handed_on: list[bytes] = []
    output = ConsoleOutput(handed_on.append)
    gathered = [(b"first ", 7), (b"", 0), (b"third ", 8), (b"", 0)]
    output.gather_from(lambda: gathered.pop(0))
    output.write(b"second ")
    assert output.last_write_host_ns > 7
    output.flush()
    assert handed_on == [b"first ", b"second "]
    assert output.data == b"first second third "
    assert (output.n_bytes, output.last_write_host_ns) == (19, 8)
    output.flush()
    assert len(handed_on) == 3
