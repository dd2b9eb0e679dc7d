# SPDX-License-Identifier: GPL-2.0-or-later
"""Somebody sits at Debian's console: jobs, Ctrl-C and Ctrl-Z by `--all-keys`, and a reboot."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import Terminal, terminal
from tests.linux.machine import PROMPT, run_options

pytestmark = pytest.mark.slow

ASKS = b"\x1b[6n"
"""The shell waits for a key: it has asked the terminal where the cursor is."""


def answer(it: Terminal, keys: bytes, *, after: bytes = ASKS) -> str:
    """What comes on some keys, until the next prompt or other words."""
    it.text = b""
    it.type(keys)
    it.read_until(after)
    return it.text.decode().replace("\r", "")


@pytest.mark.parametrize("mode", ["full", "emu"])
def test_jobs_and_keys(initrd: Path, mode: str) -> None:
    with terminal(*run_options(initrd, mode, "quiet", "128M", ["--all-keys"])) as it:
        it.read_until(PROMPT.encode() + ASKS)
        assert "\n3\n" in answer(it, b"echo $((1 + 2))\n")
        answer(it, b"sleep 100 &\n")
        assert "Running" in answer(it, b"jobs\n")
        # Words of the job itself say that it runs in the foreground, so that the key is its own.
        job = b"(trap 'echo heard' INT; echo goes; while true; do sleep 1; done)\n"
        answer(it, job, after=b"\ngoes\r")
        assert "heard" in answer(it, b"\x03", after=b"heard\r")
        assert "Stopped" in answer(it, b"\x1a")
        assert "Stopped" in answer(it, b"jobs\n")
        assert "while true" in answer(it, b"bg\n")
        answer(it, b"kill -9 %2; kill %1\n")
        assert "Terminated" in answer(it, b"wait\n")
        answer(it, b"sh -c 'echo begins; while true; do :; done'\n", after=b"\nbegins\r")
        assert "^C" in answer(it, b"\x03"), "a program that computes ends as one that sleeps"
        it.type(b"reboot -f\n")
        assert it.wait() == 0, "a reset ends the run"
        assert b"reboot: Restarting system" in it.text
