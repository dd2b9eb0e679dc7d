# SPDX-License-Identifier: GPL-2.0-or-later
"""A bare PC guest under a stock QEMU that has a screen and a keyboard, reached by QEMU's monitor."""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.qemu import pc

PROMPT = b"(qemu) "
TIMEOUT_S = 60
CRTC = 0x3D4


class Monitored:
    """A running QEMU. `serial` is what the guest has printed so far."""

    def __init__(self, elf: Path, folder: Path) -> None:
        where = folder / "monitor"
        command = [*pc.QEMU.replace("-monitor none", f"-monitor unix:{where},server").split(), "-vga", "std"]
        self.process = subprocess.Popen(
            [*command, "-kernel", str(elf)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.serial = b""
        self._socket = self._connect(where)
        self._answer()

    def _connect(self, where: Path) -> socket.socket:
        """QEMU waits for the connection before it starts."""
        end = time.monotonic() + TIMEOUT_S
        while True:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(TIMEOUT_S)
            try:
                connection.connect(str(where))
                return connection
            except OSError:
                connection.close()
                if self.process.poll() is not None:
                    self._give_up()
                assert time.monotonic() < end
                time.sleep(0.02)

    def _give_up(self) -> NoReturn:
        complaint = self._complaint()
        if b"VGA" in complaint or b"vgabios" in complaint:
            pytest.skip(f"this QEMU has no VGA: {complaint.decode('latin1').strip()}")
        raise AssertionError(complaint)

    def _complaint(self) -> bytes:
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def _answer(self) -> str:
        data = b""
        while not data.endswith(PROMPT):
            part = self._socket.recv(65536)
            assert part, data
            data += part
        return data[: -len(PROMPT)].decode("latin1").replace("\r", "")

    def ask(self, words: str) -> str:
        """Give the monitor a command; its answer, behind the echo."""
        self._socket.sendall(words.encode() + b"\n")
        return self._answer().partition("\n")[2]

    def wait_for(self, words: bytes) -> None:
        """Wait until the guest has printed words."""
        assert self.process.stdout is not None
        end = time.monotonic() + TIMEOUT_S
        while words not in self.serial:
            left = end - time.monotonic()
            assert left > 0, self.serial
            if select.select([self.process.stdout], [], [], left)[0]:
                part = os.read(self.process.stdout.fileno(), 4096)
                assert part, self._complaint()
                self.serial += part

    def memory(self, gpa: int, n_bytes: int) -> bytes:
        """Guest-physical memory."""
        rows = self.ask(f"xp /{n_bytes}bx {gpa:#x}")
        return bytes(int(byte, 16) for byte in re.findall(r"(?<!^)0x[0-9a-f]{2}\b", rows))

    def crtc_pair(self, index: int) -> int:
        """A pair of registers of the CRTC."""
        value = 0
        for number in (index, index + 1):
            self.ask(f"o /b {CRTC:#x} {number:#x}")
            value = value << 8 | int(self.ask(f"i /b {CRTC + 1:#x}").split("=")[1], 16)
        return value

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


@contextlib.contextmanager
def monitored(elf: Path, folder: Path) -> Iterator[Monitored]:
    """A machine for the time of a test."""
    it = Monitored(elf, folder)
    try:
        yield it
    finally:
        it.close()
