# SPDX-License-Identifier: GPL-2.0-or-later
"""The builder: the only place where a domain's parts are wired together."""

from __future__ import annotations

from dataclasses import dataclass

from pvisor.cpu.unicorn_engine import UNLIMITED, UnicornVcpu
from pvisor.domain.domain import Domain
from pvisor.errors import GuestRefused, UsageError
from pvisor.full.kernel_file import is_pc_kernel, read_image, refuse_multiboot2
from pvisor.machine.clock import WallClock
from pvisor.machine.console import ConsoleInput, ConsoleOutput
from pvisor.machine.disk import DiskImage
from pvisor.machine.elf import ElfImage
from pvisor.machine.frames import HypervisorFrames
from pvisor.machine.ioports import IoPortBus
from pvisor.machine.memory import GuestMemory
from pvisor.machine.mmio import MmioBus
from pvisor.machine.modules import read_modules
from pvisor.machine.switch import Switch
from pvisor.machine.timers import Timers
from pvisor.para.start import abi_note
from pvisor.vmm.config import MODES, REMEDIES, TIERS, TRANSPORTS, DomainConfig


@dataclass(slots=True)
class Machine:
    """A domain ready to run, with what must be freed after it."""

    domain: Domain
    vcpu: UnicornVcpu
    frames: HypervisorFrames
    image: ElfImage
    ioports: IoPortBus | None
    disks: tuple[DiskImage, ...] = ()

    def close(self) -> None:
        """Free engine, tables and disks. The console's output stays readable."""
        self.vcpu.close()
        self.frames.close()
        for disk in self.disks:
            disk.close()


def mode_of(image: ElfImage, asked: str) -> str:
    """`full` or `para`: as asked, or by what the kernel's file says."""
    if asked not in MODES:
        raise UsageError(f"--mode {asked}: there is {', '.join(MODES)}")
    if asked != "auto":
        return asked
    if abi_note(image) is not None:
        return "para"
    if is_pc_kernel(image):
        return "full"
    refuse_multiboot2(image)
    raise GuestRefused(
        f"{image.path}: neither a PC kernel (PVH note, or Multiboot 1 header) nor a paravirtual one "
        "(pvisor note); `pvisor build` makes both"
    )


def build(config: DomainConfig, console: ConsoleOutput, input: ConsoleInput, *, domid: int = 1,
          switch: Switch | None = None) -> Machine:  # fmt: skip
    """Make a domain and load its kernel. Raises UsageError or GuestRefused; then nothing is left behind."""
    if config.tier not in TIERS or config.transport not in TRANSPORTS:
        raise UsageError(f"no such tier or transport: {config.tier}, {config.transport}")
    image = read_image(config.kernel)
    mode = mode_of(image, config.mode)
    if config.net and mode != "full":
        raise UsageError("--net: a paravirtual guest has no network card")
    memory = GuestMemory(config.memory_bytes)
    n_frames = FULL_FRAMES if mode == "full" else PARA_FRAMES
    frames = HypervisorFrames(n_frames)
    vcpu = UnicornVcpu(memory, frames)
    disks: list[DiskImage] = []
    try:
        _open_disks(config, mode, disks)
        build_wing = _build_full if mode == "full" else _build_para
        plugged = switch or Switch() if config.net else None
        domain, ioports = build_wing(
            config, image, memory, frames, vcpu, console, input, domid, tuple(disks), plugged
        )
    except BaseException:
        vcpu.close()
        frames.close()
        for disk in disks:
            disk.close()
        raise
    domain.vcpus.append(vcpu)
    vcpu.v.budget = UNLIMITED if config.max_insns is None else config.max_insns
    vcpu.v.debug_abi = config.debug_abi
    vcpu.v.time_exits = config.time_exits
    if config.tier == "native":
        vcpu.enable_natives(mode, config.without_natives)
    return Machine(domain, vcpu, frames, image, ioports, tuple(disks))


FULL_FRAMES = 4096
"""The hypervisor's frames, most for shadow tables: when they are used up, the shadow begins anew."""
PARA_FRAMES = 8


def _build_full(config: DomainConfig, image: ElfImage, memory: GuestMemory, frames: HypervisorFrames,
                vcpu: UnicornVcpu, console: ConsoleOutput, input: ConsoleInput, domid: int,
                disks: tuple[DiskImage, ...], switch: Switch | None) -> tuple[Domain, IoPortBus]:  # fmt: skip
    from pvisor.full import start
    from pvisor.full.cpu import FullWing
    from pvisor.vmm.board import build_board

    ioports, mmio = IoPortBus(), MmioBus()
    wing = FullWing(memory, frames, vcpu, ioports, mmio)
    vcpu.v.remedy = REMEDIES.index(config.remedy)
    domain = Domain(
        domid, config.name or image.path.name, memory, wing, [], console, input, WallClock(config.epoch_s)
    )
    timers = domain.timers = Timers(lambda: vcpu.virtual_ns)
    timers.on_change = lambda: vcpu.set_deadline(timers.next_due_ns)
    board = build_board(domain, vcpu, ioports, mmio, disks=disks, switch=switch)
    wing.interrupt_source = wing.msrs.apic = wing.control.task_priority = board.apic
    modules = read_modules(config.module_files, config.memory_bytes)
    start.load(image, memory, vcpu, wing, cmdline=config.cmdline, modules=modules)
    return domain, ioports


def _open_disks(config: DomainConfig, mode: str, opened: list[DiskImage]) -> None:
    """Open the disks that a domain shall have; what `opened` holds is the caller's to close."""
    if config.disks and mode != "full":
        raise UsageError(f"--disk: only --mode full has a disk, and this guest is for {mode}")
    if len(config.disks) > 1:
        raise UsageError("--disk: the PC has one drive; give one file")
    for disk in config.disks:
        opened.append(DiskImage(disk.path, read_only=disk.read_only))


def _build_para(config: DomainConfig, image: ElfImage, memory: GuestMemory, frames: HypervisorFrames,
                vcpu: UnicornVcpu, console: ConsoleOutput, input: ConsoleInput, domid: int,
                disks: tuple[DiskImage, ...], switch: Switch | None) -> tuple[Domain, None]:  # fmt: skip
    from pvisor.para import start
    from pvisor.para.cpu import ParaWing

    if config.module_files:
        raise UsageError(f"{config.module_files[0].option}: only a PC kernel (mode full) gets boot modules")
    wing = ParaWing(start.offered_features(config.transport))
    domain = Domain(
        domid, config.name or image.path.name, memory, wing, [], console, input, WallClock(config.epoch_s)
    )
    start.load(image, memory, frames, vcpu, cmdline=config.cmdline, transport=config.transport, domid=domid)
    return domain, None
