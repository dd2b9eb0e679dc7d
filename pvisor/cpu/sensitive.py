# SPDX-License-Identifier: GPL-2.0-or-later
"""Sensitive instructions in words: they concern the machine itself, and do not trap in a deprivileged kernel.

An instruction is *sensitive* when it shows or changes the state of the machine itself; a machine can be
virtualized by trap-and-emulate alone if all of them trap (Popek and Goldberg, "Formal Requirements for
Virtualizable Third Generation Architectures", CACM 17(7), 1974). Robin and Irvine ("Analysis of the Intel
Pentium's Ability to Support a Secure Virtual Machine Monitor", USENIX Security 2000) found seventeen on x86
that do not. Those of the seventeen that stand here are replaced where they run; the others (PUSH, POP and MOV
of segment registers, far CALL, JMP and RET, INT n) need it not: visible selectors are the guest's own, and a
load of one traps. IN, OUT and RDTSC are on the list for guest user code alone: the engine checks neither
IOPL nor CR4.TSD.

Which bytes are one, C alone decides (`is_sensitive` in shim/sensitive.c); here they get their names.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pvisor.cpu.decode import MAX_INSN_BYTES
from pvisor.cpu.shim import lib

PAPER = "Robin and Irvine 2000"


class Group(Enum):
    """What a sensitive instruction is about."""

    FLAGS = "flags"
    TABLES = "table registers"
    CONTROL = "control register"
    SEGMENTS = "segment queries"
    IO = "I/O, user code only"
    TIME = "time, user code only"


@dataclass(frozen=True, slots=True)
class Sensitive:
    """One sensitive instruction."""

    name: str
    group: Group
    at_ring_1: str
    """What it would show or do in a guest that nobody patched: its kernel at ring 1, its user code at 3."""
    source: str
    """Where the manual has it, and whether it is one of the seventeen."""
    mnemonics: tuple[str, ...]
    """How the decoder spells it, by operand size."""
    in_user_code_only: bool = False
    """For guest kernel code the engine hands it over by an intercept: only user code needs a patch."""


def _io(name: str, sdm: str, *mnemonics: str) -> Sensitive:
    effect = "reaches the device, whatever IOPL says"
    return Sensitive(name, Group.IO, effect, f"SDM {sdm}, {name}; SDM 1 19.5", mnemonics, True)


SENSITIVE = (
    Sensitive("PUSHF", Group.FLAGS, "shows IOPL 0, whatever the guest set", f"SDM 2B, PUSHF; {PAPER}",
              ("pushf", "pushfd", "pushfq")),
    Sensitive("POPF", Group.FLAGS, "leaves IF and IOPL as they are, silently", f"SDM 2B, POPF; {PAPER}",
              ("popf", "popfd", "popfq")),
    Sensitive("SGDT", Group.TABLES, "shows the hypervisor's GDTR", f"SDM 2B, SGDT; {PAPER}", ("sgdt",)),
    Sensitive("SIDT", Group.TABLES, "shows the hypervisor's IDTR", f"SDM 2B, SIDT; {PAPER}", ("sidt",)),
    Sensitive("SLDT", Group.TABLES, "shows the hypervisor's LDTR", f"SDM 2B, SLDT; {PAPER}", ("sldt",)),
    Sensitive("STR", Group.TABLES, "shows the hypervisor's TR", f"SDM 2B, STR; {PAPER}", ("str",)),
    Sensitive("SMSW", Group.CONTROL, "shows the real CR0", f"SDM 2B, SMSW; {PAPER}", ("smsw",)),
    Sensitive("LAR", Group.SEGMENTS, "looks into the hypervisor's GDT", f"SDM 2A, LAR; {PAPER}", ("lar",)),
    Sensitive("LSL", Group.SEGMENTS, "looks into the hypervisor's GDT", f"SDM 2A, LSL; {PAPER}", ("lsl",)),
    Sensitive("VERR", Group.SEGMENTS, "looks into the hypervisor's GDT", f"SDM 2C, VERR; {PAPER}", ("verr",)),
    Sensitive("VERW", Group.SEGMENTS, "looks into the hypervisor's GDT", f"SDM 2C, VERW; {PAPER}", ("verw",)),
    _io("IN", "2A", "in"),
    _io("OUT", "2B", "out"),
    _io("INS", "2A", "insb", "insw", "insd"),
    _io("OUTS", "2B", "outsb", "outsw", "outsd"),
    Sensitive("RDTSC", Group.TIME, "runs although the guest's CR4.TSD is set", "SDM 2B, RDTSC; SDM 3A 2.5",
              ("rdtsc",), True),
    Sensitive("RDTSCP", Group.TIME, "runs although the guest's CR4.TSD is set", "SDM 2B, RDTSCP; SDM 3A 2.5",
              ("rdtscp",), True),
)  # fmt: skip
"""All of them. In LAR's group, a selector of the guest finds no descriptor: the real GDTR has limit 0."""


def find_sensitive(mnemonic: str) -> Sensitive | None:
    """The row of a decoder's mnemonic, prefixes and all, or None."""
    name = mnemonic.rpartition(" ")[2]
    return next((row for row in SENSITIVE if name in row.mnemonics), None)


def is_sensitive(insn: bytes, bits: int, *, in_user_code: bool) -> bool:
    """Would the engine replace this, a whole instruction of code of 16, 32 or 64 bits, where it runs?"""
    if not 0 < len(insn) <= MAX_INSN_BYTES:
        return False
    return bool(lib.pv_is_sensitive(insn, len(insn), bits == 64, in_user_code))
