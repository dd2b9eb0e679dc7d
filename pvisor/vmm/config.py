# SPDX-License-Identifier: GPL-2.0-or-later
"""What a domain is made of, and what its run left behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pvisor.domain.outcome import Ending
from pvisor.machine.clock import DEFAULT_EPOCH_S
from pvisor.machine.modules import ModuleFile
from pvisor.vmm.credit import DEFAULT_WEIGHT

MODES = ("auto", "full", "para", "emu", "hybrid")
TIERS = ("native", "python")
REMEDIES = ("none", "patch", "registers")
"""What is done about sensitive instructions that do not trap: enum pv_remedy of the engine."""
DEFAULT_REMEDY = "patch"
TRANSPORTS = ("syscall", "vmcall", "int")
USUAL_MEMORY = -1
"""As much as the size of the kernel's file suggests (`usual_memory_bytes`)."""
MAX_BACKTRACE = 32
"""Frames that a crash report shows at most."""


def usual_memory_bytes(kernel: Path) -> int:
    """64 MiB; 256 for a file of 8 MiB or more, which is an operating system's kernel."""
    try:
        large = kernel.stat().st_size >= 8 << 20
    except OSError:  # whoever opens it says what is wrong
        large = False
    return (256 if large else 64) << 20


@dataclass(frozen=True, slots=True)
class DiskConfig:
    """A disk image of the host, and whether the guest may only read it. Its path may be given as text."""

    path: Path
    read_only: bool = False

    def __post_init__(self) -> None:
        """Make a path of a text."""
        object.__setattr__(self, "path", Path(self.path))


@dataclass(frozen=True, slots=True)
class DomainConfig:
    """One domain: its kernel, its mode, its limits. `without_natives` names native handlers to leave out.

    Paths may be given as text.
    """

    kernel: Path
    mode: str = "auto"
    memory_bytes: int = USUAL_MEMORY
    cmdline: str = ""
    initrd: Path | None = None
    """The first boot module of a PC kernel."""
    modules: tuple[ModuleFile, ...] = ()
    """The boot modules after it."""
    tier: str = "native"
    transport: str = "syscall"
    max_insns: int | None = None
    """What its virtual CPUs may execute together."""
    timeout_s: float | None = None
    epoch_s: int = DEFAULT_EPOCH_S
    realtime: bool = False
    """Virtual time goes with the host's clock, so the run does not repeat."""
    cpu: str | None = None
    """A PC's CPU, as `parse_cpu` (cpu/models.py) has it; None: the default one."""
    seed: int = 0
    """Of its random bytes, of its time slices, and of how late its deadlines are heard of; 0: at once."""
    net: bool = False
    """A network card, on the switch that the run is given or on one of its own."""
    debug_abi: bool = False
    remedy: str | None = None
    """One of REMEDIES; None is DEFAULT_REMEDY in mode full. Other modes have no choice."""
    time_exits: bool = False
    without_natives: tuple[str, ...] = ()
    watch: tuple[str, ...] = ()
    """Functions of the guest whose calls are counted as operations."""
    name: str = ""
    disks: tuple[DiskConfig, ...] = ()
    screen: bool = False
    """The user sits at the PC: what is typed goes to its keyboard, not to its serial port."""
    n_vcpus: int = 1
    """Virtual CPUs; a PC has one."""
    weight: int = DEFAULT_WEIGHT
    """Its share of the physical CPU, in proportion to the weights of the others."""
    cap_percent: int = 0
    """The most of a physical CPU that it gets; 0: all that is left."""
    group: str = ""
    """Of a Hypervisor with threads: domains of one group share a physical CPU."""
    network: str = ""
    """With `net`: the name of the switch that its card is plugged into, of those of a Hypervisor."""
    entry: str = "auto"
    """The boot protocol by which a PC kernel is entered (full/kernel_file.py, ENTRIES)."""

    def __post_init__(self) -> None:
        """Make paths of texts."""
        object.__setattr__(self, "kernel", Path(self.kernel))
        if self.initrd is not None:
            object.__setattr__(self, "initrd", Path(self.initrd))
        if self.memory_bytes == USUAL_MEMORY:
            object.__setattr__(self, "memory_bytes", usual_memory_bytes(self.kernel))

    @property
    def module_files(self) -> tuple[ModuleFile, ...]:
        """All boot modules in their order, the initrd first."""
        first = (ModuleFile(self.initrd, option="--initrd"),) if self.initrd is not None else ()
        return (*first, *self.modules)


@dataclass(frozen=True, slots=True)
class ExitCount:
    """How often a reason occurred, who served it, what that cost the host (None: not measured)."""

    count: int
    native: int
    python: int
    wall_ns: int | None


@dataclass(frozen=True, slots=True)
class Operation:
    """Calls of one guest function, with the exits and instructions inside them."""

    name: str
    calls: int
    exits: int
    instructions: int
    exits_before: int
    """Until its first call."""
    instructions_before: int


@dataclass(frozen=True, slots=True)
class TableFacts:
    """GDTR, IDTR, LDTR or TR; the last two have a selector, too."""

    base: int
    limit: int
    selector: int | None = None


@dataclass(frozen=True, slots=True)
class CrashFacts:
    """What a crash report needs of the moment of the crash. In mode full it is as the guest sees it."""

    rip: int
    registers: Mapping[str, int]
    frames: tuple[int, ...]
    """Return addresses, innermost first."""
    code: bytes
    bits: int
    """16, 32 or 64: the width of the code."""
    ring: int
    system: Mapping[str, int] = field(default_factory=dict)
    """Mode full: the guest's own control registers."""
    tables: Mapping[str, TableFacts] = field(default_factory=dict)
    """Mode full: the guest's own GDTR, IDTR, LDTR and TR."""
    in_kernel: bool = True
    """Is the code that of the kernel's file? Symbols tell nothing of a program that the kernel has loaded."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """A run: how it ended and what it did."""

    mode: str
    tier: str
    repair: str
    ending: Ending
    n_instructions: int
    virtual_ns: int
    wall_ns: int
    output: bytes
    first_to_last_byte_ns: int
    """Host time from the first entry into the guest to its last byte of output; 0 without output."""
    exits: Mapping[str, ExitCount] = field(default_factory=dict)
    operations: tuple[Operation, ...] = ()
    crash: CrashFacts | None = None
    unclaimed_ioports: Mapping[int, int] = field(default_factory=dict)
    remedy: str | None = None
    """What was done about sensitive instructions: of REMEDIES in mode full, None where there is no choice."""
    patches: tuple[int, int] | None = None
    """Mode full: sensitive instructions that are replaced at the end, and that ever were."""
    idle_ns: int = 0
    """Virtual time in which its first vCPU did not run, a part of `virtual_ns`."""
    steal_ns: int = 0
    """The part of `idle_ns` in which that vCPU could have run, and others did."""
    n_deadlines: int = 0
    """Deadlines of devices that came."""
    unclaimed_mmio: Mapping[int, int] = field(default_factory=dict)
    """Accesses by guest-physical address where there is neither RAM nor a device."""
    n_unclaimed_mmio_elsewhere: int = 0
    """Those to further addresses, when there were too many to name."""
    screen: tuple[str, ...] = ()
    """The text on a PC's screen at the end: without blanks at the ends of lines, and empty lines below."""
