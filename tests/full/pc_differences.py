# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a stock QEMU differs from the manual (Intel SDM): the lines of a guest, and what QEMU prints."""

from __future__ import annotations

import re

USUAL_OPTIONS = "-cpu qemu64,+pdpe1gb,vendor=GenuineIntel"
_BY_INSTRUCTIONS = f"{USUAL_OPTIONS} -icount shift=0,sleep=off -rtc clock=vm"  # a busy host changes nothing
QEMU_OPTIONS = dict.fromkeys(
    ("pic", "pit", "rtc", "uart_irq", "apic", "scheduler", "nmi", "habits_time"),
    _BY_INSTRUCTIONS,
) | {"habits_devices": f"{USUAL_OPTIONS} -vga std"}
"""By guest: options for QEMU instead of the usual ones."""

_NO_LIMITS = {
    "\nbeyond the limit by one: vector 13, error 0x0, at +7, in ring 3": "nothing",
    "\na byte beyond the limit: vector 13, error 0x0, at +7, in ring 3": "nothing",
    "\nby DS: vector 13, error 0x0, at +7, in ring 3": "nothing",
    "\nby ES, REP STOSB up to the limit: vector 13, error 0x0, at +19, in ring 3": "nothing",
    "\nby GS, beyond: vector 13, error 0x0, at +7, in ring 3": "nothing",
    "\na write to a read-only segment: vector 13, error 0x0, at +7, in ring 3": "nothing",
    "\nexpand-down, below its limit: vector 13, error 0x0, at +7, in ring 3": "nothing",
    "\na null segment: vector 13, error 0x0, at +4, in ring 3": "nothing",
    "\na write by CS: vector 13, error 0x0, at +0, in ring 3": "nothing",
    "\na stack beyond its limit: vector 12, error 0x0, at +12, in ring 3": "nothing",
    "\na pop beyond it: vector 12, error 0x0, at +12, in ring 3": "nothing",
    "\nby EBP beyond it: vector 12, error 0x0, at +12, in ring 3": "nothing",
    "  the one behind it: 0x0": "it: 0x99",
    "over its limit: exceptions: 0x1\n  vector: 0xd\n  error: 0x0\n"
    "  CS in the frame: 0x17\n  IP in the frame: 0x100": "exceptions: 0x0",
}

# SDM 3B 17.2.3: DR6 has all conditions that were met, DR7.GD guards the registers, RF lasts until a repeated
# instruction is done, and behind its last round IP is the next instruction's.
_DEBUG_REGISTERS = {
    "STOSB, two before it and two in it: +0xb +0xd\n  DR6: 0x1\n  in ring 3: +0xb +0xd":
        "STOSB, two before it and two in it: +0xb +0xb\n  DR6: 0x1\n  in ring 3: +0xb +0xb",
    "another page, watched too: +0x10\n  DR6: 0xa\n  in ring 3: +0x10\n  DR6: 0xa":
        "another page, watched too: +0x10\n  DR6: 0x2\n  in ring 3: +0x10\n  DR6: 0x2",
    "before REP STOSB of 3: 0x1": "3: 0x3",
    "REP OUTSB of 2: 0x2": "2: 0x1",
    "with TF:": "TF: elsewhere",
    "general detect: +0x0\n  DR6: 0x2000\n  DR7 behind it: 0x400":
        "general detect: nothing\n  DR6: 0x0\n  DR7 behind it: 0x2400",
}  # fmt: skip

DIFFERENCES: dict[str, dict[str, str]] = {
    "watchpoints": _DEBUG_REGISTERS,
    "watchpoints-32": {
        "at once: +0x5\n  DR6: 0x6\n  in ring 3: +0x5\n  DR6: 0x6":
            "at once: +0x5\n  DR6: 0x2\n  in ring 3: +0x5\n  DR6: 0x2",
        "POP in ring 3: +0x10\n  DR6: 0x6": "3: +0x10\n  DR6: 0x2",
        "POPF in ring 3: +0xa +0x1a\n  DR6: 0x6": "3: +0xa +0x1a\n  DR6: 0x2",
    },
    "watchpoints-64": {
        "at once: +0x7\n  DR6: 0x6\n  in ring 3: +0x7\n  DR6: 0x6":
            "at once: +0x7\n  DR6: 0x2\n  in ring 3: +0x7\n  DR6: 0x2",
        "POP in ring 3: +0x15\n  DR6: 0x6": "3: +0x15\n  DR6: 0x2",
        "POPF in ring 3: +0xb +0x20\n  DR6: 0x6": "3: +0xb +0x20\n  DR6: 0x2",
    },
    "user_paging-64": {
        "ring 0 reads: vector 14, error 0x9": "error 0x8",
        "ring 0 writes: vector 14, error 0xb": "error 0xa",
        "ring 0 runs: vector 14, error 0x9": "error 0x8",
        "ring 3 reads: vector 14, error 0xd": "error 0xc",
        "ring 3 writes: vector 14, error 0xf": "error 0xe",
        "ring 3 runs: vector 14, error 0xd": "error 0xc",
    },
    "user_pae-32": {
        "ring 0 reads: vector 14, error 0x9": "error 0x8",
        "ring 0 writes: vector 14, error 0xb": "error 0xa",
        "ring 0 runs: vector 14, error 0x9": "error 0x8",
        "ring 3 reads: vector 14, error 0xd": "error 0xc",
        "ring 3 writes: vector 14, error 0xf": "error 0xe",
        "ring 3 runs: vector 14, error 0xd": "error 0xc",
    },
    # SDM 3A 6.13: the index in the error code is the vector, also where a gate has 16 bytes.
    "exceptions-64": {
        "int through a gate that is not present: vector 11, error 0x10a": "error 0x212",
        "int through a gate of no such type: vector 13, error 0x10a": "error 0x212",
        "int beyond the table: vector 13, error 0x302": "error 0x602",
    },
    # SDM 2A, LTR: a null selector is #GP(0).
    "segments-32": {"LTR of null: vector 13, error 0x0, at +0": "LTR of null: nothing"},
    "segments-64": {"LTR of null: vector 13, error 0x0, at +0": "LTR of null: nothing"},
    # SDM 2A, IRET: #GP(0) when the return address is beyond the limit.
    "transfers-32": {
        "the segment's limit: vector 13, error 0x0, at +9": "the segment's limit: nothing",
    },
    # SDM 2A, IRET: the fault is that of IRET, not of the fetch after it.
    "transfers-64": {
        "IRET to an address that is not canonical: vector 13, error 0x0, at +20": "error 0x0",
    },
    # SDM 3A 4.7: RSVD is set only together with P.
    "paging-32": {"reserved bit: vector 14, error 0x9": "error 0x8"},
    "paging-64": {"vector 14, error 0x9": "error 0x8"},
    "paging_large-64": {"vector 14, error 0x9": "error 0x8"},
    "pae-32": {"reserved bit: vector 14, error 0x9": "error 0x8"},
    # SDM 3A 6.13: the index in the error code is the vector, also where a gate has 16 bytes; EXT is set when
    # a fault comes while an earlier exception is delivered. SDM 2B, PUSH: a bad stack address is #SS.
    "user_exceptions-32": {
        "ud2 in ring 0 by a gate into ring 3: vector 13, error 0x91": "error 0x90",
    },
    "user_exceptions-64": {
        "int3: vector 13, error 0x1a": "error 0x32",
        "int 3 in two bytes: vector 13, error 0x1a": "error 0x32",
        "int 1 in two bytes: vector 13, error 0xa": "error 0x12",
        "int 2: vector 13, error 0x12": "error 0x22",
        "int 8: vector 13, error 0x42": "error 0x82",
        "int 13: vector 13, error 0x6a": "error 0xd2",
        "int 14: vector 13, error 0x72": "error 0xe2",
        "int 0x20: vector 13, error 0x102": "error 0x202",
        "int 0xff: vector 13, error 0x7fa": "error 0xff2",
        "int beyond the table: vector 13, error 0x502": "error 0xa02",
        "int by a gate of DPL 3 that is not present: vector 11, error 0x182": "error 0x302",
        "int by a gate of DPL 0 that is not present: vector 13, error 0x182": "error 0x302",
        "int 0x20, handled in ring 3: error: 0x102": "error: 0x202",
        "ud2 in ring 0 by a gate into ring 3: vector 13, error 0xa1": "error 0xa0",
        "push to an address that is not canonical: vector 12": "vector 13",
    },
    # SDM 3A 3.4.5.1: a load of CS sets the accessed bit as well.
    # SDM 2A, LAR and LSL: in IA-32e mode the 16-bit TSS and call gate and the task gate are no valid types.
    "access_rights-32": {
        "kernel code in use, ring 0: rights 0xc09b00": "rights 0xc09a00",
        "\nuser code, ring 0: rights 0xc0fb00": "rights 0xc0fa00",
        "\nuser code, ring 3: rights 0xc0fb00": "rights 0xc0fa00",
        "32-bit user code, ring 0: rights 0xc0fb00": "rights 0xc0fa00",
        "32-bit user code, ring 3: rights 0xc0fb00": "rights 0xc0fa00",
    },
    "access_rights-64": {
        "kernel code in use, ring 0: rights 0xa09b00": "rights 0xa09a00",
        "\nuser code, ring 0: rights 0xa0fb00": "rights 0xa0fa00",
        "\nuser code, ring 3: rights 0xa0fb00": "rights 0xa0fa00",
        "1: 16-bit TSS, ring 0: nothing": "1: 16-bit TSS, ring 0: rights 0xe100 limit 0x2345",
        "1: 16-bit TSS, ring 3: nothing": "1: 16-bit TSS, ring 3: rights 0xe100 limit 0x2345",
        "busy 16-bit TSS, ring 0: nothing": "busy 16-bit TSS, ring 0: rights 0xe300 limit 0x2345",
        "busy 16-bit TSS, ring 3: nothing": "busy 16-bit TSS, ring 3: rights 0xe300 limit 0x2345",
        "16-bit call gate, ring 0: nothing": "16-bit call gate, ring 0: rights 0xe400",
        "16-bit call gate, ring 3: nothing": "16-bit call gate, ring 3: rights 0xe400",
        "task gate, ring 0: nothing": "task gate, ring 0: rights 0xe500",
        "task gate, ring 3: nothing": "task gate, ring 3: rights 0xe500",
    },
    # SDM 2B, SYSCALL: RFLAGS AND NOT IA32_FMASK (QEMU clears the status flags and DF in any case); #UD
    # outside 64-bit mode. SYSRET: #GP(0), still in ring 0, when RCX is not canonical. WRMSR: #GP(0) for such
    # an LSTAR.
    "syscall-64": {
        "flags inside: 0x240cd7": "inside: 0x240002",
        "flags inside: 0x2008d7": "inside: 0x200002",
        "is not canonical: vector: 0xd\n  error: 0x0\n  CS in the frame: 0x80": "CS in the frame: 0xa3",
        "SYSCALL in 32-bit code: vector 6, error 0x0, at +0, in ring 3": "nothing",
        "the entry of CSTAR was taken: 0x0": "taken: 0x1",
        "LSTAR that is not canonical: vector 13, error 0x0, at +10": "nothing",
    },
    # SDM 2B, SYSENTER: #GP(0) unless CS[15:2] names something; SYSEXIT: #GP(0), still in ring 0, when RCX or
    # RDX is not canonical; WRMSR: #GP(0) for such an address.
    "sysenter-32": {"SYSENTER with CS of 3: vector 13, error 0x0, at +9, in ring 3": "nothing"},
    "sysenter-64": {
        "SYSENTER with CS of 3: vector 13, error 0x0, at +10, in ring 3": "nothing",
        "SYSENTER IP that is not canonical: vector 13, error 0x0, at +15": "nothing",
        "SYSENTER SP that is not canonical: vector 13, error 0x0, at +15": "nothing",
        "SYSEXIT to an IP that is not canonical: vector 13, error 0x0, at +14": "error 0x0, in ring 3",
        "SYSEXIT to an SP that is not canonical: vector 13, error 0x0, at +14": "error 0x0, in ring 3",
    },
    # SDM 3A 5.3 and 5.5: limits and types are checked in 32-bit code. QEMU's TCG checks far jumps only.
    "limits-32": _NO_LIMITS,
    "limits-64": _NO_LIMITS,
    # SDM 3A 6.13: the index in the error code is the vector, also where a gate has 16 bytes.
    "compat-64": {"int 0x20: vector 13, error 0x102": "error 0x202"},
    # Intel 8254 data sheet: a low gate stops the count in modes 0, 2, 3 and 4; the output is high while
    # modes 2 to 7 wait; the null count bit. Mode 1 goes low by the gate's edge.
    "pit": {
        "  the count stands still: 0x1": "still: 0x0",
        "gate low again: it stands: 0x1": "stands: 0x0",
        "it is not loaded: 0x1": "loaded: 0x0",
        "nor after one of two bytes: 0x1": "bytes: 0x0",
        "mode 2: output with the gate low: 0x1": "low: 0x0",
        "mode 4: output with the gate low: 0x1": "low: 0x0",
        "mode 5: output with the gate low: 0x1": "low: 0x0",
        "mode 6: output with the gate low: 0x1": "low: 0x0",
        "mode 7: output with the gate low: 0x1": "low: 0x0",
        "goes low by the gate's edge: 0x0": "edge: 0x1",
    },
    # MC146818 data sheet: PF is set at the rate of register A, whatever PIE is.
    "rtc": {"  but its flag: 0x40": "flag: 0x0"},
    # NS16550A data sheet, 8.6.7 and 8.6.8: changes are told in loopback too. A PC lets no interrupt through
    # without OUT2.
    "uart_irq": {
        "not without OUT2: 0x0\n  IIR has it: 0x2": "OUT2: 0x1\n  IIR inside: 0x2\n  IIR has it: 0x1",
        "  at last: 0x0": "last: 0x1",
        "CTS and its change: 0x91": "change: 0x90",
        "DTR on: DSR: 0xa2": "DSR: 0xa0",
        "RTS on: CTS: 0xb1": "CTS: 0xb0",
        "OUT2 off: DCD: 0x78": "DCD: 0x70",
        "the ring ends: 0x34": "ends: 0x30",
        "all off: 0x3": "off: 0x0",
        "OUT2 on: 0x88": "on: 0x80",
        "IIR until MSR is read: 0x0": "read: 0x1",
    },
    # Nobody answers on a PC's bus: it floats high. QEMU's pc also has a floppy controller and the ISA's DMA.
    "habits_memory": {"\nnothing there: 0xffffffff": "there: 0x0"},
    "habits_devices": {"floppy controller: 0xff": "controller: 0x80", "\nDMA: 0xff": "DMA: 0x0"},
    # SDM 2A, INT n/INTO/INT3/INT1: INT1 is #DB, whatever the gate's DPL.
    "single_step": {
        "INT1: vector 1, error 0x0, at +1": "vector 6, error 0x0, at +0",
        "INT1 in ring 3: vector 1, error 0x0, at +1": "vector 6, error 0x0, at +0",
    },
    "single_step-64": {"INT 1 in ring 3: vector 13, error 0xa": "error 0x12"},
    # SDM 3A 6.13: EXT is set when a fault comes while an earlier exception is delivered.
    # SDM 2A, INT n: a local TSS is #GP. 3A table 7-1: a stack that is not present is #SS; 7.3: a bad EIP
    # is a fault of the new task. 3B 17.3.1.5: the trap bit. QEMU also saves CF as it was long before.
    "tasks-32": {
        "  saved: 0x5": "saved: 0x4",
        "a gate to a local TSS: INT: vector 0xd": "vector 0xa",
        "SS: not present: vector 0xc": "vector 0xb",
        "it was the new one's: 0x1": "one's: 0x0",
        "the trap bit: vector 0x1, error 0x0, in 0x1c0\n  DR6.BT: 0x8000\n"
        "  before its first instruction: 0x1": "bit: ran in 0x1c0\n  DR6.BT: 0x0\n"
        "  before its first instruction: 0x0",
        "that is not present: vector 0xb, error 0x1c1": "error 0x1c0",
    },
    "double_fault-64": {
        "#UD with no gate: vector 11, error 0x33": "error 0x62",
        "#UD into a segment that is not there: vector 13, error 0x209": "error 0x208",
    },
}
"""By guest (of one width, or of both): part of an expected line, and how QEMU 7 to 9 ends it (`instead`)."""

# Segment limits and types: the engine has no more checks than QEMU, whose translator it is. And code in which
# an instruction is replaced shows that to a guest that reads it.
HERE: dict[str, dict[str, str]] = {
    "limits-32": DIFFERENCES["limits-32"],
    "limits-64": DIFFERENCES["limits-64"],
}
"""By guest: what `full` cannot do on this engine, in the same form."""


def as_full(name: str, text: str) -> str:
    """The expected output of a guest (`name-bits`), with the lines that differ in the mode `full`."""
    for manual, ours in HERE.get(name, {}).items():
        text = text.replace(manual, instead(manual, ours))
    if name.startswith("sensitive_code"):
        replaced = re.compile(
            r"^((?!MOV from).+ in ring \d: .*\n(?:  .*\n)*?  it reads back as it was written:) 0x1", re.M
        )
        text = replaced.sub(r"\1 0x0", text)
    return text


def as_qemu(name: str, text: str) -> str:
    """The expected output of a guest (`name-bits`), with the lines that differ under QEMU."""
    for ours, theirs in {**DIFFERENCES.get(name, {}), **DIFFERENCES.get(name[:-3], {})}.items():
        text = text.replace(ours, instead(ours, theirs))
    return text


def instead(ours: str, theirs: str) -> str:
    """What QEMU prints for a part of a line: the same up to the word with which `theirs` begins."""
    word = theirs.split()[0]
    return ours[: ours.rfind("vector" if word == "nothing" else word)] + theirs


def options_of(name: str) -> str:
    """With which options QEMU runs a guest."""
    return QEMU_OPTIONS.get(name, USUAL_OPTIONS)
