# SPDX-License-Identifier: GPL-2.0-or-later
"""Console and entropy by their rings, with no CPU."""

from __future__ import annotations

import pytest

from pvisor.abi.errnos import EINVAL, ENOENT, EPERM
from pvisor.para.buffers import READ, WRITE
from pvisor.para.console import ConsoleRing
from pvisor.para.entropy import Entropy, RandomBytes
from pvisor.para.ring import BUFFER_RING
from tests.domain.fakes import FakeInput
from tests.para.ring_rig import DATA, Station, buffer_request

_INVAL, _PERM, _NOENT = EINVAL.number, EPERM.number, ENOENT.number


class Rig(Station):
    """A guest with one such device."""

    def start(self, folder: str) -> int:
        """Connect; the gref of the page at DATA."""
        self.connect(folder, BUFFER_RING)
        assert self.state(folder) == "connected"
        return self.grant(DATA)

    def ask(self, op: int, gref: int, offset: int, n_bytes: int, id: int = 3) -> list[tuple[int, int, int]]:
        """A request, a signal; the responses."""
        self.rings[0].request(buffer_request(id, op, gref, offset, n_bytes))
        self.signal()
        return self.rings[0].responses()


def console(input: FakeInput | None = None) -> tuple[Rig, int]:
    rig = Rig(input)
    ConsoleRing(rig.host, rig.domain).start()
    return rig, rig.start("console/0")


def test_printing() -> None:
    rig, gref = console()
    rig.memory.write(DATA + 4000, b"hello, world\n")
    assert rig.ask(WRITE, gref, 4000, 13) == [(3, 0, 13)]
    assert rig.domain.console.data == b"hello, world\n"
    assert rig.ask(WRITE, gref, 4000, 97) == [(3, _INVAL, 0)]
    assert rig.ask(WRITE, gref, 0, 0) == rig.ask(2, gref, 0, 1) == [(3, _INVAL, 0)]
    assert rig.ask(WRITE, 99, 0, 1) == [(3, _NOENT, 0)]
    assert rig.domain.console.n_bytes == 13


def test_64_kib_take_one_signal() -> None:
    rig, gref = console()
    rig.memory.write(DATA, bytes(range(256)) * 16)
    for i in range(16):
        rig.rings[0].request(buffer_request(i, WRITE, gref, 0, 4096))
    rig.signal()
    assert rig.domain.console.n_bytes == 65536
    assert len(rig.rings[0].responses()) == 16
    assert rig.port.n_sent == 1


def test_input_that_is_there() -> None:
    rig, gref = console(FakeInput(b"typed"))
    assert rig.ask(READ, gref, 10, 3) == [(3, 0, 3)]
    assert rig.ask(READ, gref, 13, 100) == [(3, 0, 2)]
    assert rig.memory.read(DATA + 10, 5) == b"typed"


def test_input_that_comes() -> None:
    rig, gref = console(FakeInput(b"late", at_ns=5000))
    assert rig.ask(READ, gref, 0, 100) == []
    rig.pass_time(4999)
    assert rig.rings[0].responses() == []
    sent = rig.port.n_sent
    rig.pass_time(5000)
    assert rig.rings[0].responses() == [(3, 0, 4)]
    assert rig.port.n_sent == sent + 1
    assert rig.memory.read(DATA, 5) == b"late\0"
    assert rig.domain.timers.next_due_ns is None


def test_input_for_nobody_waits() -> None:
    rig, gref = console(FakeInput(b"late", at_ns=5000))
    assert rig.ask(READ, gref, 0, 100) == []
    rig.part("console/0")
    rig.pass_time(9000)
    rig.connect("console/0", BUFFER_RING)
    assert rig.ask(READ, gref, 0, 100) == [(3, 0, 4)]


def test_input_for_a_page_that_is_not_there_any_more() -> None:
    rig, gref = console(FakeInput(b"late", at_ns=5000))
    assert rig.ask(READ, gref, 0, 100) == []
    rig.table.revoke(gref)
    rig.pass_time(5000)
    assert rig.rings[0].responses() == [(3, _NOENT, 0)]
    assert rig.ask(READ, rig.grant(DATA), 0, 100) == [(3, 0, 4)], "the input waits for a better one"
    assert rig.memory.read(DATA, 4) == b"late"


def test_an_index_that_lies_while_input_is_awaited() -> None:
    rig, gref = console(FakeInput(b"late", at_ns=5000))
    assert rig.ask(READ, gref, 0, 100) == []
    rig.rings[0].set("request_producer", 100)
    rig.signal()
    assert rig.state("console/0") == "error"
    rig.pass_time(9000)
    assert rig.memory.read(DATA, 4) == bytes(4)


def entropy(seed: int) -> tuple[Rig, int]:
    rig = Rig()
    Entropy(rig.host, rig.domain, seed).start()
    return rig, rig.start("entropy/0")


@pytest.mark.parametrize("n_bytes", [1, 16, 4096])
def test_random_bytes_are_those_of_the_seed(n_bytes: int) -> None:
    seen = []
    for seed in (1, 1, 2):
        rig, gref = entropy(seed)
        assert rig.ask(READ, gref, 0, n_bytes) == [(3, 0, n_bytes)]
        first = rig.memory.read(DATA, n_bytes)
        rig.ask(READ, gref, 0, n_bytes)
        seen.append((first, rig.memory.read(DATA, n_bytes)))
    assert seen[0] == seen[1]
    if n_bytes > 1:
        assert len({seen[0][0], seen[0][1], seen[2][0], seen[2][1]}) == 4


def test_random_bytes_look_like_it() -> None:
    data = RandomBytes(b"seed").take(65536)
    assert all(200 < data.count(value) < 312 for value in range(256))


def test_entropy_refuses() -> None:
    rig, gref = entropy(0)
    assert rig.ask(WRITE, gref, 0, 8) == rig.ask(READ, gref, 4090, 8) == [(3, _INVAL, 0)]
    assert rig.ask(READ, rig.grant(DATA, read_only=True), 0, 8) == [(3, _PERM, 0)]
