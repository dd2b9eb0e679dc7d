# SPDX-License-Identifier: GPL-2.0-or-later
"""The other end of the cable for guests that talk: a station that answers, on pvisor's switch and under QEMU.

A request is a frame of type 0x88b5; its data are the address that the answer shall go to, the answer's size
(big-endian), and a number, from which the answer's data count up.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

from pvisor.machine.switch import Port, Receive, Switch
from pvisor.machine.timers import Timers
from tests.qemu.pc import QEMU

ADDRESS = bytes.fromhex("020000000001")
KIND = bytes.fromhex("88b5")
CARD = "-device ne2k_isa,iobase=0x300,irq=9,netdev=n0,mac=52:54:00:12:34:56"


def answer(frame: bytes) -> bytes | None:
    """What the station says to a frame, if anything."""
    if frame[12:14] != KIND or frame[6:12] == ADDRESS or len(frame) < 23:
        return None
    destination, size_bytes, number = frame[14:20], int.from_bytes(frame[20:22], "big"), frame[22]
    return destination + ADDRESS + KIND + bytes(number + i & 0xFF for i in range(size_bytes - 14))


class TalkingSwitch(Switch):
    """A switch with the station at it, in the time of the first that is plugged in."""

    def attach(self, timers: Timers, receive: Receive) -> Port:
        port = super().attach(timers, receive)
        if len(self._ports) == 1:
            self.station = super().attach(timers, self._hear)
        return port

    def _hear(self, frame: bytes) -> None:
        said = answer(frame)
        if said is not None:
            self.station.send(said)


def run_in_qemu(elf: Path, capture: Path, timeout_s: float = 60, options: str = "") -> tuple[int, bytes]:
    """Exit status and console of a guest whose card has the station at the other end; frames go to a file."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there:
        cable = (
            f"-netdev socket,id=n0,fd={there.fileno()} {CARD} "
            f"-object filter-dump,id=f0,netdev=n0,file={capture}"
        )
        station = threading.Thread(target=_serve, args=(here,), daemon=True)
        station.start()
        done = subprocess.run(
            [*QEMU.split(), *options.split(), *cable.split(), "-kernel", str(elf)],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False,
            pass_fds=[there.fileno()],
        )  # fmt: skip
        here.shutdown(socket.SHUT_RDWR)
        station.join(timeout_s)
    assert done.stderr == b""
    return done.returncode, done.stdout


def _serve(cable: socket.socket) -> None:
    with suppress(BrokenPipeError):  # the answer to a frame that was QEMU's last
        while frame := cable.recv(65536):
            said = answer(frame)
            if said is not None:
                cable.send(said)
