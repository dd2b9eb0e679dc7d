# SPDX-License-Identifier: GPL-2.0-or-later
"""Native handlers on and off: the guest, the counts and the trace cannot tell the difference."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from pvisor.cpu.engine_start import native_names
from pvisor.cpu.exits import ExitReason as R
from pvisor.cpu.vcpu import CS, RAX
from tests.cpu.conftest import MakeRig
from tests.cpu.rig import CALL_PAGE, CLI, CODE, CODE32, DATA, HLT, NOP, STI, TRANSPORTS, Rig, call, le, repeat

Natives = tuple[str, ...]
EVERY: Natives = tuple(native_names("full") + native_names("para"))


@dataclass(frozen=True)
class Facts:
    """All that a run leaves behind, but for host facts."""

    registers: tuple[int, ...]
    virtual_if: bool
    rflags: int
    n_instructions: int
    counts: tuple[tuple[str, int], ...]
    records: tuple[tuple[object, ...], ...]


def serve(r: Rig, reason: R) -> None:
    """The Python twins of the native handlers."""
    if reason is R.HYPERCALL:
        r.exit.result = 0
        return
    assert reason in (R.CLI, R.STI)
    was_clear = not r.vcpu.virtual_if
    r.vcpu.virtual_if = reason is R.STI
    r.emulated(next(i for i in range(16) if r.memory.read(r.exit.rip + i, 1) in (CLI, STI)) + 1)
    if reason is R.STI and was_clear:
        r.v.sti_insns = r.vcpu.n_instructions + 1


def facts(r: Rig, on: Natives) -> Facts:
    """Run to HLT with the named native handlers."""
    r.v.mirror_if = 1
    for wing in ("full", "para"):
        r.vcpu.enable_natives(wing, but=[name for name in EVERY if name not in on])
    r.vcpu.start_trace()
    r.run_to_hlt(lambda reason: serve(r, reason))
    for name, reason in (("cli", R.CLI), ("sti", R.STI), ("noop", R.HYPERCALL)):
        counter = r.v.counters[reason]
        assert (counter.native, counter.python) == ((counter.count, 0) if name in on else (0, counter.count))
    records = tuple((x.virtual_ns, x.rip, x.reason, x.outcome, x.result, *list(x.ops)[: x.n_ops])
                    for x in r.vcpu.trace_records())  # fmt: skip
    counts = tuple((R(i).name, c.count) for i, c in enumerate(r.v.counters) if c.count)
    return Facts(tuple(r.regs.gpr), r.vcpu.virtual_if, r.vcpu.rflags, r.vcpu.n_instructions, counts, records)


def guest(transport: bytes) -> bytes:
    """Masks, calls, unmasks, looks at its flags; at many places of a block, with prefixes, 40 times."""
    body = NOP + CLI + b"\x9c\x58" + b"\x48\x01\xc3"  # nop; cli; pushfq; pop rax; add rbx, rax
    at = CODE + 6 + len(body)
    body += call(at, CALL_PAGE + 64) + STI + NOP + b"\x9c\x59" + b"\x48\x01\xcb" + STI + CLI + CLI
    return repeat(40, body) + STI + HLT


@pytest.mark.parametrize("off", EVERY)
@pytest.mark.parametrize("transport", TRANSPORTS.values(), ids=TRANSPORTS)
def test_each_native_handler_can_be_taken_away(rig: MakeRig, transport: bytes, off: str) -> None:
    runs = []
    for on in (EVERY, tuple(name for name in EVERY if name != off), ()):
        r = rig(guest(transport))
        r.hypercall_page(transport)
        runs.append(facts(r, on))
    assert runs[0] == runs[1] == runs[2]
    assert dict(runs[0].counts)["HYPERCALL"] == 40
    assert len(runs[0].records) == 40 * 6 + 1


@pytest.mark.parametrize("code", [b"\x66\xfa", b"\x66\xfb", b"\xf2\xf3\x48\xfa", b"\x3e\xfb"], ids=bytes.hex)
def test_prefixes_change_nothing(rig: MakeRig, code: bytes) -> None:
    runs = [facts(rig(NOP + code + NOP + HLT), on) for on in (EVERY, ())]
    assert runs[0] == runs[1]
    assert runs[0].n_instructions == 3


@pytest.mark.parametrize("distance", [1, 2, 15, 16, 17])
def test_the_end_of_a_page_changes_nothing(rig: MakeRig, distance: int) -> None:
    runs = []
    for on in (EVERY, ()):
        r = rig()
        at = CODE + 4096 - distance
        r.memory.write(at, STI + CLI + b"\x0f\x1f\x40\x00" + STI + HLT)
        r.regs.rip = at
        runs.append(facts(r, on))
    assert runs[0] == runs[1]
    assert runs[0].n_instructions == 4


def test_32_bit_code_changes_nothing(rig: MakeRig) -> None:
    runs = []
    for on in (EVERY, ()):
        r = rig(b"\x40" + STI + b"\x40" + CLI + b"\x40" + HLT)
        r.vcpu.set_segment(CS, CODE32)
        runs.append(facts(r, on))
    assert runs[0] == runs[1]
    assert (runs[0].registers[0], runs[0].n_instructions) == (3, 5)


def test_the_mirror_shows_the_virtual_flag_to_pushf(rig: MakeRig) -> None:
    # sti; pushfq; pop rbx; cli; pushfq; pop rcx
    code = STI + b"\x9c\x5b" + CLI + b"\x9c\x59" + HLT
    for on in (EVERY, ()):
        end = facts(rig(code), on)
        assert (end.registers[3] & 0x200, end.registers[1] & 0x200) == (0x200, 0)
        assert not end.rflags & 0x200


def test_a_handler_that_was_left_out_never_runs(rig: MakeRig) -> None:
    r = rig(CLI + STI + HLT)
    r.vcpu.enable_natives("full", but=["cli"])
    r.expect(R.CLI, 0)
    r.emulated(1)
    r.expect(R.HLT, 2)
    assert r.v.counters[R.STI].native == 1


def test_sampling_the_host_time_changes_nothing_else(rig: MakeRig) -> None:
    ends = []
    for sampled in (0, 1):
        r = rig(repeat(200, CLI) + HLT)
        r.v.time_exits = sampled
        ends.append(facts(r, EVERY))
        assert r.v.counters[R.CLI].native_samples == (4 if sampled else 0), "one in 64"
    assert ends[0] == ends[1]


def test_hook_exits_stand_in_the_trace_in_their_order(rig: MakeRig) -> None:
    r = rig(CLI + b"\xe6\x80" + b"\xe4\x81" + STI + b"\x48\xa1" + le(DATA, 8) + HLT)
    r.vcpu.enable_natives("full")
    r.vcpu.start_trace()

    def serve_io() -> None:
        if r.exit.reason == R.IO_IN:
            r.exit.value = 0x5A

    r.regs.gpr[RAX] = 0x33
    r.in_hook(serve_io)
    r.run_to_hlt()
    found = [(R(x.reason).name, x.virtual_ns, *list(x.ops)[: x.n_ops]) for x in r.vcpu.trace_records()]
    assert found == [("CLI", 0), ("IO_OUT", 1, 0x80, 1, 0x33), ("IO_IN", 2, 0x81, 1, 0x5A), ("STI", 3)]
