# SPDX-License-Identifier: GPL-2.0-or-later
"""The setup header of a bzImage: fields by their versions, and contradictions refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvisor.errors import GuestRefused
from pvisor.full.linux_header import SetupHeader, read_header
from tests.full.bzimages import CODE_START, MIB, bzimage

KERNEL = Path("vmlinuz")


def header_of(content: bytes) -> SetupHeader:
    return read_header(KERNEL, content)


def test_the_fields() -> None:
    header = header_of(bzimage(bytes(1000), payload_offset=0x20, payload_length=0x30))
    assert header == SetupHeader(
        0x20F, 0x26C, CODE_START, CODE_START + 1000, 0x7FFF_FFFF, 2 * MIB, True, 1, 2047, 0x20, 0x30,
        16 * MIB, 4 * MIB, "",
    )  # fmt: skip
    assert header.protocol == "2.15" and header.has_64bit_entry


def test_fields_that_the_version_does_not_have() -> None:
    header = header_of(bzimage(version=0x204))
    assert (header.is_relocatable, header.kernel_alignment, header.cmdline_size) == (False, 1, 255)
    assert (header.pref_address, header.init_size, header.xloadflags) == (0, 0, 0)
    header = header_of(bzimage(version=0x206))
    assert (header.is_relocatable, header.cmdline_size, header.pref_address) == (True, 2047, 0)
    header = header_of(bzimage(version=0x20A))
    assert (header.pref_address, header.init_size, header.has_64bit_entry) == (16 * MIB, 4 * MIB, False)


def test_fields_behind_the_end_of_the_header_are_not_there() -> None:
    header = header_of(bzimage(header_end=0x258))
    assert (header.pref_address, header.init_size, header.end) == (0, 0, 0x258)
    assert header_of(bzimage(header_end=0x25F)).pref_address == 0


def test_no_setup_sectors_mean_four() -> None:
    header = header_of(bzimage(bytes(8192), setup_sects=0, syssize=64))
    assert (header.code_start, header.code_end) == (5 * 512, 5 * 512 + 1024)


def test_the_last_paragraph_may_lack_bytes_and_what_follows_is_no_code() -> None:
    assert header_of(bzimage(b"\xf4" * 17, xloadflags=0)).code_end == CODE_START + 17
    assert header_of(bzimage(b"\xf4" * 64, syssize=2, xloadflags=0)).code_end == CODE_START + 32


def test_the_kernels_own_name() -> None:
    def name(pointer: int, text: bytes) -> str:
        content = bytearray(bzimage(kernel_version=pointer))
        content[0x300 : 0x300 + len(text)] = text
        return header_of(bytes(content)).kernel_version

    assert name(0x100, b"6.1.0 (gcc)\0rest") == "6.1.0 (gcc)"
    assert name(0x100, b"6.1\x1b[2J\n\xff\0") == "6.1[2J\N{REPLACEMENT CHARACTER}"
    assert name(0, b"6.1\0") == name(0xFFF0, b"6.1\0") == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bzimage()[:0x260], "setup header ends at byte 620, the file at 608"),
        (bzimage(jump=0), "no jump over its setup header"),
        (bzimage(n_jump=0x80), "no jump over its setup header"),
        (bzimage(version=0x204, n_jump=0) + bytes(2), "a zImage"),
        (bytes(bzimage()).replace(b"HdrS\x0f\x02", b"HdrS\x03\x02"), r"boot protocol 2\.03; 2\.04"),
        (bzimage(loadflags=0x80), "a zImage, which is loaded below 640 KiB"),
        (bzimage(bytes(64))[:-32], "cut off: its code ends at byte 1600, the file at 1568"),
        (bzimage(syssize=0xFFFF_FFFF), "cut off: its code ends at byte 68719478256"),
        (bzimage(syssize=0, xloadflags=0), r"no code \(syssize is 0\)"),
        (bzimage(kernel_alignment=0), "kernel_alignment, 0x0, is no power of 2"),
        (bzimage(kernel_alignment=3 * MIB), "kernel_alignment, 0x300000, is no power of 2"),
        (bzimage(bytes(0x200)), "64-bit entry point .* is behind the end"),
    ],
)
def test_contradictions(content: bytes, words: str) -> None:
    with pytest.raises(
        GuestRefused, match=f"^vmlinuz: a Linux kernel that cannot be loaded: .*{words}"
    ) as why:
        header_of(content)
    assert "\n" not in str(why.value)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_bytes_are_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(bzimage(bytes(0x300)))
    for at in data.draw(st.lists(st.integers(0x1F1, 0x270), max_size=8)):
        content[at] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0x206, len(content)))]
    try:
        header = header_of(bytes(content))
    except GuestRefused as why:
        assert "\n" not in str(why)
    else:
        assert 0x206 <= header.end <= 0x281 and len(content) >= CODE_START
        assert header.code_start < header.code_end <= len(content)
