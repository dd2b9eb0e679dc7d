# SPDX-License-Identifier: GPL-2.0-or-later
"""The paravirtual console: by hypercall, or by a ring. Twin of full/console.py, a 16550 UART.

A hypercall takes a whole buffer. A ring takes many, and brings input by a signal instead of being asked for
it. Both may be used, one after the other: they are ways to the same console.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from pvisor.abi import constants
from pvisor.abi.areas import console as rows
from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.machine.input_watch import InputWatch
from pvisor.para.backend import EINVAL, Host
from pvisor.para.buffers import READ, WRITE, Buffer, BufferBackend
from pvisor.para.hypercalls import Served
from pvisor.para.refusal import GuestError, copy_in, copy_out
from pvisor.para.ring import BackRing

WRITE_MAX = constants.CONSOLE_WRITE_MAX.number
READ_MAX = constants.CONSOLE_READ_MAX.number


def console_write(domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
    """CONSOLE_WRITE(buffer, size_bytes): bytes written."""
    n_bytes = min(exit.args[1], WRITE_MAX)
    if n_bytes == 0:
        return 0
    domain.console.write(copy_in(domain, vcpu, exit.args[0], n_bytes))
    return n_bytes


def console_read(domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
    """CONSOLE_READ(buffer, size_bytes): bytes read, 0 when there are none. Checks the whole range first."""
    buffer, n_bytes = exit.args[0], min(exit.args[1], READ_MAX)
    if n_bytes == 0:
        return 0
    copy_out(domain, vcpu, buffer, copy_in(domain, vcpu, buffer, n_bytes))
    data = domain.input.take(exit.virtual_ns, n_bytes)
    copy_out(domain, vcpu, buffer, data)
    return len(data)


SERVED = Served(answers={rows.CONSOLE_WRITE: console_write, rows.CONSOLE_READ: console_read})
"""For a domain that is not told of its input."""


class ConsoleInputRoom:
    """The same calls for a domain that is told: `signal` raises PV_VIRQ_CONSOLE.

    It is told of input once, and again after it has read some: of what is left, and of what comes. Nothing is
    watched before `watch` is called, so a domain that only asks has no deadlines for it.
    """

    def __init__(self, domain: Domain, signal: Callable[[], None]) -> None:
        self._domain = domain
        self._signal = signal
        self._watch: InputWatch | None = None
        self.served = Served(answers={rows.CONSOLE_WRITE: console_write, rows.CONSOLE_READ: self._read})

    def watch(self) -> None:
        """The guest wants to be told from now on, of input that has come already, too."""
        if self._watch is None:
            self._watch = InputWatch(self._domain.input, self._domain.timers, self._look)
            self._domain.watches.append(self._watch)
        self._expect()

    def _read(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        n_bytes = console_read(domain, vcpu, exit)
        self._expect()
        return n_bytes

    def _expect(self) -> None:
        if self._watch is not None:
            self._watch.set(self._domain.input.next_arrival_ns(self._domain.timers.now()))

    def _look(self) -> None:
        if self._domain.input.has_arrived(self._domain.timers.now()):
            self._signal()
        else:
            self._expect()


class ConsoleRing(BufferBackend):
    """The console of a domain by its ring. Requests to read wait until there is input."""

    def __init__(self, host: Host, domain: Domain) -> None:
        super().__init__(host, domain, "console/0")
        self._empty: deque[Buffer] = deque()
        self._watch = InputWatch(domain.input, domain.timers, self._look)
        domain.watches.append(self._watch)

    def parted(self) -> None:
        """Nobody reads any more."""
        self._empty.clear()
        self._watch.set(None)

    def serve(self) -> None:
        """Print what is to be printed, and take the empty buffers."""
        (ring,) = self.rings
        for data in ring.requests():
            buffer = Buffer.parse(data)
            if not buffer.is_sound or buffer.op not in (READ, WRITE):
                ring.put(buffer.id, EINVAL)
            elif buffer.op == READ:
                self._empty.append(buffer)
            else:
                self._print(ring, buffer)
        self._fill(ring)
        self.finish(ring)

    def _print(self, ring: BackRing, buffer: Buffer) -> None:
        try:
            data = self.fetch(buffer)
        except GuestError as error:
            ring.put(buffer.id, -error.result)
        else:
            self.domain.console.write(data)
            ring.put(buffer.id, 0, len(data))

    def _look(self) -> None:
        """Input may have come."""
        if self.is_connected:
            self._fill(self.rings[0])
            self.finish(self.rings[0])

    def _fill(self, ring: BackRing) -> None:
        input, now_ns = self.domain.input, self.domain.timers.now()
        while self._empty and input.has_arrived(now_ns):
            self._give(ring, self._empty.popleft(), now_ns)
        self._watch.set(input.next_arrival_ns(now_ns) if self._empty else None)

    def _give(self, ring: BackRing, buffer: Buffer, now_ns: int) -> None:
        """Input into a buffer. None of it is taken where the buffer's page cannot be written."""
        try:
            with self.page(buffer.gref, writable=True) as page:
                data = self.domain.input.take(now_ns, buffer.n_bytes)
                page[buffer.offset : buffer.offset + len(data)] = data
        except GuestError as error:
            ring.put(buffer.id, -error.result)
        else:
            ring.put(buffer.id, 0, len(data))
