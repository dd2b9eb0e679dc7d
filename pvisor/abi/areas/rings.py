# SPDX-License-Identifier: GPL-2.0-or-later
"""The rings of devices: one layout for all. There are no calls: signals are event channels, pages are grants.

A ring is one page that the frontend grants to the backend: a header, then `n` requests, then `n` responses,
`n` a power of two. Indices count from 0 on and never stop: the slot of index i is i modulo n, and indices
wrap from 2^32 - 1 to 0.
"""

from __future__ import annotations

from pvisor.abi.model import Constant, CType, Field, Hypercall, Struct

GROUP = "Rings"
BLOCK = "Block device"
BUFFERS = "Net, console and entropy devices"

HEADER_BYTES = Constant("PV_RING_HEADER_BYTES", 64, "the first request's offset in the page", GROUP)

BLOCK_SLOTS = Constant("PV_BLOCK_SLOTS", 32, "requests, and responses, of a block ring", BLOCK)
BLOCK_SEGMENTS = Constant("PV_BLOCK_SEGMENTS", 8, "most segments of a block request", BLOCK)
SECTOR_BYTES = Constant("PV_BLOCK_SECTOR_BYTES", 512, "bytes in a sector", BLOCK)
DISCARD_MAX = Constant("PV_BLOCK_DISCARD_MAX", 1 << 13, "most sectors that one request discards", BLOCK)
BLOCK_READ = Constant("PV_BLOCK_READ", 0, "sectors to segments", BLOCK)
BLOCK_WRITE = Constant("PV_BLOCK_WRITE", 1, "segments to sectors", BLOCK)
BLOCK_FLUSH = Constant("PV_BLOCK_FLUSH", 2, "writes answered so far are safe when this is answered", BLOCK)
BLOCK_DISCARD = Constant("PV_BLOCK_DISCARD", 3, "sectors read as zeros from now on", BLOCK)

BUFFER_SLOTS = Constant("PV_BUFFER_SLOTS", 64, "requests, and responses, of their rings", BUFFERS)
BUFFER_WRITE = Constant("PV_BUFFER_WRITE", 0, "the buffer's bytes go out", BUFFERS)
BUFFER_READ = Constant("PV_BUFFER_READ", 1, "the buffer takes what comes in", BUFFERS)

CONSTANTS: tuple[Constant, ...] = (
    HEADER_BYTES, BLOCK_SLOTS, BLOCK_SEGMENTS, SECTOR_BYTES, DISCARD_MAX,
    BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BUFFER_SLOTS, BUFFER_WRITE, BUFFER_READ,
)  # fmt: skip

_FRONTEND, _BACKEND = "frontend", "backend"

HEADER = Struct(
    "pv_ring_header",
    "The beginning of a ring's page. The frontend sets it up: producers 0, events 1.",
    (
        Field("request_producer", CType.U32, "requests below this index are there", writer=_FRONTEND),
        Field("request_event", CType.U32, "signal the backend when request_producer reaches this",
              writer=_BACKEND),
        Field("response_producer", CType.U32, "responses below this index are there", writer=_BACKEND),
        Field("response_event", CType.U32, "signal the frontend when response_producer reaches this",
              writer=_FRONTEND),
        Field("reserved", CType.U32, "0", 12),
    ),
    grows=False,
)  # fmt: skip

SEGMENT = Struct(
    "pv_block_segment",
    "A part of a granted page that a block request reads or writes.",
    (
        Field("gref", CType.U32, "the page, granted to the backend"),
        Field("offset", CType.U16, "first byte in the page"),
        Field("n_bytes", CType.U16, "a multiple of 512, and not 0"),
    ),
    grows=False,
)

BLOCK_REQUEST = Struct(
    "pv_block_request",
    "A request of a block ring.",
    (
        Field("id", CType.U32, "the frontend's: comes back in the response"),
        Field("op", CType.U16, "PV_BLOCK_READ and so on"),
        Field("n_segments", CType.U16, "READ, WRITE: 1 to 8; else 0"),
        Field("sector", CType.U64, "the first sector; FLUSH: 0"),
        Field("n_sectors", CType.U64, "READ, WRITE: what the segments hold; DISCARD: 1 to 8192; FLUSH: 0"),
        Field("segments", SEGMENT, "in the order of the sectors", 8),
    ),
    grows=False,
)

BUFFER_REQUEST = Struct(
    "pv_buffer_request",
    "A request of a net, console or entropy ring.",
    (
        Field("id", CType.U32, "the frontend's: comes back in the response"),
        Field("op", CType.U32, "PV_BUFFER_WRITE or PV_BUFFER_READ, as far as the ring knows it"),
        Field("gref", CType.U32, "the buffer's page, granted to the backend"),
        Field("offset", CType.U16, "first byte in the page"),
        Field("n_bytes", CType.U16, "the buffer's size, at least 1"),
    ),
    grows=False,
)

RESPONSE = Struct(
    "pv_ring_response",
    "A response, of every ring.",
    (
        Field("id", CType.U32, "the request's"),
        Field("status", CType.U32, "0, or the number of an error, positive"),
        Field("n_bytes", CType.U32, "bytes that went or came"),
        Field("reserved", CType.U32, "0"),
    ),
    grows=False,
)

STRUCTS: tuple[Struct, ...] = (HEADER, SEGMENT, BLOCK_REQUEST, BUFFER_REQUEST, RESPONSE)

CALLS: tuple[Hypercall, ...] = ()
