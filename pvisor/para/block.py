# SPDX-License-Identifier: GPL-2.0-or-later
"""The block device: a ring of requests, whose data lie in granted pages. Twin of full/block.py, an ATA disk.

Nothing waits here: a request is done when it is taken, in the order of the ring. All of a request is checked,
and all its pages are mapped, before the disk is touched.
"""

from __future__ import annotations

import struct
from contextlib import ExitStack
from dataclasses import dataclass

from pvisor.abi.areas import rings
from pvisor.domain.domain import Domain
from pvisor.machine.disk import SECTOR_BYTES, DiskError, DiskImage
from pvisor.machine.memory import PAGE_BYTES
from pvisor.para.backend import EINVAL, EIO, EPERM, Backend, Host
from pvisor.para.refusal import GuestError
from pvisor.para.ring import BLOCK_RING

READ, WRITE, FLUSH, DISCARD = (
    row.number for row in (rings.BLOCK_READ, rings.BLOCK_WRITE, rings.BLOCK_FLUSH, rings.BLOCK_DISCARD)
)
MAX_SEGMENTS = rings.BLOCK_SEGMENTS.number
DISCARD_MAX = rings.DISCARD_MAX.number

_HEAD = struct.Struct("<IHHQQ")
_SEGMENT = struct.Struct("<IHH")


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it was copied. A segment: gref, offset, bytes."""

    id: int
    op: int
    sector: int
    n_sectors: int
    segments: tuple[tuple[int, int, int], ...]

    @classmethod
    def parse(cls, data: bytes) -> Request | None:
        """None where it has more segments than there is room for."""
        request_id, op, n_segments, sector, n_sectors = _HEAD.unpack_from(data)
        if n_segments > MAX_SEGMENTS:
            return None
        at = range(_HEAD.size, _HEAD.size + n_segments * _SEGMENT.size, _SEGMENT.size)
        segments = tuple(_SEGMENT.unpack_from(data, i) for i in at)
        return cls(request_id, op, sector, n_sectors, segments)

    @property
    def is_sound(self) -> bool:
        """Do its members fit together?"""
        if self.op in (READ, WRITE):
            n_bytes = sum(n for _, _, n in self.segments)
            return n_bytes == self.n_sectors * SECTOR_BYTES != 0 and all(
                n and n % SECTOR_BYTES == 0 and offset + n <= PAGE_BYTES for _, offset, n in self.segments
            )
        if self.segments:
            return False
        if self.op == DISCARD:
            return 0 < self.n_sectors <= DISCARD_MAX
        return self.op == FLUSH and self.sector == self.n_sectors == 0


class Block(Backend):
    """A disk of the host, as a block device."""

    ring_kind = BLOCK_RING

    def __init__(self, host: Host, domain: Domain, disk: DiskImage, index: int = 0) -> None:
        super().__init__(host, domain, f"block/{index}")
        self._disk = disk

    def facts(self) -> dict[str, str]:
        """Size, and whether it may be written."""
        return {"sectors": str(self._disk.n_sectors), "mode": "ro" if self._disk.read_only else "rw"}

    def serve(self) -> None:
        """Do what has been asked."""
        (ring,) = self.rings
        for data in ring.requests():
            request = Request.parse(data)
            if request is None:
                ring.put(int.from_bytes(data[:4], "little"), EINVAL)
                continue
            status = self._do(request)
            ring.put(request.id, status, 0 if status else sum(n for _, _, n in request.segments))
        self.finish(ring)

    def _do(self, request: Request) -> int:
        """A request's status."""
        end = request.sector + request.n_sectors
        if not request.is_sound or end > self._disk.n_sectors:
            return EINVAL
        if self._disk.read_only and request.op in (WRITE, DISCARD):
            return EPERM
        try:
            if request.op == FLUSH:
                self._disk.flush()
            elif request.op == DISCARD:
                self._disk.discard(request.sector, request.n_sectors)
            else:
                self._transfer(request)
        except GuestError as error:
            return -error.result
        except DiskError:
            return EIO
        return 0

    def _transfer(self, request: Request) -> None:
        is_read = request.op == READ
        with ExitStack() as mapped:
            parts = [
                mapped.enter_context(self.page(gref, writable=is_read))[offset : offset + n]
                for gref, offset, n in request.segments
            ]
            if not is_read:
                self._disk.write(request.sector, b"".join(parts))
                return
            data, at = self._disk.read(request.sector, request.n_sectors), 0
            for part in parts:
                part[:] = data[at : at + len(part)]
                at += len(part)
