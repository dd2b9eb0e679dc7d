# SPDX-License-Identifier: GPL-2.0-or-later
"""The SDK's printf prints what the C library's prints."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sdk.native import library

pytestmark = pytest.mark.needs_gcc

Argument = int | bytes | None
Printer = Callable[..., tuple[int, bytes]]

CONSOLE = """
#include <pv/console.h>
#include <pv/string.h>
char written[4096]; size_t n_written; int n_calls; long answer;
long pv_write(const void *buf, size_t size)
{
    if (answer < 0)
        return answer;
    memcpy(written + n_written, buf, size);
    n_written += size;
    n_calls++;
    return (long)size;
}
"""


@pytest.fixture(scope="module")
def sdk(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    sources = ["common/format.c", "common/printf.c", "common/console.c"]
    return library(repo_root, tmp_path_factory.mktemp("printf"), sources, CONSOLE)


def printer(function: Callable[..., int]) -> Printer:
    def call(size: int, template: bytes, *arguments: Argument) -> tuple[int, bytes]:
        buffer = ctypes.create_string_buffer(b"\xaa" * 2000, 2000)
        values = [ctypes.c_int64(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
        length = function(buffer, ctypes.c_size_t(size), template, *values)
        return length, bytes(buffer)

    return call


@pytest.fixture(scope="module")
def ours(sdk: ctypes.CDLL) -> Printer:
    return printer(sdk.pv_snprintf)


@pytest.fixture(scope="module")
def theirs() -> Printer:
    return printer(ctypes.CDLL(None).snprintf)


CASES: list[tuple[bytes, tuple[Argument, ...]]] = [
    (b"", ()),
    (b"plain", ()),
    (b"100%%", ()),
    (b"%d|%i|%u", (-1, 2147483647, 4294967295)),
    (b"%d", (-2147483648,)),
    (b"%ld %lld %zd %jd %td", (-(2**63), 2**63 - 1, -1, -2, -3)),
    (b"%lu %llu %zu", (2**64 - 1, 2**64 - 1, 2**63)),
    (b"%hhd %hd %hhu %hu", (0x1FF, 0x1FFFF, 0x1FF, 0x1FFFF)),
    (b"%x %X %#x %#X %#x %o %#o %#o", (48879, 48879, 48879, 48879, 0, 8, 8, 0)),
    (b"[%5d] [%-5d] [%05d] [%+d] [% d] [%+5d] [%-+5d]", (42, 42, 42, 42, 42, 42, 42)),
    (b"[%.3d] [%8.3d] [%-8.3d] [%08.3d] [%.0d] [%5.0d] [%.d]", (7, 7, 7, 7, 0, 0, 0)),
    (b"[%#10x] [%#010x] [%-#10x] [%#.4x] [%#.0x]", (255, 255, 255, 255, 0)),
    (b"[%#.3o] [%#.2o] [%#5o] [%#05o]", (8, 8, 8, 8)),
    (b"[%*d] [%*d] [%.*d] [%.*d] [%*.*d]", (6, 42, -6, 42, 4, 42, -1, 42, 8, 4, 42)),
    (b"[%s] [%10s] [%-10s] [%.2s] [%.0s] [%.10s] [%5.1s]", (b"abc",) * 7),
    (b"[%s] [%.3s] [%.6s]", (None, None, None)),
    (b"[%c] [%3c] [%-3c]", (65, 66, 67)),
    (b"%p [%20p] [%-20p] %p [%8p]", (0x1234, 0x200000, 0x200000, None, None)),
    (b"%5%", ()),
    (b"one %d two %s three %lx.", (1, b"2", 3)),
]


@pytest.mark.parametrize(("template", "arguments"), CASES, ids=[case[0].decode() for case in CASES])
def test_prints_as_the_c_library_does(
    ours: Printer, theirs: Printer, template: bytes, arguments: tuple[Argument, ...]
) -> None:
    assert ours(1000, template, *arguments) == theirs(1000, template, *arguments)


@pytest.mark.parametrize("size", [0, 1, 2, 5, 6, 7])
def test_cuts_where_the_buffer_ends(ours: Printer, theirs: Printer, size: int) -> None:
    assert ours(size, b"%d-%s", 123, b"ab") == theirs(size, b"%d-%s", 123, b"ab")


@pytest.mark.parametrize("template", [b"%q", b"%5y|", b"%-08.3lk.", b"end %", b"%l"])
def test_an_unknown_conversion_is_printed_as_written(ours: Printer, template: bytes) -> None:
    length, text = ours(1000, template)
    assert text[: length + 1] == template + b"\0"


WIDTHS = st.one_of(st.just(""), st.integers(1, 40).map(str))
PRECISIONS = st.one_of(st.just(""), st.just("."), st.integers(0, 40).map(lambda n: f".{n}"))


@st.composite
def number_conversions(draw: st.DrawFn) -> tuple[bytes, int]:
    flags = "".join(draw(st.lists(st.sampled_from("-+ #0"), max_size=5)))
    size = draw(st.sampled_from(["", "hh", "h", "l", "ll", "z", "t", "j"]))
    conversion = draw(st.sampled_from("diuxXo"))
    value = draw(st.one_of(st.integers(-300, 300), st.integers(-(2**63), 2**64 - 1)))
    return f"<%{flags}{draw(WIDTHS)}{draw(PRECISIONS)}{size}{conversion}>".encode(), value


@settings(max_examples=1500, deadline=None)
@given(case=number_conversions())
def test_any_number(ours: Printer, theirs: Printer, case: tuple[bytes, int]) -> None:
    assert ours(1000, *case) == theirs(1000, *case)


@settings(max_examples=300, deadline=None)
@given(
    left=st.sampled_from(["", "-"]), width=WIDTHS, precision=PRECISIONS,
    text=st.binary(max_size=60).map(lambda data: data.replace(b"\0", b"")),
)
def test_any_string(
    ours: Printer, theirs: Printer, left: str, width: str, precision: str, text: bytes
) -> None:
    template = f"<%{left}{width}{precision}s>".encode()
    assert ours(1000, template, text) == theirs(1000, template, text)


def written(sdk: ctypes.CDLL, size: int) -> bytes:
    return bytes((ctypes.c_char * 4096).in_dll(sdk, "written"))[:size]


def reset(sdk: ctypes.CDLL, answer: int = 0) -> tuple[ctypes.c_int, ctypes.c_size_t]:
    n_calls = ctypes.c_int.in_dll(sdk, "n_calls")
    n_written = ctypes.c_size_t.in_dll(sdk, "n_written")
    n_calls.value = n_written.value = 0
    ctypes.c_long.in_dll(sdk, "answer").value = answer
    return n_calls, n_written


@pytest.mark.parametrize(("width", "n_writes"), [(10, 1), (255, 1), (256, 1), (257, 2), (1000, 4)])
def test_printf_writes_in_pieces_as_large_as_possible(sdk: ctypes.CDLL, width: int, n_writes: int) -> None:
    n_calls, n_written = reset(sdk)
    assert sdk.pv_printf(b"%*d", width, 7) == width
    assert (n_calls.value, n_written.value) == (n_writes, width)
    assert written(sdk, width) == b"7".rjust(width)


def test_printf_gives_the_consoles_error(sdk: ctypes.CDLL) -> None:
    reset(sdk, answer=-14)
    assert sdk.pv_printf(b"%1000d", 7) == -14


def test_puts_writes_text_and_newline_at_once(sdk: ctypes.CDLL) -> None:
    n_calls, _ = reset(sdk)
    assert sdk.pv_puts(b"hello") == 6
    assert (n_calls.value, written(sdk, 6)) == (1, b"hello\n")
