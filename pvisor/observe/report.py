# SPDX-License-Identifier: GPL-2.0-or-later
"""The crash report: why a guest crashed, where, with what in its registers, and who had called whom.

    pvisor: the guest crashed: page fault: write to 0x100020, not writable
      on d1/v0
      at 0x0000000000100020  main+0x10  (write_text.c:10)
         mov byte ptr [rax], 0x90

Names come from the ELF file's symbols, lines from its DWARF; a file without them is said to have none.
"""

from __future__ import annotations

from pvisor.abi import calls, constants
from pvisor.cpu.decode import disassemble
from pvisor.cpu.vcpu import GPR_NAMES, SEGMENT_NAMES
from pvisor.domain.outcome import EndedBy
from pvisor.machine.elf import ElfImage
from pvisor.observe.linux.inquest import KernelFacts
from pvisor.observe.linux.report import kernel_report
from pvisor.para.tables import HYPERCALL_PAGE_GVA
from pvisor.vmm.config import MAX_BACKTRACE, CrashFacts, RunResult, TableFacts

FLAG_NAMES = ((0, "CF"), (2, "PF"), (4, "AF"), (6, "ZF"), (7, "SF"), (8, "TF"), (9, "IF"), (10, "DF"),
              (11, "OF"), (14, "NT"), (16, "RF"), (17, "VM"), (18, "AC"), (21, "ID"))  # fmt: skip
"""Bits of RFLAGS (SDM 1, 3.4.3)."""


def crash_report(
    result: RunResult, image: ElfImage, domid: int = 1, kernel: KernelFacts | None = None
) -> str:
    """The report as lines of text, the last one ended too. The first line is the reason.

    The second is domain and vCPU, as a trace names them; `domid` is the domain's number. With a `kernel` that
    was found in the guest's memory, names are those that it has itself, and its log follows.
    """
    crashed = result.ending.ended_by is EndedBy.CRASH
    lines = [
        f"pvisor: the guest crashed: {result.ending.reason}" if crashed else f"pvisor: {result.ending.reason}"
    ]
    facts = kernel.scene if kernel is not None else result.crash
    if facts is not None:
        lines.append(f"  on d{domid}/v{result.ending.vcpu_id}")
        if kernel is not None:
            lines += kernel_report(kernel, [*_code(facts), *_registers(facts), *_screen(result)])
        else:
            lines += [*_place(facts, image), *_registers(facts), *_screen(result), *_backtrace(facts, image)]
    return "\n".join(lines) + "\n"


def _place(facts: CrashFacts, image: ElfImage) -> list[str]:
    return [f"  at {_where(facts, facts.rip, facts.rip, image)}", *_code(facts)]


def _code(facts: CrashFacts) -> list[str]:
    return [f"     {disassemble(facts.code, facts.bits)}"] if facts.code else []


def _registers(facts: CrashFacts) -> list[str]:
    """Four general registers a line, then where and in which state the CPU was."""
    row = [f"{name:<3} {facts.registers[name]:016x}" for name in GPR_NAMES]
    lines = ["  registers", *(f"    {'  '.join(row[i : i + 4])}" for i in range(0, len(row), 4))]
    rflags = facts.registers["RFLAGS"]
    flags = " ".join(name for bit, name in FLAG_NAMES if rflags >> bit & 1)
    lines.append(f"    RIP {facts.rip:016x}  RFLAGS {rflags:08x}" + (f" [{flags}]" if flags else ""))
    if "CR2" in facts.registers:
        lines[-1] += f"  CR2 {facts.registers['CR2']:016x}"
    lines[-1] += f"  ring {facts.ring}"
    lines.append("    " + "  ".join(f"{name} {facts.registers[name]:04x}" for name in SEGMENT_NAMES))
    return lines + _system(facts)


def _system(facts: CrashFacts) -> list[str]:
    """Mode full: what the guest believes to have written into its privileged registers."""
    if not facts.system:
        return []
    wide = ("CR2", "CR3")
    values = (f"{name} {value:0{16 if name in wide else 8}x}" for name, value in facts.system.items())
    lines = ["  the guest's own system registers", "    " + "  ".join(values)]
    for names in (("GDTR", "IDTR"), ("LDTR", "TR")):
        tables = ((name, facts.tables[name]) for name in names)
        lines.append("    " + "  ".join(f"{name:<4} {_table(table)}" for name, table in tables))
    return lines


def _table(table: TableFacts) -> str:
    selector = f"{table.selector:04x}, " if table.selector is not None else ""
    return f"{selector}base {table.base:016x}, limit {table.limit:x}"


def _screen(result: RunResult) -> list[str]:
    """What a PC showed, where its guest had written anything there."""
    return ["  screen", *(f"    |{line}" for line in result.screen)] if result.screen else []


def _backtrace(facts: CrashFacts, image: ElfImage) -> list[str]:
    if facts.bits == 16:
        return ["  no backtrace: the guest was in 16-bit code"]
    lines = ["  backtrace, innermost first"]
    # A return address is behind its call, so the call's own line is that of the byte before.
    where = [_where(facts, facts.rip, facts.rip, image)]
    where += [_where(facts, address, address - 1, image) for address in facts.frames]
    lines += [f"    #{i:<2} {text}" for i, text in enumerate(where)]
    if len(facts.frames) == MAX_BACKTRACE:
        lines.append("    ... and more")
    if not facts.in_kernel:
        lines.append(f"  no names: the guest ran a program of its own, which is not in {image.path}")
    elif not image.functions:
        lines.append(f"  {image.path} has no symbols; link it without -s to see names here")
    return lines


def _where(facts: CrashFacts, address: int, inside: int, image: ElfImage) -> str:
    """An address with its name and source line; `inside` is a byte of the instruction that counts."""
    text = f"{address:#018x}"
    if not facts.in_kernel:
        return text
    stub, function = _hypercall_stub(address), image.function_at(inside)
    if stub is not None:
        text += f"  {stub}"
    elif function is not None:
        text += f"  {function.name}+{address - function.address:#x}"
    line = image.source_line(inside)
    return f"{text}  ({line})" if line is not None else text


def _hypercall_stub(address: int) -> str | None:
    """Which stub of the hypercall page an address lies in."""
    offset = address - HYPERCALL_PAGE_GVA
    if not 0 <= offset < constants.PAGE_BYTES.number:
        return None
    call = calls.by_number(offset // constants.STUB_BYTES.number)
    return f"hypercall page, {call.name}" if call is not None else "hypercall page, a number without a call"
