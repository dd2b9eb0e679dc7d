# SPDX-License-Identifier: GPL-2.0-or-later
"""`pvisor run --screen`: the screen on stdout, keys from stdin, the serial port on stderr."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import termios
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import Pvisor, command, environment, process
from tests.cli.terminal import terminal
from tests.guests.shelf import Shelf
from tests.qemu import pc

pytestmark = pytest.mark.needs_gcc
MODES = ("full", "emu")

TEXT = """\
#include "text.h"
int main(void)
{
    put_at(1, 2, 0x1e, "on the screen");
    print("by the serial port\\n> ");
    %s
    return 0;
}
"""
TRIPLE_FAULT = '__asm__ volatile("lidt %0; ud2" : : "m"(*(const char(*)[10]) "\\0\\0\\0\\0\\0\\0\\0\\0\\0"));'
SLEEP = "for (;;) halt();"
COMPUTE = 'for (;;) __asm__ volatile("");'


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Build a guest of tests/guests/pc by its name, or one that writes TEXT and then does something, once."""

    @lru_cache(None)
    def build(name_or_end: str) -> Path:
        folder = tmp_path_factory.mktemp("pc")
        if name_or_end.isidentifier():
            return pc.build(name_or_end, 64, folder)
        source = folder / "text.c"
        source.write_text(TEXT % name_or_end)
        return pc.build_source(source, 64, folder)

    return build


# --- where stdout is no terminal


@pytest.mark.parametrize("mode", MODES)
def test_the_last_picture_as_text(built: Any, mode: str) -> None:
    done = process(["run", built(";"), "--screen", "--mode", mode])
    assert (done.returncode, done.stdout) == (1, b"\n  on the screen\n")
    assert done.stderr == b"by the serial port\n> "


def test_characters_beyond_ascii(built: Any) -> None:
    done = process(["run", built("screen"), "--screen"])
    lines = done.stdout.decode("utf-8").splitlines()
    assert lines[1] == "╔" + "═" * 78 + "╗"
    assert len(lines) == 25
    assert done.stderr.endswith(b"done\n")


def test_characters_that_the_reader_has_not(built: Any) -> None:
    done = subprocess.run(
        command("run", built("screen"), "--screen"), stdin=subprocess.DEVNULL, capture_output=True,
        timeout=60, env={**environment(), "PYTHONIOENCODING": "latin1", "PYTHONUTF8": "0"}, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[1] == b"?" * 80


@pytest.mark.parametrize("mode", MODES)
def test_stdin_is_the_keyboard(built: Any, mode: str) -> None:
    done = process(["run", built("keys"), "--screen", "--mode", mode], input=b"Typed!\n\x1b")
    assert (done.returncode, done.stdout) == (1, b">Typed!\n")
    assert done.stderr == b"ready\nstrays: 0x0\ndone\n"


def test_the_serial_port_gets_no_input(built: Any) -> None:
    done = process(["run", built("typed"), "--screen"], input=b"unheard.\n")
    assert (done.returncode, done.stdout) == (124, b"")
    assert done.stderr == b"pvisor: the guest waits, and nothing can wake it\n"


def test_an_unwritten_screen_is_no_output(guests: Shelf) -> None:
    done = process(["run", guests("hello", "full"), "--screen"])
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.endswith(b"Goodbye.\n")


def test_how_it_ended_begins_a_line(built: Any) -> None:
    done = process(["run", built(SLEEP), "--screen"])
    assert done.returncode == 124
    assert done.stdout == b"\n  on the screen\n"
    assert done.stderr == b"by the serial port\n> \npvisor: the guest waits, and nothing can wake it\n"


def test_nobody_reads_the_serial_port(built: Any) -> None:
    with subprocess.Popen(
        command("run", built('for (;;) print("and another thing\\n");'), "--screen"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    ) as child:  # fmt: skip
        assert child.stderr is not None and child.stdout is not None
        assert child.stderr.readline() == b"by the serial port\n"
        child.stderr.close()
        assert child.stdout.read() == b"\n  on the screen\n"
        assert child.wait(60) == 130


def test_started_without_stdin_stdout_and_stderr(built: Any) -> None:
    words = command("run", built(";"), "--screen")
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *words], timeout=60, env=environment(), check=False
    )
    assert done.returncode == 1


def test_ctrl_c_leaves_the_picture(built: Any) -> None:
    with subprocess.Popen(
        command("run", built(COMPUTE), "--screen"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    ) as child:  # fmt: skip
        assert child.stderr is not None and child.stdout is not None
        assert child.stderr.readline() == b"by the serial port\n"
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 130
        assert child.stdout.read() == b"\n  on the screen\n"
        assert child.stderr.read() == b"> \npvisor: interrupted\n"


# --- refused


@pytest.mark.parametrize("mode", ["auto", "para"])
def test_a_paravirtual_guest_has_no_screen(pvisor: Pvisor, guests: Shelf, mode: str) -> None:
    said = pvisor("run", guests("hello", "para"), "--screen", "--mode", mode)
    assert (said.status, said.out) == (125, "")
    assert said.err.startswith("pvisor: --screen: ") and said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "status"),
    [(["--screen=yes", "{elf}"], 125), (["--screen"], 125), (["--screen", "{elf}.nowhere"], 125),
     (["--screen", "{elf}", "--memory", "1M"], 126)],
)  # fmt: skip
def test_bad_input(pvisor: Pvisor, built: Any, words: list[str], status: int) -> None:
    said = pvisor("run", *(word.replace("{elf}", str(built(";"))) for word in words))
    assert (said.status, said.out) == (status, "")
    assert said.err.startswith("pvisor: ") and said.err.count("\n") == 1


# --- crash reports


@pytest.mark.parametrize("mode", MODES)
def test_a_crash_report_shows_the_screen(pvisor: Pvisor, built: Any, mode: str) -> None:
    said = pvisor("run", built(TRIPLE_FAULT), "--mode", mode)
    assert said.status == 134
    assert said.out == "by the serial port\n> "
    shown = re.search(r"^    ES .*\n(?:.*\n)*?  screen\n((?:    \|.*\n)*)  \S", said.err, re.MULTILINE)
    assert shown is not None, said.err
    assert shown[1] == "    |\n    |  on the screen\n"


def test_a_crash_report_without_a_screen(pvisor: Pvisor, guests: Shelf) -> None:
    for mode in ("full", "para"):
        assert "  screen\n" not in pvisor("run", guests("crash", mode)).err


# --- on a terminal


@pytest.mark.parametrize("mode", MODES)
def test_keys_and_screen_on_a_terminal(built: Any, mode: str) -> None:
    with terminal("run", built("keys"), "--screen", "--mode", mode) as it:
        it.read_until(b"ready\r\n")
        it.wait_for_keys_as_typed()
        it.type(b"Hi\x1a\x1c\x13\x11\x16")
        it.read_until(b">Hi^z^\\^s^q^v")
        assert "keys-64.elf ── Ctrl-C ends the run".encode() in it.text
        it.type(b"\r\x1b[A\x1b")
        assert it.wait() == 1
        assert b"strays: 0x0\r\n" in it.text and b"done\r\n" in it.text
        assert it.text.endswith(b"\x1b[?25h"), "the terminal's own cursor is shown again"
        assert termios.tcgetattr(it.slave) == it.before


def test_colours_on_a_terminal(built: Any) -> None:
    with terminal("run", built(";"), "--screen") as it:
        assert it.wait() == 1
        assert re.search(rb"\x1b\[38;5;\d+;48;5;\d+mon the screen\x1b\[0m", it.text)
        assert b"by the serial port\r\n" in it.text
        assert b"> \x1b" in it.text or b"> \r\n" in it.text, "a line that is not ended, too"


@pytest.mark.parametrize("end", [SLEEP, COMPUTE], ids=["sleeps", "computes"])
def test_ctrl_c_on_a_terminal(built: Any, end: str) -> None:
    with terminal("run", built(end), "--screen") as it:
        it.read_until(b"on the screen")
        it.wait_for_keys_as_typed()
        it.type(b"\x03")
        assert it.wait() == 130
        assert it.text.endswith(b"pvisor: interrupted\r\n")
        assert termios.tcgetattr(it.slave) == it.before


def test_a_time_limit_on_a_terminal(built: Any) -> None:
    with terminal("run", built(SLEEP), "--screen", "--timeout", "0.5") as it:
        assert it.wait() == 124
        assert it.text.endswith(b"(--timeout)\r\n")


def test_the_serial_port_may_go_elsewhere(built: Any, tmp_path: Path) -> None:
    path = tmp_path / "serial"
    with path.open("wb") as file, terminal("run", built(";"), "--screen", stderr=file) as it:
        assert it.wait() == 1
        assert b"on the screen" in it.text and b"serial" not in it.text
    assert path.read_bytes() == b"by the serial port\n> "


def test_a_serial_port_cannot_move_the_cursor(built: Any) -> None:
    with terminal("run", built(r'print("\33[2Jhidden\7\r\33]0;title\7\n");'), "--screen") as it:
        assert it.wait() == 1
        assert b"> hidden0;title\r\n" in it.text and b"\x1b[2J" not in it.text


def test_much_by_the_serial_port_comes_whole(built: Any) -> None:
    with terminal("run", built(r'for (int i = 0; i < 9000; i++) show("row", (word)i);'), "--screen") as it:
        assert it.wait() == 1
        assert len(re.findall(rb"row: 0x[0-9a-f]+\r\n", it.text)) == 9000


def test_a_terminal_that_is_no_screen_gets_the_last_picture(built: Any) -> None:
    words = command("run", built(";"), "--screen")
    with terminal("run", built(";"), "--screen") as it:
        it.wait()
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=it.slave, stderr=subprocess.PIPE, timeout=60,
            env={**environment(), "TERM": "dumb"}, check=False,
        )  # fmt: skip
        before = len(it.text)
        it.wait()
        assert (done.returncode, it.text[before:]) == (1, b"\r\n  on the screen\r\n")


@pytest.mark.parametrize("words", [["typed"], ["keys", "--screen"]])
def test_a_guest_that_waits_for_keys_costs_no_cpu(built: Any, words: list[str]) -> None:
    """Two seconds of idling, at most a quarter of them computed; Ctrl-C is heard meanwhile."""
    with terminal("run", built(words[0]), *words[1:]) as it:
        it.wait_for_keys_as_typed()
        if words[0] == "typed":
            it.type(b"ok")
            it.read_until(b"OK")
        before = _cpu_s(it.child.pid)
        time.sleep(2)
        idle_s = _cpu_s(it.child.pid) - before
        it.type(b"\x03")
        assert it.wait() == 130
        assert it.text.endswith(b"pvisor: interrupted\r\n")
    assert idle_s < 0.5


def _cpu_s(pid: int) -> float:
    """What a process has computed so far."""
    path = Path(f"/proc/{pid}/stat")
    if not path.exists():
        pytest.skip("no /proc here")
    fields = path.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
