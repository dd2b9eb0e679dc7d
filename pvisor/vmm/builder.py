# SPDX-License-Identifier: GPL-2.0-or-later
"""The builder: the only place where a domain's parts are wired together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pvisor.abi.areas import cpu as cpu_rows
from pvisor.cpu.features import XCR0_X87
from pvisor.cpu.models import DEFAULT_CPU, VirtualCpu, parse_cpu
from pvisor.cpu.unicorn_engine import DEVICE_DEADLINES, UNLIMITED, UnicornVcpu, new_deadlines
from pvisor.domain.domain import Domain, Wing
from pvisor.errors import GuestRefused, PvisorError, UsageError
from pvisor.full.kernel_file import is_pc_kernel, read_image, refuse_multiboot2
from pvisor.machine.clock import WallClock
from pvisor.machine.console import ConsoleInput, ConsoleOutput
from pvisor.machine.disk import DiskImage
from pvisor.machine.elf import ElfImage
from pvisor.machine.frames import HypervisorFrames
from pvisor.machine.ioports import IoPortBus
from pvisor.machine.memory import GuestMemory
from pvisor.machine.mmio import MmioBus
from pvisor.machine.modules import Module, read_modules
from pvisor.machine.switch import Switch
from pvisor.machine.timers import Timers
from pvisor.para.start import PC_NOTE, abi_note
from pvisor.para.start import check_memory as check_para_memory
from pvisor.vmm.config import DEFAULT_REMEDY, MODES, REMEDIES, TIERS, TRANSPORTS, DomainConfig
from pvisor.vmm.world import World

if TYPE_CHECKING:
    from pvisor.full.apic import LocalApic
    from pvisor.full.cpu import FullWing
    from pvisor.full.screen import Screen
    from pvisor.para.balloon import Balloon
    from pvisor.vmm.board import Board

MAX_VCPUS = cpu_rows.MAX_VCPUS.number
FULL_FRAMES = 4096
"""The hypervisor's frames, most for shadow tables: when they are used up, the shadow begins anew."""


@dataclass(slots=True)
class Machine:
    """A domain ready to run, with what must be freed after it."""

    domain: Domain
    vcpus: Sequence[UnicornVcpu]
    image: ElfImage
    ioports: IoPortBus | None = None
    mmio: MmioBus | None = None
    screen: Screen | None = None
    mode: str = ""
    balloon: Balloon | None = None
    on_turn: Callable[[int, int], object] = lambda vcpu_id, steal_ns: None
    """Told which vCPU begins a turn, and how much time has been stolen from it so far, in nanoseconds."""
    _owned: ExitStack = field(default_factory=ExitStack)

    @property
    def vcpu(self) -> UnicornVcpu:
        """The first vCPU, with which a domain starts."""
        return self.vcpus[0]

    def close(self) -> None:
        """Free engine, tables and disks. The console's output stays readable."""
        self._owned.close()


@dataclass(frozen=True, slots=True)
class Parts:
    """What a wing is built of."""

    config: DomainConfig
    image: ElfImage
    memory: GuestMemory
    console: ConsoleOutput
    input: ConsoleInput
    domid: int
    world: World
    switch: Switch | None
    owned: ExitStack


def mode_of(image: ElfImage, asked: str) -> str:
    """The mode: as asked, or `full`, `para` or `hybrid` by what the kernel's file says.

    Raises GuestRefused for a file that does not say, and for a kernel of mode `hybrid` in another one.
    """
    if asked not in MODES:
        raise UsageError(f"--mode {asked}: there is {', '.join(MODES)}")
    is_para, is_hybrid = abi_note(image) is not None, abi_note(image, PC_NOTE) is not None
    if is_hybrid and not is_para and asked not in ("auto", "hybrid"):
        raise GuestRefused(
            f"{image.path}: a PC kernel that needs the hypervisor for its I/O, which it does not find in "
            f"mode {asked}; give --mode hybrid, or no --mode"
        )
    if asked != "auto":
        return asked
    if is_para:
        return "para"
    if is_hybrid:
        return "hybrid"
    if is_pc_kernel(image):
        return "full"
    refuse_multiboot2(image)
    raise GuestRefused(
        f"{image.path}: neither a PC kernel (PVH note, Multiboot 1 header, Linux bzImage) nor a paravirtual "
        "one (pvisor note); `pvisor build` makes both"
    )


def build(config: DomainConfig, console: ConsoleOutput, input: ConsoleInput, *, domid: int = 1,
          switch: Switch | None = None, world: World | None = None) -> Machine:  # fmt: skip
    """Make a domain and load its kernel. Raises UsageError or GuestRefused; then nothing is left behind.

    `switch` is where its network card is plugged in, `world` what it shares with other domains.
    """
    if config.tier not in TIERS or config.transport not in TRANSPORTS:
        raise UsageError(f"no such tier or transport: {config.tier}, {config.transport}")
    image = read_image(config.kernel, config.entry)
    mode = mode_of(image, config.mode)
    _check_remedy(config.remedy, mode)
    if config.cpu is not None and mode == "para":
        raise UsageError(
            f"--cpu {config.cpu}: is for PCs; a guest in mode para has the one CPU that there is"
        )
    _check_memory(image, mode, config)
    if not 1 <= config.n_vcpus <= (MAX_VCPUS if mode == "para" else 1):
        raise UsageError(
            f"{config.n_vcpus} virtual CPUs: a domain in mode {mode} has "
            + (f"1 to {MAX_VCPUS}" if mode == "para" else "one")
        )
    builders = {"full": _build_full, "emu": _build_emu, "para": _build_para, "hybrid": _build_hybrid}
    with ExitStack() as owned:
        memory = GuestMemory(config.memory_bytes)
        parts = Parts(config, image, memory, console, input, domid, world or World(), switch, owned)
        machine = builders[mode](parts)
        machine.mode = mode
        machine.domain.vcpus.extend(machine.vcpus)
        for vcpu in machine.vcpus:
            vcpu.v.budget = UNLIMITED
            vcpu.v.debug_abi = config.debug_abi
            vcpu.v.time_exits = config.time_exits
            if config.tier == "native":
                vcpu.enable_natives("full" if mode == "hybrid" else mode, config.without_natives)
        if config.max_insns is not None:
            _share_budget(machine, config.max_insns)
        machine._owned = owned.pop_all()
    return machine


def cpu_of(config: DomainConfig) -> VirtualCpu:
    """The CPU of a PC. Raises UsageError for one that cannot be had."""
    return DEFAULT_CPU if config.cpu is None else parse_cpu(config.cpu)


def _share_budget(machine: Machine, max_insns: int) -> None:
    """The instructions of all vCPUs count together: one that begins a turn may use what is left of them."""
    vcpus, on_turn = machine.vcpus, machine.on_turn
    for vcpu in vcpus:
        vcpu.v.budget = max_insns
    if len(vcpus) == 1:
        return

    def begin(vcpu_id: int, steal_ns: int) -> None:
        on_turn(vcpu_id, steal_ns)
        left = max_insns - sum(vcpu.n_instructions for vcpu in vcpus)
        vcpus[vcpu_id].v.budget = vcpus[vcpu_id].n_instructions + max(0, left)

    machine.on_turn = begin


def _check_memory(image: ElfImage, mode: str, config: DomainConfig) -> None:
    """Refuse too little memory for what is a kernel of this mode, before any other size is asked for."""
    memory_bytes = config.memory_bytes
    if mode == "para" and config.entry != "auto":
        raise UsageError(f"--entry {config.entry}: for PC kernels; one in mode para has a single entry")
    if mode == "para" and abi_note(image) is not None:
        check_para_memory(image, memory_bytes)
    elif mode != "para" and is_pc_kernel(image):
        from pvisor.full.start import check_memory

        check_memory(image, memory_bytes, config.entry)


def _check_remedy(remedy: str | None, mode: str) -> None:
    if remedy is not None and remedy not in REMEDIES:
        raise UsageError(f"--remedy {remedy}: there is {', '.join(REMEDIES)}")
    if remedy is not None and mode not in ("full", "hybrid"):
        why = {"emu": "has the CPU to itself", "para": "asks instead of using such instructions"}[mode]
        raise UsageError(
            f"--remedy {remedy}: for sensitive instructions in mode full; a guest in mode {mode} {why}"
        )


def _deprivileged_vcpu(parts: Parts, n_frames: int, cpu: VirtualCpu) -> tuple[HypervisorFrames, UnicornVcpu]:
    frames = HypervisorFrames(n_frames)
    parts.owned.callback(frames.close)
    vcpu = UnicornVcpu(parts.memory, frames, model=cpu.model.engine)
    parts.owned.callback(vcpu.close)
    _begin_xcr0(vcpu, cpu)
    return frames, vcpu


def _begin_xcr0(vcpu: UnicornVcpu, cpu: VirtualCpu) -> None:
    """XCR0 as a CPU begins; where the engine's own cannot be reached, no guest is offered XSAVE."""
    if "xsave" not in cpu.features:
        return
    try:
        vcpu.set_xcr0(XCR0_X87)
    except PvisorError as error:
        raise UsageError(f"--cpu +xsave: {error}; give --cpu -xsave") from None


def domain_of(parts: Parts, wing: Wing) -> Domain:
    """The domain itself, with a wing and no vCPUs yet."""
    config = parts.config
    name = config.name or parts.image.path.name
    return Domain(
        parts.domid, name, parts.memory, wing, [], parts.console, parts.input, WallClock(config.epoch_s)
    )


def _build_para(parts: Parts) -> Machine:
    from pvisor.vmm.para_builder import build_para

    return build_para(parts)


def _build_hybrid(parts: Parts) -> Machine:
    from pvisor.vmm.hybrid_builder import build_hybrid

    return build_hybrid(parts)


def _build_full(parts: Parts) -> Machine:
    return build_pc(parts)[0]


def build_pc(parts: Parts, *, has_pc_io: bool = True) -> tuple[Machine, FullWing, LocalApic]:
    """A fully virtualized PC. Without `has_pc_io` its drive and network card are missing."""
    from pvisor.full import start
    from pvisor.full.cpu import FullWing

    cpu = cpu_of(parts.config)
    frames, vcpu = _deprivileged_vcpu(parts, FULL_FRAMES, cpu)
    ioports, mmio = IoPortBus(), MmioBus()
    wing = FullWing(parts.memory, frames, vcpu, ioports, mmio, cpu)
    vcpu.v.remedy = REMEDIES.index(parts.config.remedy or DEFAULT_REMEDY)
    domain = domain_of(parts, wing)
    board = _attach_devices(parts, domain, vcpu, ioports, mmio, has_pc_io=has_pc_io)
    wing.interrupt_source = wing.msrs.apic = wing.control.task_priority = board.apic
    start.load(
        parts.image, parts.memory, vcpu, wing,
        cmdline=parts.config.cmdline, modules=_modules(parts), entry=parts.config.entry,
    )  # fmt: skip
    return Machine(domain, [vcpu], parts.image, ioports, mmio, board.screen), wing, board.apic


def _build_emu(parts: Parts) -> Machine:
    from pvisor.emu.cpu import EmuWing
    from pvisor.emu.vcpu import EmulatedVcpu
    from pvisor.full import start

    cpu = cpu_of(parts.config)
    vcpu = EmulatedVcpu(parts.memory, cpu=cpu)
    parts.owned.callback(vcpu.close)
    _begin_xcr0(vcpu, cpu)
    ioports, mmio = IoPortBus(), MmioBus()
    wing = EmuWing(vcpu, ioports, mmio, cpu)
    domain = domain_of(parts, wing)
    board = _attach_devices(parts, domain, vcpu, ioports, mmio)
    wing.interrupt_source = wing.apic = board.apic
    vcpu.map_devices(mmio, parts.memory.size_bytes)
    signature, _, _, features = wing.cpuid.leaf(1)
    tables = start.enter(
        parts.image, parts.memory, vcpu, signature, features,
        cmdline=parts.config.cmdline, modules=_modules(parts), entry=parts.config.entry,
    )  # fmt: skip
    if tables is not None:
        vcpu.load_tables(tables)
    return Machine(domain, [vcpu], parts.image, ioports, mmio, board.screen)


def _modules(parts: Parts) -> tuple[Module, ...]:
    return tuple(read_modules(parts.config.module_files, parts.config.memory_bytes))


def _attach_devices(
    parts: Parts, domain: Domain, vcpu: UnicornVcpu, ioports: IoPortBus, mmio: MmioBus, *,
    has_pc_io: bool = True,
) -> Board:  # fmt: skip
    """A PC's devices."""
    from pvisor.full.kernel_file import is_linux
    from pvisor.vmm.board import build_board

    awaits_driver = is_linux(parts.image)
    shared = new_deadlines()
    vcpu.v.device[DEVICE_DEADLINES] = shared
    timers = domain.timers = Timers(lambda: vcpu.virtual_ns, shared=shared)
    timers.seed = parts.config.seed
    timers.on_change = lambda: vcpu.set_deadline(timers.next_due_ns)
    timers.run_natively = vcpu.run_deadlines
    config = parts.config
    if not has_pc_io:
        return build_board(
            domain, vcpu, ioports, mmio, at_keyboard=config.screen, awaits_driver=awaits_driver
        )
    if len(config.disks) > 1:
        raise UsageError("--disk: the PC has one drive; give one file")
    disks = tuple(DiskImage(disk.path, read_only=disk.read_only) for disk in config.disks)
    for disk in disks:
        parts.owned.callback(disk.close)
    switch = parts.switch or Switch() if config.net else None
    if switch is not None:
        parts.owned.callback(switch.detach_machine, timers)
    return build_board(
        domain, vcpu, ioports, mmio,
        disks=disks, switch=switch, at_keyboard=config.screen, awaits_driver=awaits_driver,
    )  # fmt: skip
