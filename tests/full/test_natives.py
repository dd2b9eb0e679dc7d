# SPDX-License-Identifier: GPL-2.0-or-later
"""Native handlers of a PC's CPU: they serve the plain cases, and a guest cannot tell whether one is there."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from pvisor.cpu.engine_start import native_names, start_engine
from pvisor.cpu.exits import ExitReason as R
from pvisor.cpu.vcpu import RAX, RBP, RBX, RCX, RDX, RSP
from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.run import run_domain
from tests.full import wing_rig as w
from tests.full.test_pc import GUESTS, NOT_IN_QEMU, RING_3_AND_DEVICES, over
from tests.full.wing_rig import KERNEL, USER, Start, served_alike
from tests.qemu import pc

EVERY = native_names("full")

SERVED: dict[str, tuple[R, ...]] = {
    name: (R[name.upper()],)
    for name in (
        "cli", "sti", "swapgs", "rdtsc", "mov_cr", "clts", "rdmsr", "wrmsr", "invlpg",
        "segment_load", "segment_query", "pushf", "popf", "exception", "general_protection", "invalid_opcode",
        "soft_int", "syscall", "sysret", "sysenter", "sysexit", "iret",
    )
}  # fmt: skip
SERVED["page_fault"] = (R.PAGE_FAULT, R.SHADOW_FILL)
"""Which exits a native handler of the CPU serves."""

GUESTS_OF: dict[str, tuple[tuple[str, int], ...]] = {
    "cli": (("exceptions", 64), ("pic", 32)), "sti": (("pic", 64), ("apic", 32)), "swapgs": (("compat", 64),),
    "rdtsc": (("user_privilege", 32), ("user_privilege", 64)),
    "mov_cr": (("paging", 64), ("pae", 32), ("control", 32)), "clts": (("control", 64),),
    "exception": (("exceptions", 32), ("compat", 64)), "general_protection": (("user_privilege", 32),),
    "invalid_opcode": (("user_exceptions", 64), ("segments", 32)),
    "soft_int": (("user_exceptions", 32), ("user_privilege", 64), ("compat", 64)),
    "rdmsr": (("control", 64),), "wrmsr": (("syscall", 64), ("sysenter", 32)),
    "page_fault": (("paging", 32), ("user_pae", 32), ("user_paging", 64), ("code_alias", 64),
                   ("double_fault", 64)),
    "invlpg": (("paging_large", 32), ("user_paging", 64)),
    "segment_load": (("segments", 32), ("segments", 64), ("limits", 32)),
    "segment_query": (("access_rights", 32), ("access_rights", 64)),
    "pushf": (("sensitive", 32), ("sensitive", 64)), "popf": (("sensitive", 64), ("user_privilege", 32)),
    "syscall": (("syscall", 64),), "sysret": (("syscall", 64), ("scheduler", 64)),
    "sysenter": (("sysenter", 32), ("sysenter", 64)), "sysexit": (("sysenter", 64), ("scheduler", 32)),
    "iret": (("user_exceptions", 32), ("transfers", 64), ("compat", 64), ("apic", 64)),
    "event_window": (("pic", 32), ("apic", 64), ("scheduler", 64)),
}  # fmt: skip
"""PC kernels that have the exits that a native handler serves."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Build a guest once: `built(name, bits)`."""
    folder = tmp_path_factory.mktemp("pc")
    return lru_cache(None)(lambda name, bits: pc.build(name, bits, folder))


def run(elf: Path, **settings: Any) -> tuple[tuple[object, ...], RunResult]:
    """All that a run leaves behind but for host facts, and its result."""
    records: list[tuple[object, ...]] = []

    def keep(batch: Any) -> None:
        for x in batch:
            records.append((x.virtual_ns, x.rip, x.reason, x.outcome, x.result, *list(x.ops)[: x.n_ops]))

    config = DomainConfig(elf, mode="full", max_insns=20_000_000, timeout_s=30, **settings)
    result = run_domain(config, trace=keep)
    counts = {reason: count.count for reason, count in result.exits.items()}
    return (result.n_instructions, result.virtual_ns, result.output, result.ending, counts, records), result


@pytest.mark.needs_gcc
@over(GUESTS + RING_3_AND_DEVICES + NOT_IN_QEMU)
def test_both_tiers_leave_the_same_trace(built: Any, name: str, bits: int) -> None:
    native, python = (run(built(name, bits), tier=tier)[0] for tier in ("native", "python"))
    assert native == python


@pytest.mark.needs_gcc
@pytest.mark.parametrize(
    ("native", "name", "bits"), [(native, *guest) for native, guests in GUESTS_OF.items() for guest in guests]
)
def test_each_native_handler_can_be_left_out(built: Any, native: str, name: str, bits: int) -> None:
    elf = built(name, bits)
    whole, result = run(elf)
    without, left = run(elf, without_natives=(native,))
    assert without == whole
    assert n_native(result, native) or native not in SERVED
    assert not n_native(left, native)


def n_native(result: RunResult, native: str) -> int:
    """How many exits of those that a native handler serves were served by one."""
    labels = [reason.label for reason in SERVED.get(native, ())]
    return sum(result.exits[label].native for label in labels if label in result.exits)


def test_no_native_handler_is_forgotten_here() -> None:
    devices = set(native_names("emu")) - {"event_window", "rdtsc"}  # the lane has hardly any but of devices
    assert SERVED.keys() | {"event_window"} == GUESTS_OF.keys() == set(EVERY) - devices


@pytest.mark.slow
@pytest.mark.needs_gcc
@pytest.mark.skipif("PVISOR_REPAIR" in os.environ, reason="this is the run that the test below starts")
def test_the_other_repair_changes_nothing(repo_root: Path) -> None:
    """There no single page of the TLB is dropped, and the state is a copy."""
    other = "context" if start_engine().repair == "state" else "state"
    chosen = "plain or paging or code or user_exceptions or syscall"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", chosen, __file__],
        cwd=repo_root, env={**os.environ, "PVISOR_REPAIR": other},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


# --- the plain cases are served natively

KERNEL_FRAME = (KERNEL + 0x10, w.CODE0, 0x202, w.KERNEL_STACK - 0x200, w.DATA0)
USER_FRAME = (USER + 0x10, w.CODE3 | 3, 0x3202, w.USER_STACK, w.DATA3 | 3)
USER32_FRAME = (USER + 0x10, w.CODE32_3 | 3, 0x202, w.USER_STACK, w.DATA3 | 3)
NULL_SS = (KERNEL + 0x10, w.CODE0, 0x46, w.KERNEL_STACK - 0x200, 0)
GATE_OF_USERS = {0x30: (KERNEL + 0x180, w.CODE0, 0xEE, 0)}

PLAIN: tuple[tuple[str, Start], ...] = (
    ("iret", Start(b"\x48\xcf", stack=KERNEL_FRAME)),
    ("iret", Start(b"\x48\xcf", stack=NULL_SS)),
    ("iret", Start(b"\x48\xcf", stack=USER_FRAME)),
    ("iret", Start(b"\x48\xcf", stack=USER32_FRAME)),
    ("iret", Start(b"\xcf", stack=USER32_FRAME, word_bytes=4)),
    ("iret", Start(b"\xcf", mode="legacy", stack=KERNEL_FRAME, word_bytes=4)),
    ("iret", Start(b"\xcf", mode="pae", stack=USER_FRAME, word_bytes=4)),
    ("iret", Start(b"\xcf", user=True, code=w.CODE32_3, stack=USER32_FRAME, word_bytes=4)),
    ("iret", Start(b"\x48\xcf", stack=USER_FRAME, gpr={RSP: w.KERNEL_STACK - 12}, pages={w.KERNEL_STACK: 0})),
    ("soft_int", Start(b"\xcd\x30")),
    ("soft_int", Start(b"\xcd\x30", user=True, gates=GATE_OF_USERS)),
    ("soft_int", Start(b"\xcd\x30", user=True, gates={0x30: (KERNEL + 0x180, w.CODE0, 0xEF, 1)})),
    ("soft_int", Start(b"\xcd\x30", user=True, code=w.CODE32_3, gates=GATE_OF_USERS)),
    ("soft_int", Start(b"\xcd\x30", mode="legacy", user=True, gates=GATE_OF_USERS)),
    ("soft_int", Start(b"\xcd\x30", user=True, gates={0x30: (USER + 0x180, w.CODE3 | 3, 0xEE, 0)})),
    ("soft_int", Start(b"\xcc", mode="unpaged")),
    ("invalid_opcode", Start(b"\x0f\x0b", user=True)),
    ("invalid_opcode", Start(b"\x0f\x0b", mode="pae")),
    ("exception", Start(b"\xf7\xf1")),
    ("exception", Start(b"\xd9\xe8", cr0=8)),
    ("general_protection", Start(b"\xf4", mode="legacy", user=True)),
    ("general_protection", Start(b"\x0f\x30", mode="unpaged", user=True)),
    ("page_fault", Start(b"\x88\x03", gpr={RBX: w.UNMAPPED})),
    ("page_fault", Start(b"\x8a\x03", user=True, gpr={RBX: w.DATA}, pages={w.DATA & ~0xFFF: w.U})),
    ("page_fault", Start(b"\xff\xe3", mode="pae", gpr={RBX: w.DATA})),
    ("page_fault", Start(b"\x88\x03", mode="legacy", large=True, gpr={RBX: w.DATA})),
    ("syscall", Start(b"\x0f\x05", user=True)),
    ("sysret", Start(b"\x48\x0f\x07", gpr={RCX: USER + 0x10, 11: 0x202})),
    ("sysret", Start(b"\x0f\x07", gpr={RCX: USER + 0x10, 11: 0x202}, virtual_if=True)),
    ("sysenter", Start(b"\x0f\x34", user=True)),
    ("sysenter", Start(b"\x0f\x34", mode="legacy", user=True)),
    ("sysexit", Start(b"\x48\x0f\x35", gpr={RCX: w.USER_STACK, RDX: USER + 0x10})),
    ("sysexit", Start(b"\x0f\x35", mode="pae", gpr={RCX: w.USER_STACK, RDX: USER + 0x10})),
    ("segment_load", Start(b"\x8e\xd8", gpr={RAX: w.DATA0})),
    ("segment_load", Start(b"\x8e\xd0", gpr={RAX: w.DATA0}, virtual_if=True)),
    ("segment_load", Start(b"\x8e\x5b\x02", mode="pae", stack=(w.DATA3,), gpr={RBX: w.KERNEL_STACK - 0x102})),
    ("segment_load", Start(b"\x1f", mode="legacy", stack=(w.DATA0,))),
    ("segment_load", Start(b"\x0f\xa1", stack=(w.DATA3 | 3,), user=True)),
    ("pushf", Start(b"\x9c")),
    ("pushf", Start(b"\x66\x9c", mode="legacy", user=True)),
    ("pushf", Start(b"\x9c", gpr={RSP: w.KERNEL_STACK + 4})),
    ("popf", Start(b"\x9d", stack=(0x244,))),
    ("popf", Start(b"\x9d", user=True, stack=(0x3244,), iopl=3)),
    ("popf", Start(b"\x9d", mode="pae", stack=(0x3244,), word_bytes=4)),
    ("swapgs", Start(b"\x0f\x01\xf8", fields={"kernel_gs_base": 0x1234})),
    ("rdtsc", Start(b"\x0f\x31", fields={"tsc_offset": 77})),
    ("rdtsc", Start(b"\x0f\x01\xf9", fields={"tsc_aux": 5})),
    ("mov_cr", Start(b"\x0f\x20\xdb")),
    ("mov_cr", Start(b"\x41\x0f\x20\xd1", fields={"cr2": 0x1234_5678_9ABC})),
    ("mov_cr", Start(b"\x0f\x22\xd8", gpr={RAX: w.TABLES})),
    ("mov_cr", Start(b"\x0f\x22\xd8", mode="pae", gpr={RAX: w.TABLES})),
    ("mov_cr", Start(b"\x0f\x22\xc0", gpr={RAX: 0x8001_003B})),
    ("mov_cr", Start(b"\x0f\x22\xe0", gpr={RAX: 0x620})),
    ("clts", Start(b"\x0f\x06", cr0=8)),
    ("invlpg", Start(b"\x0f\x01\x3b", gpr={RBX: w.DATA})),
    ("invlpg", Start(b"\x0f\x01\x3c\x8d\x00\x10\x00\x00", mode="legacy", gpr={RCX: 0x4000})),
    ("rdmsr", Start(b"\x0f\x32", gpr={RCX: 0xC000_0100})),
    ("rdmsr", Start(b"\x0f\x32", gpr={RCX: 0x10})),
    ("wrmsr", Start(b"\x0f\x30", gpr={RCX: 0xC000_0101, RAX: 0x1000, RDX: 0xFFFF_8000})),
    ("wrmsr", Start(b"\x0f\x30", gpr={RCX: 0xC000_0082, RAX: 0x1000})),
    ("event_window", Start(b"\x90", virtual_if=True, interrupt=0x30)),
    ("event_window", Start(b"\x90", user=True, virtual_if=True, interrupt=0x30)),
    ("event_window", Start(b"\xfb\x90\x90", mode="legacy", interrupt=0x30)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("native", "start"),
    PLAIN,
    ids=[f"{name}-{start.mode}-{start.insn.hex()}-{i}" for i, (name, start) in enumerate(PLAIN)],
)
def test_the_plain_case_is_native(native: str, start: Start) -> None:
    served = served_alike(start, EVERY)
    if native in SERVED:
        assert any(served.get(reason.name) for reason in SERVED[native])
    left = served_alike(start, [name for name in EVERY if name != native])
    assert not any(left.get(reason.name) for reason in SERVED.get(native, ()))


NOT_ACCESSED, NOT_ACCESSED_CODE, NOT_ACCESSED_3, NOT_ACCESSED_CODE_3 = 0x40, 0x48, 0x70, 0x78
"""Segments of the usual table whose accessed bit is clear."""
WITH_BASE = 0x88
"""A data segment that begins at 0x20000."""
BOTH_WIDTHS = 0x90
"""A code segment of 64 bits and 32 bits at once."""

RARE: tuple[Start, ...] = (
    Start(b"\x8e\xd0", gpr={RAX: NOT_ACCESSED}),
    Start(b"\x8e\xd8", gpr={RAX: NOT_ACCESSED}),
    Start(b"\x48\xcf", stack=(USER + 0x10, NOT_ACCESSED_CODE_3 | 3, 0x202, w.USER_STACK, w.DATA3 | 3)),
    Start(b"\x48\xcf", stack=(USER + 0x10, w.CODE3 | 3, 0x202, w.USER_STACK, NOT_ACCESSED_3 | 3)),
    Start(b"\xcd\x30", gates={0x30: (KERNEL + 0x180, NOT_ACCESSED_CODE, 0x8E, 0)}),
    Start(b"\xcd\x30", gates={0x30: (KERNEL + 0x180, BOTH_WIDTHS, 0x8E, 0)}),
    Start(b"\x48\xcf", stack=(KERNEL + 0x10, BOTH_WIDTHS, 0x202, w.KERNEL_STACK, w.DATA0)),
    Start(b"\x8e\xd8", gpr={RAX: w.DATA3}, gdt_limit=w.DATA3 + 6),
    Start(b"\x8e\xd8", gpr={RAX: w.DATA3}, gdt_limit=w.DATA3 + 7),
    Start(b"\xcd\x30", mode="pae", user=True, gates=GATE_OF_USERS, tss={8: NOT_ACCESSED}),
    Start(b"\xcd\x30", user=True, gates={0x30: (USER + 0x180, w.CODE3 | 3, 0xEE, 0)},
          pages={w.USER_STACK - 0x1000: w.U}),
    Start(b"\xcd\x30", user=True, gates=GATE_OF_USERS, pages={w.KERNEL_STACK - 0x1000: w.W}),
    Start(b"\x88\x03", gpr={RBX: w.UNMAPPED, RSP: w.KERNEL_STACK + 12}, pages={w.KERNEL_STACK - 0x1000: w.P}),
    Start(b"\xcf", mode="legacy", word_bytes=4, stack=(*KERNEL_FRAME[:2], 0x2_0002, *KERNEL_FRAME[3:])),
    Start(b"\x48\xcf", stack=(*USER_FRAME[:2], 0x302, *USER_FRAME[3:])),
    Start(b"\x9d", stack=(0x302,)),
    Start(b"\x48\x0f\x07", gpr={RCX: USER + 0x10, 11: 0x302}),
    Start(b"\xfa\xfb", user=True, iopl=3),
    Start(b"\x0f\x22\xd8", mode="pae", gpr={RAX: w.DATA & ~0xFFF}),
    Start(b"\x0f\x22\xd8", mode="pae", gpr={RAX: w.KERNEL_STACK - 0x100}, stack=(w.TABLES + 0x1003, 0, 0, 0)),
    Start(b"\x0f\x22\xd8", mode="pae", gpr={RAX: w.KERNEL_STACK - 0x100}, stack=(w.TABLES + 0x1001, 0, 0, 0)),
    Start(b"\x8e\x03", mode="legacy", data=WITH_BASE, stack=(w.DATA0,), gpr={RBX: w.KERNEL_STACK - 0x2_0100}),
    Start(b"\x8e\x45\x00", mode="pae", data=WITH_BASE, stack=(w.DATA0,), gpr={RBP: 0x1_0F00}),
    Start(b"\x0f\x01\x3b", mode="pae", data=WITH_BASE, gpr={RBX: w.DATA}),
    Start(b"\x0f\x05", user=True, rflags=0x1_0046),
    Start(b"\x9c", rflags=0x1_0046),
    Start(b"\x88\x03", gpr={RBX: w.MEMORY_BYTES}),
    # call 1f; lea 0x34(%rip), %rsp; int $0x30; 1: ret. The frame falls upon the handler, which has run.
    Start(bytes.fromhex("e813000000 488d2534000000 cd30 909090909090 90909090 c3"), pages={KERNEL: w.W | w.D},
          gates={0x30: (KERNEL + 0x818, w.CODE0, 0x8E, 0)}),
    # mov (%rbx), %al; pushf, onto the entry of that page; mov %rcx, %cr3; mov (%rbx), %al
    Start(bytes.fromhex("8a03 9c 0f22d9 8a03"),
          gpr={RBX: w.DATA, RCX: w.TABLES, RSP: w.TABLES + 0x3000 + w.DATA // 0x1000 * 8 + 8}),
)  # fmt: skip


@pytest.mark.parametrize("start", RARE, ids=[f"{s.mode}-{s.insn.hex()}-{i}" for i, s in enumerate(RARE)])
def test_what_is_rare_is_left_to_python(start: Start) -> None:
    served_alike(start, EVERY)


@pytest.mark.parametrize("bit", [1, 2, 5, 8, 38, 51, 52, 62, 63])
def test_reserved_bits_of_a_top_entry_of_pae_paging(bit: int) -> None:
    """SDM 3A table 4-8: #GP when CR3 is loaded."""
    entries = (w.TABLES + 0x1000 | 1 << bit | w.P, 0, 0, 0)
    start = Start(b"\x0f\x22\xd8", mode="pae", gpr={RAX: w.KERNEL_STACK - 0x100}, stack=entries)
    served_alike(start, EVERY)
    rig = w.WingRig(start)
    assert rig.facts(EVERY)["rip"] == KERNEL + 0x100 + 13
    rig.close()


@pytest.mark.parametrize("ist", [0, 1])
def test_exceptions_without_end_come_to_an_end(ist: int) -> None:
    """A handler that begins with what it handles: on a stack of its own, nothing else would end it."""
    start = Start(b"\x0f\x0b", gates={6: (KERNEL + 0x800, w.CODE0, 0x8E, ist)})
    assert served_alike(start, EVERY)["INVALID_OPCODE"] > 1000
