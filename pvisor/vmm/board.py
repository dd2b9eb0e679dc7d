# SPDX-License-Identifier: GPL-2.0-or-later
"""A PC's board: its devices, wired as on QEMU's `pc` (i440FX), the same for the modes `full` and `emu`.

Each ISA interrupt goes to the 8259 pair and to the I/O APIC; IRQ 0 is the I/O APIC's pin 2. The 8259's output
goes to LINT0 of the local APIC, whose output is the CPU's interrupt line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pvisor.cpu.unicorn_engine import (
    DEVICE_APIC,
    DEVICE_BLOCK,
    DEVICE_CONSOLE,
    DEVICE_I8042,
    DEVICE_IOAPIC,
    DEVICE_PIC,
    DEVICE_PIT,
    DEVICE_PLATFORM,
    DEVICE_RTC,
    UnicornVcpu,
)
from pvisor.domain.domain import Domain
from pvisor.domain.outcome import GUEST_RESET
from pvisor.errors import DomainCrash
from pvisor.full import (
    apic,
    block_empty,
    diagnostics,
    ioapic,
    keyboard,
    net,
    pci,
    pic,
    platform,
    power,
    rtc,
    screen,
    timer,
)
from pvisor.full.block import AtaChannel
from pvisor.full.block_empty import EmptyAtaChannel
from pvisor.full.console import COM1, N_IOPORTS, Uart
from pvisor.machine.console import ConsoleInput, NoInput
from pvisor.machine.disk import DiskImage
from pvisor.machine.ioports import IoPortBus
from pvisor.machine.lines import Line, fan_out, shared
from pvisor.machine.mmio import MmioBus
from pvisor.machine.switch import Switch, default_mac

N_ISA_LINES = 16
PIT_PIN = 2
PIT_IRQ, KEYBOARD_IRQ, UART_IRQ, RTC_IRQ, SCI_IRQ, ATA_IRQ = 0, 1, 4, 8, 9, 14


@dataclass(frozen=True, slots=True)
class Board:
    """What others want of the board: buses, screen, and the local APIC, the CPU's interrupt source."""

    ioports: IoPortBus
    mmio: MmioBus
    apic: apic.LocalApic
    screen: screen.Screen


def build_board(
    domain: Domain, vcpu: UnicornVcpu, ioports: IoPortBus, mmio: MmioBus, *,
    disks: tuple[DiskImage, ...] = (), switch: Switch | None = None, at_keyboard: bool = False,
    awaits_driver: bool = False,
) -> Board:  # fmt: skip
    """Put the devices on a domain's buses.

    `switch`: where its network card is plugged in, if it has one. `at_keyboard`: the domain's input is typed
    on the keyboard, and the serial port gets none; otherwise it is the other way about. `awaits_driver`: what
    comes to the serial port waits for a driver (console.py).
    """
    timers = domain.timers
    lines, local_apic, is_masked = _interrupts(domain, vcpu, ioports, mmio)
    _clocks(domain, vcpu, ioports, lines)
    sci, nic = shared(lines[SCI_IRQ], 2)
    _power(domain, ioports, sci)
    uart_input, key_input = (NoInput(), domain.input) if at_keyboard else (domain.input, NoInput())
    uart = Uart(domain.console, uart_input, timers, lines[UART_IRQ], awaits_driver=awaits_driver)
    ioports.attach(COM1, N_IOPORTS, uart)
    vcpu.v.device[DEVICE_CONSOLE] = uart.state
    domain.watches.append(uart.watch)
    _keyboard(
        domain, vcpu, ioports, lines[KEYBOARD_IRQ], key_input,
        lambda: vcpu.virtual_if and not is_masked(KEYBOARD_IRQ),
    )  # fmt: skip
    cga = screen.Screen(domain.timers.now)
    ioports.attach(screen.IOPORT_BASE, screen.N_IOPORTS, cga)
    cga.clear(domain.memory)
    if disks:
        channel = AtaChannel(disks[0], lines[ATA_IRQ], timers)
        channel.attach_to(ioports)
        vcpu.v.device[DEVICE_BLOCK] = channel.state
    else:
        EmptyAtaChannel().attach_to(ioports, block_empty.PRIMARY)
    EmptyAtaChannel().attach_to(ioports, block_empty.SECONDARY)
    if switch is not None:
        card = net.Ne2000(
            default_mac(domain.domid - 1), lambda receive: switch.attach(timers, receive).send, nic
        )
        ioports.attach(net.BASE, net.N_IOPORTS, card)
    return Board(ioports, mmio, local_apic, cga)


def _interrupts(
    domain: Domain, vcpu: UnicornVcpu, ioports: IoPortBus, mmio: MmioBus
) -> tuple[list[Line], apic.LocalApic, Callable[[int], bool]]:
    """The controllers; the sixteen ISA lines, and whether one is masked in both."""

    def set_cpu_line(level: bool) -> None:
        vcpu.event_pending = level

    def to_lint0(level: bool) -> None:
        local_apic.lint0(level)

    pair = pic.Pic(to_lint0)
    local_apic = apic.LocalApic(
        domain.timers, set_cpu_line, pair.acknowledge,
        lambda vector: io_apic.end_of_interrupt(vector), vcpu.raise_nmi,
        lambda base: move_apic(domain, mmio, local_apic, base),
    )  # fmt: skip
    io_apic = ioapic.IoApic(local_apic.receive, local_apic.virtual_wire)
    for base, chip in ((pic.MASTER, pair.master), (pic.SLAVE, pair.slave), (pic.ELCR, pair.elcr)):
        ioports.attach(base, pic.N_IOPORTS, chip)
    mmio.attach(apic.BASE, apic.N_BYTES, local_apic)
    mmio.attach(ioapic.BASE, ioapic.N_BYTES, io_apic)
    vcpu.v.device[DEVICE_PIC], vcpu.v.device[DEVICE_IOAPIC] = pair.state, io_apic.state
    vcpu.v.device[DEVICE_APIC] = local_apic.registers
    domain.has_nmi_source = lambda: local_apic.passes_nmi or io_apic.passes_nmi

    def is_masked(irq: int) -> bool:
        return pair.is_masked(irq) and io_apic.is_masked(PIT_PIN if irq == PIT_IRQ else irq)

    lines = [
        fan_out(pair.lines[irq], io_apic.lines[PIT_PIN if irq == PIT_IRQ else irq])
        for irq in range(N_ISA_LINES)
    ]
    return lines, local_apic, is_masked


def _clocks(domain: Domain, vcpu: UnicornVcpu, ioports: IoPortBus, lines: list[Line]) -> None:
    timers, board = domain.timers, platform.new_board_state()
    pit = timer.Pit(timers, lines[PIT_IRQ])
    control_b = platform.SystemControlB(pit.set_gate, pit.output, timers.now, board)
    ioports.attach(timer.IOPORT, timer.N_IOPORTS, pit)
    ioports.attach(platform.CONTROL_B, 1, control_b)
    ioports.attach(diagnostics.POST_CODE, 1, diagnostics.PostCode(board))
    clock = rtc.Rtc(domain.wall_clock, timers, lines[RTC_IRQ], domain.memory.size_bytes)
    ioports.attach(rtc.IOPORT, rtc.N_IOPORTS, clock)
    vcpu.v.device[DEVICE_PIT], vcpu.v.device[DEVICE_RTC] = pit.state, clock.state
    vcpu.v.device[DEVICE_PLATFORM] = board


def _keyboard(
    domain: Domain, vcpu: UnicornVcpu, ioports: IoPortBus, irq: Line, input: ConsoleInput,
    is_heard: Callable[[], bool],
) -> None:  # fmt: skip
    i8042 = keyboard.KeyboardController(irq, domain.timers, input, resetting(domain), set_a20, is_heard)
    ioports.attach(keyboard.DATA_IOPORT, 1, i8042.data)
    ioports.attach(keyboard.COMMAND_IOPORT, 1, i8042.command)
    vcpu.v.device[DEVICE_I8042] = i8042.state
    domain.watches.append(i8042.watch)


def _power(domain: Domain, ioports: IoPortBus, sci: Line) -> None:
    timers, reset = domain.timers, resetting(domain)
    control, pm_timer = power.PowerControl(domain.end), power.PmTimer(timers.now)
    ioports.attach(power.PM1A_EVT, power.PM1A_EVT_BYTES, power.PowerEvents(timers, pm_timer, sci))
    ioports.attach(power.PM1A_CNT, power.PM1A_CNT_BYTES, control)
    ioports.attach(power.PM_TMR, power.PM_TMR_BYTES, pm_timer)
    ioports.attach(power.APM_CONTROL, power.APM_BYTES, power.ApmControl(control))
    ioports.attach(power.DEBUG_EXIT, 4, power.DebugExit(domain.end))
    ioports.attach(platform.CONTROL_A, 1, platform.SystemControlA(set_a20, reset))
    ioports.attach(pci.CONFIG, pci.N_IOPORTS, pci.PciConfig(reset))


def resetting(domain: Domain) -> Callable[[], object]:
    """A reset ends the run with status 0, as QEMU's does with -no-reboot."""
    return lambda: domain.end(GUEST_RESET)


def set_a20(is_open: bool) -> None:
    """Address line 20. Raises DomainCrash when the guest closes the gate: memory would wrap at 1 MiB."""
    if not is_open:
        raise DomainCrash("the guest closed the A20 gate, which is not supported: it stays open")


def move_apic(domain: Domain, mmio: MmioBus, local_apic: apic.LocalApic, base: int) -> None:
    """IA32_APIC_BASE names another page. Raises DomainCrash where there is RAM, which it would hide."""
    if base < domain.memory.size_bytes:
        raise DomainCrash(f"IA32_APIC_BASE: the local APIC cannot be moved over RAM, to {base:#x}")
    mmio.move(local_apic, base)
