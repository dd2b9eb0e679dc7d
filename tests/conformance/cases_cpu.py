# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases of CPU state, as far as a guest at CPL 1 sees it by its own calls.

Entries into the kernel and user code are tried in tests/para/test_user_mode.py.
"""

from __future__ import annotations

from pvisor.abi import constants, errnos
from pvisor.abi.areas import cpu
from pvisor.abi.errnos import EBUSY, EFAULT, EINVAL
from pvisor.abi.layout import offsetof
from pvisor.machine.frames import HypervisorFrames
from pvisor.machine.memory import PAGE_BYTES
from pvisor.para.cpu import VirtualCpus
from pvisor.para.hypercalls import Served
from pvisor.para.paging import Paging
from pvisor.para.refusal import refused
from pvisor.para.segments import gdt_page
from tests.conformance.case import Asleep, At, Case, Data, Frame, Peek, Poke, Start, Step, Value
from tests.conformance.rows import B, D
from tests.conformance.world import FIRST_FREE, TABLES, Player, World

FAULT, INVALID, BUSY = -EFAULT.number, -EINVAL.number, -EBUSY.number
HOLE, HOLE_END = constants.HOLE_START.number, constants.HOLE_END.number
NOT_CANONICAL = 1 << 47
USER_INT, MASK = cpu.TRAP_USER_INT.number, cpu.TRAP_MASK.number
CODE, STACK = cpu.KERNEL_CS.number, cpu.KERNEL_SS.number
USER_CODE, USER_STACK, USER_CODE32 = cpu.USER_CS.number, cpu.USER_SS.number, cpu.USER_CS32.number
FIRST, LAST = cpu.FIRST_DESCRIPTOR.number, cpu.N_DESCRIPTORS.number - 1
DATA3, CODE3, CODE3_32 = 0x00CF_F300_0000_FFFF, 0x00AF_FB00_0000_FFFF, 0x00CF_FB00_0000_FFFF
"""Flat descriptors with DPL 3."""
MASKED = Start("shared_info", offsetof("pv_shared_info", "vcpu") + offsetof("pv_vcpu_info", "upcall_mask"))


class TablesHeld:
    """Frames as the start has left them: the first tables are tables."""

    def hold(self, frame: int, *, writable: bool) -> None:
        """Refuse a table."""
        if TABLES <= frame * PAGE_BYTES < FIRST_FREE:
            raise refused(errnos.EBUSY)

    def drop(self, frame: int, *, writable: bool) -> None:
        """Nothing to do."""


def room(world: World, player: Player) -> tuple[Served, ...]:
    """The CPU state of a domain's vCPUs."""
    frames, n_vcpus = HypervisorFrames(2), len(player.vcpus)
    gdts = frames.allocate()
    frames.write(gdts, gdt_page(n_vcpus))
    paging = player.parts.get(Paging)
    spaces, holds = (paging, paging.frames) if isinstance(paging, Paging) else (None, TablesHeld())
    made = VirtualCpus(frames, gdts, player.shared, n_vcpus, spaces=spaces, holds=holds)
    return (*player.part(VirtualCpus, lambda: made).served,)


def entry(handler: Value, vector: int = 3, flags: int = 0, reserved0: int = 0, reserved1: int = 0) -> Data:
    """A struct pv_trap_entry."""
    rest = vector | flags << 8 | reserved0 << 16 | reserved1 << 32
    return Data(handler, rest)


def table(id: str, entries: Value, n_entries: int, result: int) -> Case:
    return Case(f"trap-table-{id}", (Step(cpu.TRAP_TABLE, (entries, n_entries), result),))


def one(id: str, call: object, args: tuple[Value, ...], result: int) -> Case:
    return Case(id, (Step(call, args, result),))  # type: ignore[arg-type]


def frame(rip: Value, cs: int = CODE, rflags: int = 2, rsp: Value = 0, ss: int = STACK,
          rdi: Value = 0) -> Data:  # fmt: skip
    """A struct pv_iret_frame."""
    return Data(0, 0, 0, rdi, rip, cs, rflags, rsp, ss)


def iret(id: str, steps: tuple[Step, ...], to: Value, result: int) -> Case:
    return Case(f"iret-{id}", (*steps, Step(cpu.IRET, (to,), result)))


def descriptor(id: str, index: int, value: int, result: int) -> Case:
    return one(f"descriptor-{id}", cpu.DESCRIPTOR_SET, (index, value), result)


def base(id: str, which: int, value: Value, result: int) -> Case:
    return one(f"segment-base-{id}", cpu.SEGMENT_BASE_SET, (which, value), result)


TRAP_TABLES = (
    table("one", entry(0x20_0000), 1, 0),
    table("removed", entry(0, 255, USER_INT | MASK), 1, 0),
    table("nothing", 0xDEAD, 0, 0),
    table("all", Data(bytes(16 * 256)), 256, 0),
    table("too-many", Data(bytes(16 * 257)), 257, INVALID),
    table("too-many-is-judged-before-memory", 0xDEAD, 257, INVALID),
    table("unknown-flag", entry(0x20_0000, 3, 4), 1, INVALID),
    table("reserved-0", entry(0x20_0000, 3, 0, 1), 1, INVALID),
    table("reserved-1", entry(0x20_0000, 3, 0, 0, 1), 1, INVALID),
    table("not-canonical", entry(NOT_CANONICAL), 1, INVALID),
    table("hole", entry(HOLE), 1, INVALID),
    table("hypercall-page", entry(Start("hypercall_page")), 1, INVALID),
    table("above-the-hole", entry(HOLE_END), 1, 0),
    table("second-is-bad", Data(0x20_0000, 3, NOT_CANONICAL, 4), 2, INVALID),
    table("absent", At(D), 1, FAULT),
    table("last-byte-absent", At(D - 16), 2, FAULT),
    table("null", 0, 1, FAULT),
    table("wraps", (1 << 64) - 8, 1, FAULT),
)

ENTRIES = (
    one("upcall-set", cpu.UPCALL_SET, (0x20_0000,), 0),
    one("upcall-none", cpu.UPCALL_SET, (0,), 0),
    one("upcall-not-canonical", cpu.UPCALL_SET, (NOT_CANONICAL,), INVALID),
    one("upcall-in-the-hole", cpu.UPCALL_SET, (HOLE_END - 1,), INVALID),
    one("syscall-set", cpu.SYSCALL_SET, (0x20_0000, 0), 0),
    one("syscall-masked", cpu.SYSCALL_SET, (0x20_0000, MASK), 0),
    one("syscall-none", cpu.SYSCALL_SET, (0, 0), 0),
    one("syscall-flags", cpu.SYSCALL_SET, (0x20_0000, USER_INT), INVALID),
    one("syscall-not-canonical", cpu.SYSCALL_SET, (NOT_CANONICAL, 0), INVALID),
    one("syscall-in-the-hole", cpu.SYSCALL_SET, (HOLE, 0), INVALID),
    one("stack-set", cpu.STACK_SET, (Start("stack_top"),), 0),
    one("stack-none", cpu.STACK_SET, (0,), 0),
    one("stack-odd", cpu.STACK_SET, (Start("stack_top", 8),), INVALID),
    one("stack-not-canonical", cpu.STACK_SET, (NOT_CANONICAL,), INVALID),
    one("stack-in-the-hole", cpu.STACK_SET, (HOLE + 4096,), INVALID),
)

ASLEEP = frame(Asleep(), rsp=At(B), rdi=Start("hypercall_page"))
SET_CODE32 = Step(cpu.DESCRIPTOR_SET, (FIRST, 0x0040_BB00_0000_00FF))
"""32-bit code at CPL 1 with a limit of 255."""
IRETS = (
    Case("iret", (Step(cpu.IRET, (ASLEEP,), None),), ends=124),
    iret("absent", (), At(D), FAULT),
    iret("across-a-page-end-into-nothing", (), At(D - 71), FAULT),
    iret("null", (), 0, FAULT),
    iret("to-nothing", (), frame(NOT_CANONICAL, rsp=At(B)), INVALID),
    iret("virtual-8086-mode", (), frame(Asleep(), rflags=1 << 17), INVALID),
    iret("nested-task", (), frame(Asleep(), rflags=1 << 14), INVALID),
    iret("iopl-1", (), frame(Asleep(), rflags=1 << 12), INVALID),
    iret("iopl-2", (), frame(Asleep(), rflags=1 << 13), INVALID),
    iret("null-cs", (), frame(Asleep(), cs=1), INVALID),
    iret("cs-of-ring-0", (), frame(Asleep(), cs=8), INVALID),
    iret("cs-is-data", (), frame(Asleep(), cs=STACK), INVALID),
    iret("cs-with-another-rpl", (), frame(Asleep(), cs=CODE | 3), INVALID),
    iret("cs-of-an-ldt", (), frame(Asleep(), cs=CODE | 4), INVALID),
    iret("cs-beyond-the-table", (), frame(Asleep(), cs=8 * (LAST + 1) | 1), INVALID),
    iret("cs-of-17-bits", (), frame(Asleep(), cs=1 << 16 | CODE), INVALID),
    iret("cs-of-nothing", (), frame(Asleep(), cs=8 * LAST | 1), INVALID),
    iret("null-ss", (), frame(Asleep(), ss=0), INVALID),
    iret("ss-is-code", (), frame(Asleep(), ss=CODE), INVALID),
    iret("ss-of-17-bits", (), frame(Asleep(), ss=1 << 16 | STACK), INVALID),
    iret("ss-of-another-ring", (), frame(Asleep(), ss=USER_STACK), INVALID),
    iret("user-with-the-kernels-stack", (), frame(0, cs=USER_CODE), INVALID),
    iret("beyond-4-gib-of-32-bit-code", (), frame(1 << 32, cs=USER_CODE32, ss=USER_STACK), INVALID),
    iret("beyond-the-limit", (SET_CODE32,), frame(0x100, cs=8 * FIRST | 1), INVALID),
    iret("ss-that-is-read-only", (Step(cpu.DESCRIPTOR_SET, (FIRST, DATA3 & ~(1 << 41))),),
         frame(0, cs=USER_CODE, ss=8 * FIRST | 3), INVALID),
)  # fmt: skip

DESCRIPTORS = (
    descriptor("data", FIRST, DATA3, 0),
    descriptor("code", LAST, CODE3, 0),
    descriptor("code-32", LAST, CODE3_32, 0),
    descriptor("of-the-kernel", FIRST, DATA3 & ~(2 << 45), 0),
    descriptor("none", LAST, 0, 0),
    descriptor("not-the-guests", FIRST - 1, DATA3, INVALID),
    descriptor("null", 0, DATA3, INVALID),
    descriptor("beyond", LAST + 1, DATA3, INVALID),
    descriptor("upper-half", 1 << 32 | FIRST, DATA3, INVALID),
    descriptor("dpl-0", FIRST, DATA3 & ~(3 << 45), INVALID),
    descriptor("dpl-2", FIRST, DATA3 & ~(1 << 45), INVALID),
    descriptor("not-present", FIRST, DATA3 & ~(1 << 47), INVALID),
    descriptor("call-gate", FIRST, 0x0000_EC00_0009_0000, INVALID),
    descriptor("tss", FIRST, 0x0000_E900_0000_0067, INVALID),
    descriptor("conforming", FIRST, CODE3 | 1 << 42, INVALID),
    descriptor("64-and-32-bits", FIRST, CODE3 | 1 << 54, INVALID),
)

BASES = (
    base("fs", 0, At(0), 0),
    base("gs", 1, 0xFFFF_FFFF_FFFF_F000, 0),
    base("user-gs", 2, 0x7FFF_FFFF_F000, 0),
    base("in-the-hole", 0, HOLE, 0),
    base("unknown", 3, 0, INVALID),
    base("upper-half", 1 << 32, 0, INVALID),
    base("not-canonical", 2, NOT_CANONICAL, INVALID),
)

OTHERS = (
    Case("fpu-ts", (Step(cpu.FPU_TS, (1,)), Step(cpu.FPU_TS, (1,)), Step(cpu.FPU_TS, (0,)))),
    one("fpu-ts-2", cpu.FPU_TS, (2,), INVALID),
    one("fpu-ts-upper-half", cpu.FPU_TS, (1 << 32,), INVALID),
    Case("shared-set", (
        Poke(Frame(0), 8, 0x55), Poke(MASKED, 1, 0), Step(cpu.SHARED_SET, (Frame(0),)),
        Peek(Frame(0), 8, 0), Peek(Frame(0, offsetof("pv_shared_info", "mask")), 8, (1 << 64) - 1),
        Peek(MASKED, 1, 0), Poke(MASKED, 1, 1), Step(cpu.SHARED_SET, (Frame(0),)),
        Step(cpu.SHARED_SET, (Start("shared_info_gpa"),)),
    )),
    one("shared-set-odd", cpu.SHARED_SET, (Frame(0, 8),), INVALID),
    one("shared-set-no-memory", cpu.SHARED_SET, (Start("memory_bytes"),), INVALID),
    one("shared-set-far-away", cpu.SHARED_SET, ((1 << 64) - 4096,), INVALID),
    one("shared-set-a-table", cpu.SHARED_SET, (Start("root_table"),), BUSY),
)  # fmt: skip

CASES: tuple[Case, ...] = (*TRAP_TABLES, *ENTRIES, *IRETS, *DESCRIPTORS, *BASES, *OTHERS)
