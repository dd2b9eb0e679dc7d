# SPDX-License-Identifier: GPL-2.0-or-later
"""The trace file, version 1: every exit of a run, in order. Only this file knows msgpack.

A trace holds virtual facts only, so the same guest with the same input gives the same bytes: in every run, in
either tier, by every transport. It is a sequence of msgpack values:

    header   {"format": "pvisor.trace", "version": 1,
              "domains": [{"domid", "name", "mode", "sha256"}, ...],      sha256 of the guest's file; and
                                           "cpu" and "seed", where `pvisor run` was given a CPU and a seed
              "reasons": {number: label}, "operands": {number: [name, ...]}, "outcomes": {number: label}}
    record   [virtual_ns, domid, vcpu, reason, rip, [operand, ...], result, outcome]
    ...
    footer   {"ended_by", "status", "virtual_ns", "instructions", "records"}

There is one record an exit, so one for each access to an I/O port. `vcpu` is the number of the vCPU in its
domain. The records of a domain's vCPUs are merged by virtual time, and at one time stand in the order of the
vCPUs. An exit is recorded when it is over: one in which a vCPU slept until after the buffer of another was
full comes late.

Operands are those that `operands` names for the reason, or fewer where the exit came to nothing before they
were known; a hypercall's are its number and then its arguments, as many as the ABI gives it (all five for a
number without a call). `result` is what a hypercall returned, nil for one that did not return and for all
other reasons. What the hypervisor does for itself (budget, kick, a full buffer) is no exit of the guest and
not recorded. A file without its footer was cut short.

Host facts go to a side file, written with `--trace-host`: a header {"format": "pvisor.trace.host", "version":
1}, then [index of the record, nanoseconds since the first record, served in C?] for each record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import IO, Any, Final

import msgpack

from pvisor.abi import calls
from pvisor.cpu.exits import ExitReason
from pvisor.domain.outcome import Outcome
from pvisor.errors import UsageError
from pvisor.vmm.config import RunResult

FORMAT: Final = "pvisor.trace"
HOST_FORMAT: Final = "pvisor.trace.host"
VERSION: Final = 1
N_HYPERCALL_ARGS: Final = 5
ByteSink = Callable[[bytes], object]

_IO = ("ioport", "size_bytes", "value")
_FAULT = ("vector", "error_code")
OPERANDS: Final[Mapping[ExitReason, tuple[str, ...]]] = {
    ExitReason.HYPERCALL: ("number", "arg0", "arg1", "arg2", "arg3", "arg4"),
    ExitReason.IO_IN: _IO,
    ExitReason.IO_OUT: _IO,
    ExitReason.CPUID: ("leaf",),
    ExitReason.MOV_CR: ("register", "value"),
    ExitReason.MOV_DR: ("register", "value"),
    ExitReason.DESCRIPTOR_TABLE: ("base", "limit"),
    ExitReason.SEGMENT_LOAD: ("selector",),
    ExitReason.FAR_TRANSFER: ("selector", "target"),
    ExitReason.XSETBV: ("register", "value"),
    ExitReason.RDMSR: ("msr",),
    ExitReason.WRMSR: ("msr", "value"),
    ExitReason.INVLPG: ("address",),
    ExitReason.GENERAL_PROTECTION: _FAULT,
    ExitReason.SHADOW_FILL: ("address", "error_code"),
    ExitReason.PAGE_FAULT: ("address", "error_code"),
    ExitReason.INVALID_OPCODE: _FAULT,
    ExitReason.SOFT_INT: ("vector",),
    ExitReason.EXCEPTION: _FAULT,
    ExitReason.IRET: ("selector", "target"),
    ExitReason.SEGMENT_QUERY: ("selector",),
    ExitReason.USER_IO: ("ioport", "size_bytes"),
    ExitReason.MMIO: ("gpa", "size_bytes", "value", "is_write"),
}
"""What the operands of a reason mean. MOV_CR and MOV_DR have a value when they write; MMIO has its access in
the mode `emu` only, for in `full` it may be several of one instruction."""


@dataclass(frozen=True, slots=True)
class TracedDomain:
    """A domain as the header has it."""

    domid: int
    name: str
    mode: str
    sha256: str
    cpu: str = ""
    """As `--cpu` had it; not in the header where it was not given."""
    seed: int = 0
    """As `--seed` had it, likewise."""


class TraceWriter:
    """Turns one domain's exits into bytes for a sink: hand `write` to `run_domain`, then `finish`."""

    def __init__(self, sink: ByteSink, domain: TracedDomain, host_sink: ByteSink | None = None) -> None:
        self._sink = sink
        self._host_sink = host_sink
        self._domid = domain.domid
        self._pack = msgpack.Packer().pack
        self._n_records = 0
        self._first_host_ns = 0
        sink(self._pack(_header(domain)))
        if host_sink is not None:
            host_sink(self._pack({"format": HOST_FORMAT, "version": VERSION}))

    def write(self, records: Sequence[Any]) -> None:
        """Append records (`pv_record`)."""
        pack, domid = self._pack, self._domid
        self._sink(b"".join(pack(_record(record, domid)) for record in records))
        if self._host_sink is not None and records:
            if self._n_records == 0:
                self._first_host_ns = records[0].host_ns
            first = self._first_host_ns
            self._host_sink(b"".join(
                pack((i, record.host_ns - first, bool(record.native)))
                for i, record in enumerate(records, start=self._n_records)
            ))  # fmt: skip
        self._n_records += len(records)

    def finish(self, result: RunResult) -> None:
        """The run is over."""
        footer = {
            "ended_by": result.ending.ended_by.value,
            "status": result.ending.status,
            "virtual_ns": result.virtual_ns,
            "instructions": result.n_instructions,
            "records": self._n_records,
        }
        self._sink(self._pack(footer))


def _header(domain: TracedDomain) -> dict[str, object]:
    traced = [reason for reason in ExitReason if ExitReason.NONE < reason < ExitReason.BUDGET]
    return {
        "format": FORMAT,
        "version": VERSION,
        "domains": [{
            "domid": domain.domid, "name": domain.name, "mode": domain.mode, "sha256": domain.sha256,
            **({"cpu": domain.cpu} if domain.cpu else {}), **({"seed": domain.seed} if domain.seed else {}),
        }],
        "reasons": {int(reason): reason.label for reason in traced},
        "operands": {int(reason): list(names) for reason, names in OPERANDS.items()},
        "outcomes": {int(outcome): outcome.name.lower() for outcome in Outcome},
    }  # fmt: skip


def _record(record: Any, domid: int) -> tuple[object, ...]:
    reason, outcome = record.reason, record.outcome
    operands = list(record.ops[0 : record.n_ops])
    result = None
    if reason == ExitReason.HYPERCALL:
        call = calls.by_number(operands[0])
        del operands[1 + (len(call.args) if call is not None else N_HYPERCALL_ARGS) :]
        result = record.result if outcome != Outcome.STOP else None
    return (record.virtual_ns, domid, record.vcpu_id, reason, record.rip, operands, result, outcome)


# --- reading


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """One exit. `operands` by name; a hypercall's by the ABI's names, with the call's own beside it."""

    virtual_ns: int
    domid: int
    vcpu: int
    reason: str
    rip: int
    call: str | None
    operands: Mapping[str, int]
    result: int | None
    outcome: str


class TraceReader:
    """Reads a trace: `header` at once, the records by iteration; then `footer`, None in a file cut short.

    Raises UsageError for what is no trace, or one of a version that this pvisor does not know.
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._name = name
        self._unpacker = msgpack.Unpacker(file, strict_map_key=False, max_buffer_size=1 << 26)
        self.footer: Mapping[str, object] | None = None
        self.header = self._read_header()

    def __iter__(self) -> Iterator[TraceRecord]:
        for value in self._values():
            if isinstance(value, dict):
                self.footer = value
                return
            yield self._read_record(value)

    def _values(self) -> Iterator[object]:
        """What follows in the file; a value that the file ends within is left out."""
        try:
            yield from self._unpacker
        except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
            raise UsageError(f"{self._name}: damaged trace ({_in_words(error)})") from None

    def _read_header(self) -> dict[str, Any]:
        try:
            header = next(self._values(), None)
        except UsageError:
            header = None
        if not isinstance(header, dict) or header.get("format") not in (FORMAT, HOST_FORMAT):
            raise UsageError(
                f"{self._name}: not a trace, or cut short in its header; `pvisor run --trace FILE` writes one"
            )
        if header["format"] == HOST_FORMAT:
            raise UsageError(f"{self._name}: host times of a trace; give the trace itself")
        if header.get("version") != VERSION:
            raise UsageError(
                f"{self._name}: trace of version {header.get('version')!r}; this pvisor reads {VERSION}"
            )
        if not all(isinstance(header.get(key), dict) for key in ("reasons", "operands", "outcomes")):
            raise UsageError(f"{self._name}: damaged trace (its header lacks a table)")
        return header

    def _read_record(self, value: Any) -> TraceRecord:
        try:
            virtual_ns, domid, vcpu, reason, rip, values, result, outcome = value
            label, names = self.header["reasons"][reason], self.header["operands"].get(reason, ())
            call = None
            if reason == ExitReason.HYPERCALL:
                call, names = _call_and_names(values[0])
            operands = dict(zip(names, [index(value) for value in values], strict=False))
            if call is not None:
                del operands["number"]
            outcome = self.header["outcomes"][outcome]
            return TraceRecord(
                index(virtual_ns), index(domid), index(vcpu), label, index(rip), call, operands,
                None if result is None else index(result), outcome,
            )  # fmt: skip
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise UsageError(f"{self._name}: damaged trace (a record of another form: {error})") from None


def _call_and_names(number: int) -> tuple[str | None, Sequence[str]]:
    """A hypercall's name and the names of its operands; a number without a call has none."""
    call = calls.by_number(number)
    if call is None:
        return None, OPERANDS[ExitReason.HYPERCALL]
    return call.handler, ("number", *(arg.name for arg in call.args))


def _in_words(error: Exception) -> str:
    return str(error) or type(error).__name__
