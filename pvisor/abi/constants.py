# SPDX-License-Identifier: GPL-2.0-or-later
"""The numbers and texts of the ABI that are neither calls, errors nor features."""

from __future__ import annotations

from pvisor.abi.areas import console, cpu, events, grants, itself, memory, power, rings, store, time
from pvisor.abi.model import Constant

# The order of the groups is their order in the header and in the reference.
DISCOVERY = "Version and discovery"
PAGE = "Hypercall page and address space"
NOTE = "ELF note"
START = "Start state"
LIMITS = "Limits"
SHUTDOWN = "Shutdown reasons"

_SIGNATURE = "pvisorpvisor"


def _text_as_number(text: str) -> int:
    return int.from_bytes(text.encode("ascii"), "little")


ABI_VERSION = Constant(
    "PV_ABI_VERSION", 1, "the version of the ABI described here", DISCOVERY, is_frozen=False
)
CPUID_BASE = Constant(
    "PV_CPUID_BASE",
    0x4000_0000,
    "CPUID leaf: EAX = highest leaf, EBX ECX EDX = signature",
    DISCOVERY,
    is_hex=True,
)
CPUID_VERSION = Constant(
    "PV_CPUID_VERSION",
    0x4000_0001,
    "CPUID leaf: EAX = ABI version, EBX = hypercall pages",
    DISCOVERY,
    is_hex=True,
)
CPUID_FEATURES = Constant(
    "PV_CPUID_FEATURES",
    0x4000_0002,
    "CPUID leaf: EAX = features 0-31, EBX = features 32-63",
    DISCOVERY,
    is_hex=True,
)
CPUID_HIGHEST = Constant(
    "PV_CPUID_HIGHEST",
    0x4000_0002,
    "the highest leaf of this version",
    DISCOVERY,
    is_hex=True,
    is_frozen=False,
)
CPUID_SIGNATURE = Constant(
    "PV_CPUID_SIGNATURE", _SIGNATURE, "EBX, ECX, EDX of PV_CPUID_BASE as 12 bytes", DISCOVERY
)
CPUID_SIGNATURE_EBX = Constant(
    "PV_CPUID_SIGNATURE_EBX", _text_as_number(_SIGNATURE[0:4]), "its bytes 0-3", DISCOVERY, is_hex=True
)
CPUID_SIGNATURE_ECX = Constant(
    "PV_CPUID_SIGNATURE_ECX", _text_as_number(_SIGNATURE[4:8]), "its bytes 4-7", DISCOVERY, is_hex=True
)
CPUID_SIGNATURE_EDX = Constant(
    "PV_CPUID_SIGNATURE_EDX", _text_as_number(_SIGNATURE[8:12]), "its bytes 8-11", DISCOVERY, is_hex=True
)

PAGE_BYTES = Constant("PV_PAGE_BYTES", 4096, "a page, a frame", PAGE)
STUB_BYTES = Constant("PV_STUB_BYTES", 32, "from one stub of the hypercall page to the next", PAGE)
CALLS_PER_PAGE = Constant("PV_CALLS_PER_PAGE", 128, "stubs in a hypercall page", PAGE)
HYPERCALL_PAGES = Constant("PV_HYPERCALL_PAGES", 2, "hypercall pages of this version", PAGE, is_frozen=False)
HOLE_START = Constant(
    "PV_HOLE_START", 0xFFFF_8000_0000_0000, "first address of the hypervisor's hole", PAGE, is_hex=True
)
HOLE_END = Constant(
    "PV_HOLE_END", 0xFFFF_8800_0000_0000, "first address after the hypervisor's hole", PAGE, is_hex=True
)
POISON = Constant(
    "PV_POISON",
    0xDEAD_C0DE_DEAD_C0DE,
    "what RCX and R11 hold after a call under --debug-abi",
    PAGE,
    is_hex=True,
)

ELF_NOTE_NAME = Constant("PV_ELF_NOTE_NAME", "pvisor", "the note's name", NOTE)
ELF_NOTE_TYPE = Constant("PV_ELF_NOTE_TYPE", 1, "the note's type; its body is struct pv_elf_note", NOTE)
ELF_NOTE_TYPE_PC = Constant(
    "PV_ELF_NOTE_TYPE_PC", 2, "the same for a PC kernel that needs the hypervisor: mode hybrid", NOTE
)

START_MAGIC = Constant(
    "PV_START_MAGIC",
    _text_as_number("pvstart\0"),
    'struct pv_start_info.magic: the bytes "pvstart", 0',
    START,
    is_hex=True,
)
STACK_BYTES = Constant("PV_STACK_BYTES", 65536, "the stack that a guest starts on", START)

CMDLINE_MAX = Constant("PV_CMDLINE_MAX", 4095, "longest command line, without its NUL", LIMITS)
CONSOLE_WRITE_MAX = Constant("PV_CONSOLE_WRITE_MAX", 65536, "most bytes that one CONSOLE_WRITE takes", LIMITS)
CONSOLE_READ_MAX = Constant("PV_CONSOLE_READ_MAX", 65536, "most bytes that one CONSOLE_READ gives", LIMITS)

SHUTDOWN_POWEROFF = Constant(
    "PV_SHUTDOWN_POWEROFF", 0, "the guest is done; the status says how it went", SHUTDOWN
)
SHUTDOWN_REBOOT = Constant("PV_SHUTDOWN_REBOOT", 1, "start again; today's pvisor ends the run", SHUTDOWN)
SHUTDOWN_CRASH = Constant("PV_SHUTDOWN_CRASH", 2, "the guest reports its own failure", SHUTDOWN)

_AREAS = (itself, console, time, power, cpu, memory, events, grants, store, rings)
_AREA_CONSTANTS = tuple(row for area in _AREAS for row in area.CONSTANTS)

GROUPS: tuple[str, ...] = (
    DISCOVERY, PAGE, NOTE, START, LIMITS, SHUTDOWN, *dict.fromkeys(row.group for row in _AREA_CONSTANTS),
)  # fmt: skip

CONSTANTS: tuple[Constant, ...] = (
    ABI_VERSION, CPUID_BASE, CPUID_VERSION, CPUID_FEATURES, CPUID_HIGHEST,
    CPUID_SIGNATURE, CPUID_SIGNATURE_EBX, CPUID_SIGNATURE_ECX, CPUID_SIGNATURE_EDX,
    PAGE_BYTES, STUB_BYTES, CALLS_PER_PAGE, HYPERCALL_PAGES, HOLE_START, HOLE_END, POISON,
    ELF_NOTE_NAME, ELF_NOTE_TYPE, ELF_NOTE_TYPE_PC,
    START_MAGIC, STACK_BYTES,
    CMDLINE_MAX, CONSOLE_WRITE_MAX, CONSOLE_READ_MAX,
    SHUTDOWN_POWEROFF, SHUTDOWN_REBOOT, SHUTDOWN_CRASH,
    *_AREA_CONSTANTS,
)  # fmt: skip
