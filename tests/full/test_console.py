# SPDX-License-Identifier: GPL-2.0-or-later
"""The 16550A by its data sheet: registers, transmitter, loopback, the ranks of its interrupts. No CPU.

What comes from the host is in test_console_input.py; the native handlers are held to the same in
test_console_tiers.py.
"""

from __future__ import annotations

import pytest

from pvisor.full.console import FLUSH_NS
from tests.full.uart_rig import FCR, IER, IIR, LCR, LSR, MCR, MSR, RBR, SCR, THR, TIMEOUT_NS, Rig
from tests.machine.typed import Typed

# --- registers


def test_reset_state() -> None:
    rig = Rig()
    assert [rig.get(r) for r in (IER, IIR, LCR, MCR, LSR, MSR, SCR)] == [0, 1, 0, 8, 0x60, 0xB0, 0]
    rig.put(LCR, 0x80)
    assert (rig.get(0), rig.get(1)) == (12, 0), "9600 baud"
    assert not rig.irq


@pytest.mark.parametrize(
    ("register", "bits"), [(IER, 0x0F), (LCR, 0x7F), (MCR, 0x1F), (SCR, 0xFF), (LSR, 0), (MSR, 0)]
)
def test_which_bits_can_be_written(register: int, bits: int) -> None:
    rig = Rig()
    before = rig.get(register)
    rig.put(register, 0xFF & ~(0x80 if register == LCR else 0))
    assert rig.get(register) == (bits or before)


def test_the_divisor_hides_two_registers() -> None:
    rig = Rig()
    rig.put(IER, 5)
    rig.put(LCR, 0x83)
    rig.put(0, 0x34)
    rig.put(1, 0x12)
    assert (rig.get(0), rig.get(1), rig.get(LCR)) == (0x34, 0x12, 0x83)
    rig.put(LCR, 3)
    assert rig.get(IER) == 5
    assert rig.output.data == b""


# --- the transmitter


def test_bytes_come_out_together_in_their_order() -> None:
    rig = Rig()
    rig.put(THR, *b"abc")
    assert rig.get(LSR) == 0x60, "a byte leaves at once"
    assert rig.uart.has_pending
    assert rig.output.data == b"abc"
    assert not rig.uart.has_pending
    assert rig.output.n_bytes == 3


def test_no_byte_waits_long() -> None:
    handed_on: list[bytes] = []
    rig = Rig()
    rig.output._sink = handed_on.append
    rig.put(THR, *b"ab")
    rig.clock.advance(FLUSH_NS - 1)
    assert handed_on == []
    rig.put(THR, ord("c"))
    rig.clock.advance(1)
    assert handed_on == [b"abc"], "counted from the first"
    rig.clock.advance(10 * FLUSH_NS)
    assert handed_on == [b"abc"]
    rig.put(THR, ord("d"))
    rig.clock.advance(FLUSH_NS)
    assert handed_on == [b"abc", b"d"]


def test_a_full_buffer_goes_at_once() -> None:
    handed_on: list[bytes] = []
    rig = Rig()
    rig.output._sink = handed_on.append
    rig.put(THR, *bytes(5000))
    assert [len(data) for data in handed_on] == [4096]
    assert len(rig.output.data) == 5000


def test_a_line_has_the_time_of_its_end() -> None:
    rig = Rig()
    rig.put(THR, *b"line\n")
    written = rig.uart.state.newline_host_ns
    rig.output.flush()
    assert rig.output.last_write_host_ns == written
    rig.put(THR, *b"\nno end")
    rig.output.flush()
    assert rig.output.last_write_host_ns > rig.uart.state.newline_host_ns


def test_an_idle_guest_has_no_deadline_for_output_left() -> None:
    rig = Rig()
    rig.put(THR, ord("x"))
    assert rig.clock.timers.next_due_ns == FLUSH_NS
    rig.output.flush()
    assert rig.clock.timers.next_due_ns is None


def test_the_host_gets_whole_bytes_whatever_the_word_length() -> None:
    rig = Rig()
    rig.put(THR, 0xE9)
    assert rig.output.data == b"\xe9"


def test_thr_empty_interrupts_when_enabled_and_after_each_byte() -> None:
    rig = Rig()
    rig.put(IER, 2)
    assert rig.irq
    assert rig.get(IIR) == 2
    assert not rig.irq, "reading IIR takes it away"
    assert rig.get(IIR) == 1
    rig.put(IER, 2)
    assert not rig.irq, "nothing has changed"
    rig.levels.clear()
    rig.levels.append(False)
    rig.put(THR, ord("a"))
    rig.put(THR, ord("b"))
    assert rig.levels == [False, True, False, True], "an edge for each"
    rig.put(IER, 0)
    assert not rig.irq
    assert rig.get(IIR) == 1
    rig.put(IER, 2)
    assert rig.irq


def test_clearing_the_transmitters_fifo_empties_it_anew() -> None:
    rig = Rig()
    rig.put(IER, 2)
    rig.put(FCR, 1)
    rig.get(IIR)
    assert not rig.irq
    rig.put(FCR, 1)
    assert not rig.irq
    rig.put(FCR, 5)
    assert rig.get(IIR) == 0xC2


def test_out2_gates_the_line_and_nothing_else() -> None:
    rig = Rig()
    rig.put(MCR, 3)
    rig.put(IER, 2)
    assert not rig.irq
    rig.put(MCR, 0x0B)
    assert rig.irq
    rig.put(MCR, 3)
    assert not rig.irq
    assert rig.get(IIR) == 2


# --- loopback


def looped() -> Rig:
    """FIFOs on, 8 bits, all of the loop closed."""
    rig = Rig()
    rig.set_8n1(0x01)
    rig.put(MCR, 0x1B)
    rig.get(MSR)
    return rig


def test_what_is_sent_comes_back() -> None:
    rig = looped()
    rig.put(THR, *b"abc")
    assert rig.receive(3) == b"abc"
    assert rig.output.data == b""


@pytest.mark.parametrize("lcr", range(4))
def test_the_chip_hears_as_many_bits_as_it_sends(lcr: int) -> None:
    rig = looped()
    rig.put(LCR, lcr)
    rig.put(THR, 0xFF)
    assert rig.get(RBR) == (1 << 5 + lcr) - 1


def test_a_full_fifo_keeps_what_it_has() -> None:
    rig = looped()
    rig.put(THR, *range(18))
    assert rig.get(LSR) == 0x63
    assert rig.get(LSR) == 0x61, "told once"
    assert rig.receive(16) == bytes(range(16))
    assert rig.get(LSR) == 0x60


def test_the_single_register_takes_the_new_byte() -> None:
    rig = Rig()
    rig.set_8n1()
    rig.put(MCR, 0x1B)
    rig.put(THR, *b"xy")
    assert rig.get(LSR) == 0x63
    assert rig.get(RBR) == ord("y")


def test_the_hosts_bytes_wait_outside() -> None:
    rig = Rig(Typed(b"ab"))
    rig.put(MCR, 0x18)
    rig.clock.advance(5000)
    assert rig.get(LSR) == 0x60
    rig.put(IER, 1)
    assert not rig.irq
    rig.put(MCR, 0x08)
    rig.clock.advance(1)
    assert rig.irq
    assert rig.get(RBR) == ord("a")


@pytest.mark.parametrize("mcr", range(16))
def test_the_modem_hears_itself(mcr: int) -> None:
    rig = Rig()
    rig.put(MCR, 0x10 | mcr)
    dtr, rts, out1, out2 = (mcr >> i & 1 for i in range(4))
    assert rig.get(MSR) >> 4 == rts | dtr << 1 | out1 << 2 | out2 << 3
    rig.put(MCR, mcr)
    assert rig.get(MSR) & 0xF0 == 0xB0


@pytest.mark.parametrize(
    ("before", "after", "deltas"),
    [
        (0x10, 0x12, 0x01),
        (0x12, 0x10, 0x01),
        (0x10, 0x11, 0x02),
        (0x10, 0x14, 0x00),
        (0x14, 0x10, 0x04),
        (0x10, 0x18, 0x08),
        (0x1F, 0x10, 0x0F),
        (0x15, 0x15, 0x00),
    ],
)
def test_changes_are_told_once(before: int, after: int, deltas: int) -> None:
    rig = Rig()
    rig.put(MCR, before)
    rig.get(MSR)
    rig.put(MCR, after)
    assert rig.get(MSR) & 0x0F == deltas
    assert rig.get(MSR) & 0x0F == 0


def test_modem_status_interrupt() -> None:
    rig = looped()
    rig.put(IER, 8)
    assert not rig.irq
    rig.put(MCR, 0x19)
    assert rig.irq
    assert rig.get(IIR) == 0xC0
    assert rig.get(MSR) & 0x0F == 1
    assert not rig.irq
    assert rig.get(IIR) == 0xC1


def test_the_ranks_of_the_interrupts() -> None:
    rig = looped()
    rig.put(FCR, 0xC1)
    rig.put(IER, 0x0F)
    rig.put(MCR, 0x1A)
    rig.put(THR, *range(17))
    rig.clock.advance(3 * TIMEOUT_NS)
    seen = []
    for register in (LSR, RBR, None, MSR):
        seen.append(rig.get(IIR))
        if register == RBR:
            rig.receive(3)
        elif register is not None:
            rig.get(register)
    assert seen == [0xC6, 0xCC, 0xC2, 0xC0]
    assert rig.get(IIR) == 0xC1
    assert not rig.irq


def test_the_line_stays_high_from_cause_to_cause() -> None:
    rig = looped()
    rig.put(IER, 0x03)
    rig.get(IIR)
    rig.put(THR, 1)
    assert rig.irq
    rig.levels = [True]
    assert rig.get(IIR) == 0xC4
    rig.get(RBR)
    assert rig.get(IIR) == 0xC2
    assert rig.levels == [True, False]


def test_reset_forgets_everything() -> None:
    rig = looped()
    rig.put(IER, 0x0F)
    rig.put(SCR, 0x55)
    rig.put(THR, *b"abc")
    assert rig.irq
    rig.uart.reset()
    assert not rig.irq
    assert [rig.get(r) for r in (IER, IIR, LCR, MCR, LSR, MSR, SCR)] == [0, 1, 0, 8, 0x60, 0xB0, 0]
