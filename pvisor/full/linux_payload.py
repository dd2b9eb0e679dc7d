# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel inside a bzImage, unpacked by libraries: for its PVH entry, which its ELF file has.

Source: Linux, Documentation/arch/x86/boot.rst (payload_offset: the formats and their magic numbers) and
scripts/Makefile.lib: behind all formats but gzip comes the unpacked size, in 4 bytes. LZ4 is the legacy
frame of lz4 (doc/lz4_Frame_format.md): blocks of 8 MiB, each behind its packed size.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

from pvisor.errors import GuestRefused, UsageError
from pvisor.full.linux_boot import LinuxImage
from pvisor.machine.elf import MAX_FILE_BYTES

ELF_MAGIC = b"\x7fELF"
SIZE_BYTES = 4
MAX_UNPACKED_BYTES = MAX_FILE_BYTES >> 2
LZ4_BLOCK_BYTES = 8 << 20
LZMA_MEMORY_BYTES = 256 << 20
"""A file says how large a dictionary it wants: kernels 32 MiB (scripts/xz_wrap.sh), a hostile one 4 GiB."""


class _Decompressor(Protocol):
    """What zlib, bz2 and lzma have in common."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Unpack up to so many bytes."""


def unpack(image: LinuxImage) -> bytes:
    """The ELF file inside a bzImage.

    Raises GuestRefused for a payload that is missing, damaged, of another format or too large, UsageError
    where the library for its format is not installed.
    """
    header = image.header
    start, n_bytes = header.code_start + header.payload_offset, header.payload_length
    if not header.payload_offset or not n_bytes:
        raise GuestRefused(
            f"{image.path}: says of no payload in it that could be entered by PVH; "
            "give --entry linux32, or no --entry"
        )
    if start + n_bytes > header.code_end:
        raise GuestRefused(f"{image.path}: its payload ends at byte {start + n_bytes}, its code before that")
    payload = image.content[start : start + n_bytes]
    max_bytes = min(header.init_size or MAX_UNPACKED_BYTES, MAX_UNPACKED_BYTES)
    name, unpacker = _format(payload)
    if unpacker is None:
        raise GuestRefused(f"{image.path}: its payload is of an unknown format ({payload[:4].hex(' ')})")
    try:
        elf = unpacker(payload, max_bytes + 1)
    except ImportError as error:
        raise UsageError(
            f"{image.path}: its payload is packed by {name}, which needs the library {error.name}; "
            "install pvisor[linux], or leave --entry out"
        ) from None
    except Exception as error:  # whatever the library trips over in a damaged file
        raise GuestRefused(f"{image.path}: its payload is damaged ({name}: {error})") from error
    if len(elf) > max_bytes:
        raise GuestRefused(f"{image.path}: its payload is larger than the {max_bytes} bytes it may have")
    if elf[:4] != ELF_MAGIC:
        raise GuestRefused(f"{image.path}: its payload is no ELF file")
    return elf


def _format(payload: bytes) -> tuple[str, Callable[[bytes, int], bytes] | None]:
    formats: tuple[tuple[bytes, str, Callable[[bytes, int], bytes]], ...] = (
        (ELF_MAGIC, "nothing", lambda data, max_bytes: data[:max_bytes]),
        (b"\x1f\x8b", "gzip", lambda data, n: _stream(zlib.decompressobj(wbits=31), data, n)),
        (b"BZ", "bzip2", lambda data, n: _stream(bz2.BZ2Decompressor(), data, n)),
        (b"\x5d\x00", "LZMA", lambda data, n: _lzma(lzma.FORMAT_ALONE, data, n)),
        (b"\xfd7", "XZ", lambda data, n: _lzma(lzma.FORMAT_XZ, data, n)),
        (b"\x02\x21", "LZ4", _lz4),
        (b"\x28\xb5", "Zstandard", _zstd),
    )
    found = next(((name, how) for magic, name, how in formats if payload.startswith(magic)), None)
    return found if found is not None else ("", None)


def _stream(decompressor: _Decompressor, data: bytes, max_bytes: int) -> bytes:
    return decompressor.decompress(data, max_bytes)


def _lzma(form: int, data: bytes, max_bytes: int) -> bytes:
    return lzma.LZMADecompressor(form, LZMA_MEMORY_BYTES).decompress(data, max_bytes)


def _lz4(data: bytes, max_bytes: int) -> bytes:
    import lz4.block

    unpacked, at, end = bytearray(), 4, len(data) - SIZE_BYTES
    while at + 4 <= end and len(unpacked) < max_bytes:
        n_bytes = int.from_bytes(data[at : at + 4], "little")
        block = data[at + 4 : min(at + 4 + n_bytes, end)]
        unpacked += lz4.block.decompress(block, uncompressed_size=LZ4_BLOCK_BYTES)
        at += 4 + n_bytes
    return bytes(unpacked)


def _zstd(data: bytes, max_bytes: int) -> bytes:
    import zstandard

    with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(data) as reader:
        return reader.read(max_bytes)
