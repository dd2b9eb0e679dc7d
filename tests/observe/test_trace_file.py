# SPDX-License-Identifier: GPL-2.0-or-later
"""The trace: the same bytes in every run, tier and transport, and a reader that takes nothing on trust."""

from __future__ import annotations

import io
import re
import tempfile

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pvisor.cpu.engine_start import native_names
from pvisor.cpu.exits import ExitReason
from pvisor.errors import UsageError
from pvisor.machine.console import ConsoleInput, HostInput, NoInput
from pvisor.observe.trace_file import OPERANDS, TracedDomain, TraceReader, TraceRecord, TraceWriter
from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.run import run_domain
from tests.guests.shelf import Shelf

MODES = ("full", "para")
GUESTS = ("hello", "native_exits", "echo", "crash", "halt", "environment")


def traced(config: DomainConfig, text: bytes = b"a line\n") -> tuple[bytes, bytes, RunResult]:
    """A run's trace, its host facts, and its result."""
    file, host = io.BytesIO(), io.BytesIO()
    writer = TraceWriter(file.write, TracedDomain(1, config.kernel.name, config.mode, "0" * 64), host.write)
    with tempfile.TemporaryFile() as typed:
        typed.write(text)
        typed.seek(0)
        given_input: ConsoleInput = HostInput(typed.fileno()) if text else NoInput()
        result = run_domain(config, input=given_input, trace=writer.write)
    writer.finish(result)
    return file.getvalue(), host.getvalue(), result


def records_of(trace: bytes) -> list[TraceRecord]:
    """All records."""
    return list(TraceReader(io.BytesIO(trace), "trace"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("guest", GUESTS)
def test_runs_and_tiers_leave_the_same_bytes(guests: Shelf, guest: str, mode: str) -> None:
    config = DomainConfig(guests(guest, mode), mode=mode)
    first, _, result = traced(config)
    assert first == traced(config)[0], "two runs"
    assert first == traced(DomainConfig(guests(guest, mode), mode=mode, tier="python"))[0], "two tiers"
    assert sum(row.count for row in result.exits.values()) == len(records_of(first))


USED_HERE = {"full": ("cli", "sti", "uart_read", "uart_write"), "para": ("noop",)}
"""Handlers that the guest below uses. tests/full/test_natives.py leaves out each of the left wing's;
tests/para/test_user_mode.py and test_paging_guest.py those of the right."""


@pytest.mark.parametrize(
    ("mode", "native"),
    [(mode, name) for mode in MODES for name in native_names(mode) if name in USED_HERE[mode]],
)
def test_without_one_native_handler(guests: Shelf, mode: str, native: str) -> None:
    kernel = guests("native_exits", mode)
    trace, _, result = traced(DomainConfig(kernel, mode=mode))
    other, _, without = traced(DomainConfig(kernel, mode=mode, without_natives=(native,)))
    assert trace == other
    served = [sum(row.native for row in run.exits.values()) for run in (result, without)]
    assert served[1] <= served[0] - 100, "the handler was in use, and then it was not"


@pytest.mark.parametrize("transport", ["vmcall", "int"])
def test_transports_leave_the_same_bytes(guests: Shelf, transport: str) -> None:
    kernel = guests("hello", "para")
    assert traced(DomainConfig(kernel, transport=transport))[0] == traced(DomainConfig(kernel))[0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("guest", ["hello", "environment", "native_exits"])
def test_virtual_time_never_goes_back(guests: Shelf, guest: str, mode: str) -> None:
    times = [record.virtual_ns for record in records_of(traced(DomainConfig(guests(guest, mode)))[0])]
    assert times == sorted(times)


def test_more_exits_than_the_shim_keeps(guests: Shelf) -> None:
    """The buffer is emptied on the way, and nothing is lost or doubled."""
    n = 70_000
    config = DomainConfig(guests("native_exits", "para"), cmdline=str(n))
    trace, host, _ = traced(config)
    records = records_of(trace)
    assert [record.call for record in records[:n]] == ["noop"] * n and len(records) == n + 2
    first, second, *_, last = (record.virtual_ns for record in records[:n])
    assert last - first == (second - first) * (n - 1)
    facts = list(msgpack.Unpacker(io.BytesIO(host)))
    assert facts[0] == {"format": "pvisor.trace.host", "version": 1}
    assert [index for index, _, _ in facts[1:]] == list(range(n + 2))
    assert [native for _, _, native in facts[1:]].count(True) == n


def test_operands_and_results(guests: Shelf) -> None:
    records = records_of(traced(DomainConfig(guests("hello", "para")))[0])
    first, last = records[0], records[-1]
    assert (first.call, first.reason) == ("console_write", "hypercall")
    assert (first.result, first.outcome) == (40, "resume")
    assert first.operands["size_bytes"] == 40 and list(first.operands) == ["buffer", "size_bytes"]
    assert (last.call, last.operands, last.result, last.outcome) == (
        "shutdown", {"reason": 0, "status": 0}, None, "stop",
    )  # fmt: skip


def test_a_number_without_a_call(guests: Shelf) -> None:
    records = records_of(traced(DomainConfig(guests("unknown_hypercall", "para")))[0])
    unknown = [record for record in records if record.reason == "hypercall" and record.call is None]
    assert unknown and all(record.result == -38 for record in unknown)
    assert list(unknown[0].operands) == ["number", "arg0", "arg1", "arg2", "arg3", "arg4"]


def test_every_record_of_a_pc_names_its_operands(guests: Shelf) -> None:
    by_label = {reason.label: names for reason, names in OPERANDS.items()}
    for record in records_of(traced(DomainConfig(guests("hello", "full")))[0]):
        assert tuple(record.operands) == by_label[record.reason][: len(record.operands)]
        if record.reason in ("io_in", "io_out"):
            assert len(record.operands) == 3


def test_no_host_fact_in_the_header(guests: Shelf) -> None:
    header = TraceReader(io.BytesIO(traced(DomainConfig(guests("hello", "para")))[0]), "trace").header
    assert set(header) == {"format", "version", "domains", "reasons", "operands", "outcomes"}
    assert header["reasons"][int(ExitReason.HYPERCALL)] == "hypercall"
    assert header["domains"] == [{"domid": 1, "name": "hello-para.elf", "mode": "auto", "sha256": "0" * 64}]


def test_the_footer(guests: Shelf) -> None:
    trace, _, result = traced(DomainConfig(guests("crash", "para")))
    reader = TraceReader(io.BytesIO(trace), "trace")
    n_records = len(list(reader))
    assert reader.footer == {
        "ended_by": "crash", "status": 134, "virtual_ns": result.virtual_ns,
        "instructions": result.n_instructions, "records": n_records,
    }  # fmt: skip


# --- files that are no such trace


def packed(*values: object) -> bytes:
    """Values as msgpack."""
    return b"".join(map(msgpack.packb, values))


HEADER = {"format": "pvisor.trace", "version": 1, "domains": [], "reasons": {3: "io_out"}, "operands": {},
          "outcomes": {0: "resume"}}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a trace"),
        (b"#!/bin/sh\n", "not a trace"),
        (bytes(range(64)), "not a trace"),
        (packed([1, 2]), "not a trace"),
        (packed({"format": "other"}), "not a trace"),
        (packed({**HEADER, "version": 2}), "trace of version 2; this pvisor reads 1"),
        (packed({**HEADER, "version": "x"}), "trace of version 'x'"),
        (packed({"format": "pvisor.trace.host", "version": 1}), "host times"),
        (packed({"format": "pvisor.trace", "version": 1}), "damaged"),
        (packed(HEADER, [1, 2, 3]), "damaged"),
        (packed(HEADER, 7), "damaged"),
        (packed(HEADER, [1, 1, 0, 99, 0, [], None, 0]), "damaged"),
        (packed(HEADER, [1, 1, 0, 3, 0, ["x"], None, 0]), "damaged"),
        (packed(HEADER, [1, 1, 0, 3, 0, [], [], 0]), "damaged"),
        (packed(HEADER, [None, 1, 0, 3, 0, [], None, 0]), "damaged"),
        (packed(HEADER) + b"\xc1", "damaged"),
    ],
    ids=range(16),
)
def test_what_is_no_trace_is_refused_in_one_line(content: bytes, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        list(TraceReader(io.BytesIO(content), "file"))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_trace_cut_anywhere_is_read_as_far_as_it_goes(guests: Shelf) -> None:
    trace, _, _ = traced(DomainConfig(guests("hello", "para")))
    whole = records_of(trace)
    start = len(msgpack.packb(TraceReader(io.BytesIO(trace), "trace").header))
    for n_bytes in range(start, len(trace), 7):
        reader = TraceReader(io.BytesIO(trace[:n_bytes]), "trace")
        found = list(reader)
        assert found == whole[: len(found)] and reader.footer is None


@settings(max_examples=200, deadline=None)
@example(b"\x81\x90\x00")  # a map with a list as key
@given(st.binary(max_size=200))
def test_any_bytes_behind_a_header(content: bytes) -> None:
    try:
        list(TraceReader(io.BytesIO(packed(HEADER) + content), "file"))
    except UsageError as error:
        assert re.fullmatch(r"file: damaged trace \(.+\)", str(error), re.DOTALL)


def test_the_layout_in_the_docstring_is_the_layout(guests: Shelf) -> None:
    import pvisor.observe.trace_file as module

    trace, _, _ = traced(DomainConfig(guests("hello", "para")))
    values = list(msgpack.Unpacker(io.BytesIO(trace), strict_map_key=False))
    assert module.__doc__ is not None
    for key in (*values[0], *values[-1]):
        assert f'"{key}"' in module.__doc__
    assert all(len(record) == 8 for record in values[1:-1])
