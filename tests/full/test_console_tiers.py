# SPDX-License-Identifier: GPL-2.0-or-later
"""The UART's native handlers: a guest cannot tell them from the Python ones, nor can the trace."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from pvisor.cpu.exits import ExitReason as R
from pvisor.cpu.shim import lib
from pvisor.full.console import COM1, N_IOPORTS, Uart
from pvisor.machine.console import ConsoleOutput
from pvisor.machine.ioports import IoPortBus
from pvisor.machine.timers import Timers
from tests.cpu.rig import HLT, Rig, le, repeat
from tests.machine.typed import Typed

NATIVES = ("uart_read", "uart_write")
Wired = Callable[..., tuple[Rig, Uart, "Log"]]


@dataclass
class Log:
    """What the world outside saw: bytes, and the line's levels with their times."""

    output: ConsoleOutput
    levels: list[tuple[int, bool]]


@dataclass(frozen=True)
class Facts:
    """All that a run leaves behind, but for host facts."""

    output: bytes
    levels: tuple[tuple[int, bool], ...]
    virtual_ns: int
    counts: tuple[tuple[str, int], ...]
    records: tuple[tuple[object, ...], ...]


@pytest.fixture
def wired() -> Iterator[Wired]:
    rigs: list[Rig] = []

    def make(code: bytes, typed: bytes = b"", natives: Sequence[str] = ()) -> tuple[Rig, Uart, Log]:
        r = Rig(code)
        rigs.append(r)
        timers = Timers(lambda: r.vcpu.virtual_ns)
        timers.on_change = lambda: r.vcpu.set_deadline(timers.next_due_ns)
        log = Log(ConsoleOutput(), [])

        def line(level: bool) -> None:
            if not log.levels or log.levels[-1][1] != level:
                log.levels.append((r.vcpu.virtual_ns, level))

        uart = Uart(log.output, Typed(typed, 500, 300), timers, line)
        bus = IoPortBus()
        bus.attach(COM1, N_IOPORTS, uart)
        r.v.device[lib.PV_DEVICE_CONSOLE] = uart.state

        def serve() -> None:
            if r.exit.reason == R.IO_IN:
                r.exit.value = bus.read(r.exit.ioport, r.exit.size_bytes)
            else:
                bus.write(r.exit.ioport, r.exit.size_bytes, r.exit.value)

        r.in_hook(serve)
        r.vcpu.enable_natives("full", but=[name for name in NATIVES if name not in natives])
        r.vcpu.start_trace()
        while (reason := r.run()) is not R.HLT:
            assert reason is R.DEADLINE
            timers.run_due()
        return r, uart, log

    yield make
    for r in rigs:
        r.close()


def facts(r: Rig, log: Log) -> Facts:
    records = tuple((x.virtual_ns, x.rip, x.reason, x.outcome, *list(x.ops)[: x.n_ops])
                    for x in r.vcpu.trace_records())  # fmt: skip
    counts = tuple((R(i).name, c.count) for i, c in enumerate(r.v.counters) if c.count)
    return Facts(log.output.data, tuple(log.levels), r.vcpu.virtual_ns, counts, records)


def out(register: int, value: int) -> bytes:
    """Assemble `mov dx, COM1 + register; mov al, value; out dx, al`."""
    return b"\x66\xba" + le(COM1 + register, 2) + b"\xb0" + le(value, 1) + b"\xee"


def into(register: int) -> bytes:
    """Assemble `mov dx, COM1 + register; in al, dx`."""
    return b"\x66\xba" + le(COM1 + register, 2) + b"\xec"


WIDE_IN, WIDE_OUT = b"\x66\xed", b"\x66\xef"
SETTINGS = {1: range(16), 2: (0, 1, 3, 5, 0x41, 0x81, 0xC1), 3: (3, 3, 3, 0x83), 4: (8, 0x0B, 0x18, 0x1F, 0)}


def program(seed: int) -> bytes:
    """Any accesses in any order, most of them those that C serves; and pauses."""
    chance = random.Random(seed)
    code = b""
    for _ in range(150):
        kind = chance.random()
        if kind < 0.35:
            code += out(0, chance.choice((10, *b"abcdef")))
        elif kind < 0.65:
            code += into(chance.randrange(8))
        elif kind < 0.75:
            register = chance.choice(tuple(SETTINGS))
            code += out(register, chance.choice(tuple(SETTINGS[register])))
        elif kind < 0.8:
            code += out(7, chance.randrange(256))
        elif kind < 0.85:
            code += into(chance.randrange(8)) + chance.choice((WIDE_IN, WIDE_OUT))
        else:
            code += b"\x90" * chance.randrange(60)
    return code + HLT


@pytest.mark.parametrize("seed", range(40))
def test_any_accesses(wired: Wired, seed: int) -> None:
    code, typed = program(seed), bytes(random.Random(seed).randbytes(seed % 4 * 10))
    seen = []
    for natives in ((), NATIVES, NATIVES[:1], NATIVES[1:]):
        r, _, log = wired(code, typed, natives)
        seen.append(facts(r, log))
        n_native = sum(r.v.counters[reason].native for reason in (R.IO_IN, R.IO_OUT))
        assert (n_native > 0) == bool(natives)
    assert seen[0] == seen[1] == seen[2] == seen[3]


def polled(n: int) -> bytes:
    """Ask for room, send, n times."""
    return repeat(n, into(5) + out(0, ord("x")))


def test_the_hot_loop_is_served_in_c(wired: Wired) -> None:
    r, uart, log = wired(polled(10_000) + HLT, natives=NATIVES)
    assert r.v.counters[R.IO_IN].python == 0
    assert r.v.counters[R.IO_OUT].python <= 10_000 // 4096 + 1
    assert uart.has_pending
    assert log.output.data == b"x" * 10_000


def test_a_line_that_was_gathered_in_c_has_the_time_of_its_end(wired: Wired) -> None:
    _, uart, log = wired(out(0, ord("a")) + out(0, 10) + HLT, natives=NATIVES)
    assert uart.state.newline_host_ns > 0
    assert log.output.data == b"a\n"
    assert log.output.last_write_host_ns == uart.state.newline_host_ns


def test_gathered_bytes_come_out_in_time(wired: Wired) -> None:
    handed_on: list[bytes] = []
    spin = b"\xb9" + le(1_200_000, 4) + b"\xff\xc9\x75\xfc"  # mov ecx, n; dec ecx; jnz back
    _, uart, log = wired(out(0, 10) + out(0, 10) + spin + HLT, natives=NATIVES)
    assert not uart.has_pending
    log.output._sink = handed_on.append
    assert log.output.data == b"\n\n"
    assert handed_on == []


def test_without_its_struct_a_handler_serves_nothing(wired: Wired) -> None:
    r = Rig(into(5) + out(7, 1) + HLT)
    try:
        asked: list[int] = []
        r.in_hook(lambda: asked.append(r.exit.ioport))
        r.vcpu.enable_natives("full")
        r.run_to_hlt()
        assert asked == [COM1 + 5, COM1 + 7]
    finally:
        r.close()


def test_the_control_lane_has_them_too() -> None:
    names = {lib.pv_native_name(b"emu", i) for i in range(lib.pv_native_count(b"emu"))}
    assert len(names) >= 2
