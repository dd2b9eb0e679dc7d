# SPDX-License-Identifier: GPL-2.0-or-later
"""The SDK's memory functions do what the C standard says, at every alignment and overlap."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from tests.sdk.native import library

pytestmark = pytest.mark.needs_gcc

NAMES = ("memcpy", "memmove", "memset", "memcmp", "strlen")
SIZES = (0, 1, 7, 8, 9, 16, 31, 100)


@pytest.fixture(scope="module")
def sdk(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    renamed = [f"-D{name}=sdk_{name}" for name in NAMES]  # beside the C library's own
    return library(repo_root, tmp_path_factory.mktemp("string"), ["common/string.c"], "", *renamed)


def address(buffer: ctypes.Array[ctypes.c_char], offset: int) -> ctypes.c_void_p:
    return ctypes.c_void_p(ctypes.addressof(buffer) + offset)


@pytest.mark.parametrize("name", ["memcpy", "memmove"])
@pytest.mark.parametrize("size", SIZES)
def test_copies(sdk: ctypes.CDLL, name: str, size: int) -> None:
    function = getattr(sdk, f"sdk_{name}")
    function.restype = ctypes.c_void_p
    for shift in range(9):
        source = bytes(range(200))
        buffer = ctypes.create_string_buffer(b"." * 200, 200)
        assert function(address(buffer, 3), source[shift:], ctypes.c_size_t(size)) == address(buffer, 3).value
        assert buffer.raw == b"..." + source[shift : shift + size] + b"." * (197 - size)


@pytest.mark.parametrize("size", SIZES)
def test_memmove_with_overlap(sdk: ctypes.CDLL, size: int) -> None:
    for to in range(20):
        start = bytes(range(200))
        buffer = ctypes.create_string_buffer(start, 200)
        sdk.sdk_memmove(address(buffer, to), address(buffer, 10), ctypes.c_size_t(size))
        assert buffer.raw == start[:to] + start[10 : 10 + size] + start[to + size :]


@pytest.mark.parametrize("size", SIZES)
def test_memset(sdk: ctypes.CDLL, size: int) -> None:
    for value in (0, 0x5A, 0x1FF, -1):
        buffer = ctypes.create_string_buffer(b"." * 200, 200)
        sdk.sdk_memset(address(buffer, 5), value, ctypes.c_size_t(size))
        assert buffer.raw == b"....." + bytes([value & 255]) * size + b"." * (195 - size)


@pytest.mark.parametrize(
    ("a", "b", "sign"), [(b"", b"", 0), (b"same", b"same", 0), (b"abc", b"abd", -1), (b"\xff", b"\x01", 1)]
)
def test_memcmp(sdk: ctypes.CDLL, a: bytes, b: bytes, sign: int) -> None:
    assert sdk.sdk_memcmp(a, b, ctypes.c_size_t(len(a))) == sign


def test_strlen(sdk: ctypes.CDLL) -> None:
    sdk.sdk_strlen.restype = ctypes.c_size_t
    assert [sdk.sdk_strlen(b"x" * size) for size in SIZES] == list(SIZES)
