# SPDX-License-Identifier: GPL-2.0-or-later
"""`--all-keys`: on a terminal each key is the guest's; Ctrl-A x ends the run whatever the guest does."""

from __future__ import annotations

import os
import pty
import termios

import pytest

from pvisor.cli.escape import EscapeFilter, filtered_terminal
from tests.cli.support import process
from tests.cli.terminal import LFLAG, Terminal, terminal
from tests.guests.shelf import Shelf

MODES = ("full", "emu", "para")


@pytest.mark.parametrize(
    ("typed", "given", "n_left"),
    [
        (b"ls\n", b"ls\n", 0),
        (b"\x03\x1a\x1c\x13\x11\x04", b"\x03\x1a\x1c\x13\x11\x04", 0),
        (b"\x01a\x01A", b"\x01\x01", 0),
        (b"\x01x", b"", 1),
        (b"one\x01Xtwo", b"onetwo", 1),
        (b"\x01b\x01\x01c", b"\x01b\x01\x01c", 0),
        (b"\x01", b"", 0),
        (b"", b"", 0),
    ],
)
def test_what_the_guest_gets(typed: bytes, given: bytes, n_left: int) -> None:
    left: list[int] = []
    whole = EscapeFilter(lambda: left.append(1))
    assert whole.feed(typed) == given and len(left) == n_left
    left.clear()
    by_keys = EscapeFilter(lambda: left.append(1))
    assert b"".join(by_keys.feed(bytes((key,))) for key in typed) == given, "a read may end anywhere"
    assert len(left) == n_left


def wait_for_all_keys(it: Terminal) -> None:
    """Until Ctrl-C is a key like others."""
    it.read_until_mode(lambda mode: not mode[LFLAG] & (termios.ISIG | termios.ICANON | termios.IEXTEN))


def guest_for(mode: str) -> str:
    """Emu runs the kernels of full."""
    return "full" if mode == "emu" else mode


@pytest.mark.parametrize("mode", MODES)
def test_ctrl_c_and_ctrl_a_go_to_the_guest(guests: Shelf, mode: str) -> None:
    with terminal("run", guests("echo", guest_for(mode)), "--mode", mode, "--all-keys") as it:
        wait_for_all_keys(it)
        it.type(b"\x03\x1a\x13\x01a\n")
        assert it.wait() == 0
        assert it.text == b"you said: \x03\x1a\x13\x01\r\n"
        assert termios.tcgetattr(it.slave) == it.before


@pytest.mark.parametrize("mode", MODES)
def test_ctrl_a_x_ends_a_guest_that_never_looks(guests: Shelf, mode: str) -> None:
    with terminal("run", guests("endless", guest_for(mode)), "--mode", mode, "--all-keys") as it:
        it.read_until(b"for ever\r\n")
        wait_for_all_keys(it)
        it.type(b"\x03more than a UART takes by itself, many times over\x01x")
        assert it.wait() == 130
        assert it.text.endswith(b"pvisor: interrupted\r\n")
        assert termios.tcgetattr(it.slave) == it.before


def test_where_there_is_no_terminal_it_changes_nothing(guests: Shelf) -> None:
    said = process(["run", guests("echo", "para"), "--all-keys"], input=b"\x01x\n")
    assert (said.returncode, said.stdout) == (0, b"you said: \x01x\n")


def test_more_than_a_pipe_holds_is_kept_until_the_guest_takes_it() -> None:
    master, slave = pty.openpty()
    try:
        mode = termios.tcgetattr(slave)
        mode[0], mode[3] = 0, 0
        termios.tcsetattr(slave, termios.TCSANOW, mode)
        n_blocks, block = 50, bytes(range(2, 202)) * 10
        taken = b""
        with filtered_terminal(slave) as input:
            assert input.is_live
            for _ in range(n_blocks):
                os.write(master, block)
            while len(taken) < n_blocks * len(block) and input.wait(30):
                taken += input.take(0, 1 << 20)
        assert taken == block * n_blocks
    finally:
        os.close(master)
        os.close(slave)
