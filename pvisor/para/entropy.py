# SPDX-License-Identifier: GPL-2.0-or-later
"""The entropy device: buffers filled with random bytes, the same in each run with the same seed.

It has no twin: the CPU of a PC has an instruction for it, which pvisor leaves out so that runs repeat.
"""

from __future__ import annotations

import hashlib

from pvisor.domain.domain import Domain
from pvisor.para.backend import EINVAL, Host
from pvisor.para.buffers import READ, Buffer, BufferBackend


class RandomBytes:
    """An endless stream of bytes from a seed: SHAKE-256 of the seed and a counter, block by block."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._n_blocks = 0

    def take(self, n_bytes: int) -> bytes:
        """The next bytes. Each call begins a block of its own."""
        self._n_blocks += 1
        return hashlib.shake_256(self._seed + self._n_blocks.to_bytes(8, "little")).digest(n_bytes)


class Entropy(BufferBackend):
    """A source of random bytes for one domain."""

    def __init__(self, host: Host, domain: Domain, seed: int = 0) -> None:
        super().__init__(host, domain, "entropy/0")
        self._random = RandomBytes(f"pvisor entropy {seed} {domain.domid}".encode())

    def serve(self) -> None:
        """Fill the buffers."""
        (ring,) = self.rings
        for data in ring.requests():
            buffer = Buffer.parse(data)
            if buffer.is_sound and buffer.op == READ:
                self.answer(ring, buffer, self._random.take(buffer.n_bytes))
            else:
                ring.put(buffer.id, EINVAL)
        self.finish(ring)
