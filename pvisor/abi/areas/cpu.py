# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls about the state of a virtual CPU, and the shared page."""

from __future__ import annotations

from pvisor.abi.errnos import EBUSY, EFAULT, EINVAL, ENOENT
from pvisor.abi.features import EVENTS, TRAPS
from pvisor.abi.model import Constant, CType, Field, Hypercall, Struct, gva_in, u32, u64

SELECTORS = "Selectors"
SHARED = "Shared page"
TRAP_FLAGS = "Traps"
SEGMENT_BASES = "Segment bases"

KERNEL_CS = Constant("PV_KERNEL_CS", 0x09, "the kernel's code, at CPL 1", SELECTORS, is_hex=True)
KERNEL_SS = Constant("PV_KERNEL_SS", 0x11, "the kernel's stack and data", SELECTORS, is_hex=True)
USER_SS = Constant("PV_USER_SS", 0x1B, "the user's stack and data, at CPL 3", SELECTORS, is_hex=True)
USER_CS = Constant("PV_USER_CS", 0x23, "the user's 64-bit code", SELECTORS, is_hex=True)
USER_CS32 = Constant("PV_USER_CS32", 0x2B, "the user's 32-bit code", SELECTORS, is_hex=True)
FIRST_DESCRIPTOR = Constant("PV_FIRST_DESCRIPTOR", 8, "the first descriptor that is the guest's", SELECTORS)
N_DESCRIPTORS = Constant("PV_N_DESCRIPTORS", 32, "descriptors in the table; those after it fault", SELECTORS)

MAX_VCPUS = Constant("PV_MAX_VCPUS", 16, "most virtual CPUs of a domain", SHARED)
EVENT_PORTS = Constant("PV_EVENT_PORTS", 1024, "event ports of a domain: 0 (never used) to 1023", SHARED)

N_TRAPS = Constant("PV_N_TRAPS", 256, "vectors, and most entries that one TRAP_TABLE takes", TRAP_FLAGS)
TRAP_USER_INT = Constant(
    "PV_TRAP_USER_INT", 1, "user code may raise it by INT n, INT3 or INTO; else those are #GP", TRAP_FLAGS
)
TRAP_MASK = Constant("PV_TRAP_MASK", 2, "upcalls are masked when the handler is entered", TRAP_FLAGS)

SEGMENT_FS = Constant("PV_SEGMENT_FS", 0, "the base of FS", SEGMENT_BASES)
SEGMENT_GS = Constant("PV_SEGMENT_GS", 1, "the base of GS, while the kernel runs", SEGMENT_BASES)
SEGMENT_USER_GS = Constant("PV_SEGMENT_USER_GS", 2, "the base of GS for user code", SEGMENT_BASES)

CONSTANTS: tuple[Constant, ...] = (
    KERNEL_CS, KERNEL_SS, USER_SS, USER_CS, USER_CS32, FIRST_DESCRIPTOR, N_DESCRIPTORS,
    MAX_VCPUS, EVENT_PORTS, N_TRAPS, TRAP_USER_INT, TRAP_MASK,
    SEGMENT_FS, SEGMENT_GS, SEGMENT_USER_GS,
)  # fmt: skip

_GUEST, _HYPERVISOR, _BOTH = "guest", "hypervisor", "both"

VCPU_INFO = Struct(
    "pv_vcpu_info",
    "A virtual CPU's part of the shared page.",
    (
        Field("upcall_pending", CType.U8, "1: an unmasked event is pending; the guest clears it",
              writer=_BOTH),
        Field("upcall_mask", CType.U8, "1: no upcall, as with IF clear; an upcall sets it", writer=_BOTH),
        Field("reserved0", CType.U16, "0"),
        Field("time_version", CType.U32, "odd while the time below is being written", writer=_HYPERVISOR),
        Field("pending_words", CType.U64, "bit i: look at pending[i]; the guest clears it before it looks",
              writer=_BOTH),
        Field("cr2", CType.U64, "the address of the latest page fault", writer=_HYPERVISOR),
        Field("tsc_at", CType.U64, "the TSC when system_ns was written", writer=_HYPERVISOR),
        Field("system_ns", CType.U64, "system time then", writer=_HYPERVISOR),
        Field("tsc_mul", CType.U32, "nanoseconds per shifted tick, times 2^32", writer=_HYPERVISOR),
        Field("tsc_shift", CType.U8, "shift the TSC's difference left by this", writer=_HYPERVISOR),
        Field("reserved1", CType.U8, "0", 3),
        Field("steal_ns", CType.U64, "time for which it could have run, and another ran", writer=_HYPERVISOR),
        Field("reserved2", CType.U64, "0", 9),
    ),
    grows=False,
)  # fmt: skip

SHARED_INFO = Struct(
    "pv_shared_info",
    "The shared page: written by guest and hypervisor at the same time, without a call.",
    (
        Field("pending", CType.U64, "bit p % 64 of word p / 64: port p was signalled", 16,
              writer=_BOTH),
        Field("mask", CType.U64, "likewise: port p is masked; all are at the start", 16, writer=_GUEST),
        Field("wall_s", CType.U64, "UTC at system time 0: seconds since 1970", writer=_HYPERVISOR),
        Field("wall_ns", CType.U32, "and nanoseconds", writer=_HYPERVISOR),
        Field("n_vcpus", CType.U32, "virtual CPUs of this domain", writer=_HYPERVISOR),
        Field("reserved", CType.U64, "0", 30),
        Field("vcpu", VCPU_INFO, "one for each virtual CPU", 16),
    ),
    grows=True,
    end="it has no member for its size, so a feature bit tells of each, and all of it stays in this one page",
)  # fmt: skip

TRAP_ENTRY = Struct(
    "pv_trap_entry",
    "One vector of the trap table, for TRAP_TABLE.",
    (
        Field("handler", CType.GVA, "where the kernel is entered; 0: nowhere, as at the start"),
        Field("vector", CType.U8, "the x86 vector"),
        Field("flags", CType.U8, "PV_TRAP_USER_INT, PV_TRAP_MASK"),
        Field("reserved0", CType.U16, "0"),
        Field("reserved1", CType.U32, "0"),
    ),
    grows=False,
)  # fmt: skip

TRAP_STACK = Struct(
    "pv_trap_stack",
    "What lies on the kernel's stack when it is entered by a trap, a user's SYSCALL or an upcall.",
    (
        Field("error_code", CType.U64, "as x86 pushes it; 0 where x86 pushes none", writer="hypervisor"),
        Field("rip", CType.U64, "where to go on", writer="hypervisor"),
        Field("cs", CType.U64, "the code segment; its two lowest bits are the CPL", writer="hypervisor"),
        Field("rflags", CType.U64, "bit 9, IF: upcalls were not masked", writer="hypervisor"),
        Field("rsp", CType.U64, "the stack pointer", writer="hypervisor"),
        Field("ss", CType.U64, "the stack segment", writer="hypervisor"),
    ),
    grows=False,
)  # fmt: skip

IRET_FRAME = Struct(
    "pv_iret_frame",
    "What IRET loads. Its upper part is struct pv_trap_stack without the error code.",
    (
        Field("rax", CType.U64, "these three the call itself cannot keep"),
        Field("rcx", CType.U64, "likewise"),
        Field("r11", CType.U64, "likewise"),
        Field("rdi", CType.U64, "and this one holds the call's argument"),
        Field("rip", CType.U64, "where to go on"),
        Field("cs", CType.U64, "PV_KERNEL_CS, PV_USER_CS, PV_USER_CS32 or a descriptor of the guest's own"),
        Field("rflags", CType.U64, "bit 9, IF: upcalls are not masked from then on"),
        Field("rsp", CType.U64, "the stack pointer"),
        Field("ss", CType.U64, "PV_KERNEL_SS or PV_USER_SS, or a descriptor of the guest's own"),
    ),
    grows=False,
)  # fmt: skip

STRUCTS: tuple[Struct, ...] = (VCPU_INFO, SHARED_INFO, TRAP_ENTRY, TRAP_STACK, IRET_FRAME)

_BAD_ENTRY = "`entry` is not canonical or in the hypervisor's hole"

TRAP_TABLE = Hypercall(
    nr=0x40,
    name="TRAP_TABLE",
    summary="Set handlers of exceptions and of INT n.",
    args=(
        gva_in("entries", "the vectors to set; all others stay as they are", struct="pv_trap_entry"),
        u32("n_entries", "how many, at most `PV_N_TRAPS`; 0 sets none"),
    ),
    result="0",
    errors={
        EFAULT: "the entries are not all readable; none has been set",
        EINVAL: "`n_entries` is too large, a reserved field is not 0, a flag is unknown, or a handler is not "
        "canonical or in the hypervisor's hole; none has been set",
    },
    notes=(
        "The table is the calling virtual CPU's own. At the start no vector has a handler.",
        "A handler is entered at CPL 1 with CS = `PV_KERNEL_CS`, SS = `PV_KERNEL_SS`, RFLAGS = 2 and RSP at "
        "a `struct pv_trap_stack`; every other register is as it was. The frame lies 16-byte aligned: out of "
        "user code at the top that STACK_SET gave, out of the kernel below the RSP that it had.",
        "`rip` in the frame is the instruction that failed, or the next one for INT n, INT3, INTO and a "
        "single step (vector 1). The address of a page fault is in `pv_vcpu_info.cr2`.",
        "INT n from user code, without `PV_TRAP_USER_INT` or without a handler, is #GP with the error code "
        "8 n + 2. So is INT n of the kernel without a handler.",
        "A vector that is listed twice has the later entry.",
        "An exception that has no handler ends the domain, with the reason in words; so does a frame that "
        "cannot be written.",
        "What is privileged is #GP(0) for user code: I/O instructions, too. IN and OUT of the kernel end the "
        "domain.",
    ),
    feature=TRAPS,
    replaces="the IDT, which `LIDT` names: 16 bytes a gate, read by the CPU at each event",
    example=(
        "static const struct pv_trap_entry breakpoint = {\n"
        "    .handler = 0x200000, .vector = 3, .flags = PV_TRAP_USER_INT};\n"
        "pv_trap_table(&breakpoint, 1);"
    ),
)

UPCALL_SET = Hypercall(
    nr=0x41,
    name="UPCALL_SET",
    summary="Set where the kernel is entered when an event is pending.",
    args=(u64("entry", "the handler; 0: none, as at the start"),),
    result="0",
    errors={EINVAL: _BAD_ENTRY},
    notes=(
        "The upcall comes when `upcall_pending` of the virtual CPU is set and `upcall_mask` is not: at the "
        "latest before the next branch. It sets `upcall_mask`, and pushes a `struct pv_trap_stack` as a trap "
        "does. `upcall_pending` stays set: clear it before you look for what is pending.",
        "The call ends with a look whether an upcall is due. So it also mends a race: who clears "
        "`upcall_mask` in the shared page, and then finds `upcall_pending` set, calls it again with the same "
        "entry, and gets the upcall. IRET needs no such help.",
    ),
    feature=TRAPS,
    replaces="the gates of the IDT to which an interrupt controller's vectors lead",
    example="pv_upcall_set(0);",
)

SYSCALL_SET = Hypercall(
    nr=0x42,
    name="SYSCALL_SET",
    summary="Set where the kernel is entered by SYSCALL of user code.",
    args=(
        u64("entry", "the handler; 0: none, as at the start: then SYSCALL is #UD"),
        u32("flags", "0 or `PV_TRAP_MASK`"),
    ),
    result="0",
    errors={EINVAL: f"{_BAD_ENTRY}, or `flags` has another bit"},
    notes=(
        "The kernel is entered with a `struct pv_trap_stack`, as by a trap; RCX and R11 hold `rip` and "
        "`rflags` as well, as on hardware.",
        "SYSCALL works in 64-bit user code; in 32-bit code it is #UD. INT n is set by TRAP_TABLE.",
        "SYSCALL of the kernel itself, outside the hypercall page, is #UD.",
    ),
    feature=TRAPS,
    replaces="the MSRs STAR, LSTAR and FMASK, written by `WRMSR`",
    example="pv_syscall_set(0, PV_TRAP_MASK);",
)

STACK_SET = Hypercall(
    nr=0x43,
    name="STACK_SET",
    summary="Set the kernel's stack for entries out of user code.",
    args=(u64("rsp", "its top, a multiple of 16; 0: none, as at the start"),),
    result="0",
    errors={EINVAL: "`rsp` is no multiple of 16, not canonical or in the hypervisor's hole"},
    notes=(
        "An entry out of user code without such a stack ends the domain. So does one whose frame cannot be "
        "written there: keep the stack mapped, writable, in the kernel's page tables.",
    ),
    feature=TRAPS,
    replaces="RSP0 in the TSS, a store: the CPU reads it at each entry",
    example="static char stack[4096] __attribute__((aligned(16)));\n"
    "pv_stack_set((uint64_t)(stack + sizeof stack));",
)

IRET = Hypercall(
    nr=0x44,
    name="IRET",
    summary="Go on where the kernel was entered, or anywhere else: in the kernel or in user code.",
    args=(gva_in("frame", "what to load", struct="pv_iret_frame"),),
    result="none: the call returns only with an error",
    errors={
        EFAULT: "the frame is not readable",
        EINVAL: "CS is no present code segment or SS no present, writable data segment of CPL 1 or 3, and "
        "both of the same; RIP is not canonical, or beyond the limit of a 32-bit code segment; RFLAGS has "
        "VM, NT or IOPL; or CS or SS has bits above bit 15",
    },
    notes=(
        "Registers that the frame does not have stay as they are. RIP, CS, RFLAGS, RSP and SS are loaded "
        "together.",
        "RFLAGS.IF becomes the opposite of `upcall_mask`; if that leaves it clear and an event is pending, "
        "the upcall comes before the first instruction there: none is lost.",
        "Of RFLAGS, the bits CF, PF, AF, ZF, SF, TF, DF, OF, AC and ID are loaded; others are not looked at.",
        "To user code: GS gets the user's base (SEGMENT_BASE_SET), the page tables become the user's "
        "(ROOT_SET), and DS, ES, FS and GS are made null where their DPL is less than 3. The next entry out "
        "of user code undoes the first two.",
        "The IRETQ instruction works as well, and costs no exit, but it is no more than an instruction: it "
        "changes neither `upcall_mask` nor GS nor the page tables, and an entry out of user code after it "
        "finds nothing to undo.",
        "To build the frame where one was pushed: store RDI over the error code, push R11, RCX and RAX.",
        "A debugger that single-steps sets TF: #DB comes behind the first instruction there.",
    ),
    feature=TRAPS,
    replaces="`IRETQ` and `SYSRETQ`, with `SWAPGS` and MOV to CR3 before them, which trap",
    example=(
        "struct pv_iret_frame frame = {.cs = PV_KERNEL_CS, .ss = PV_KERNEL_SS, .rflags = 0x202};\n"
        "frame.rip = (uint64_t)trap_entry; /* any code; with PV_USER_CS and PV_USER_SS, a program's */\n"
        "frame.rsp = (uint64_t)(second_stack + sizeof second_stack);\n"
        "pv_iret(&frame);"
    ),
)

DESCRIPTOR_SET = Hypercall(
    nr=0x45,
    name="DESCRIPTOR_SET",
    summary="Set one of the guest's own descriptors.",
    args=(
        u32("index", "from `PV_FIRST_DESCRIPTOR` to `PV_N_DESCRIPTORS` - 1"),
        u64("descriptor", "a present code or data segment with DPL 1 or 3; 0: none"),
    ),
    result="0",
    errors={
        EINVAL: "`index` is not the guest's, or the descriptor is a system descriptor or a gate, not "
        "present, has DPL 0 or 2, is conforming code, or is code both of 64 and 32 bits",
    },
    notes=(
        "The table is the calling virtual CPU's own. It lies in the hypervisor's hole, read-only: the bit "
        "that says that a segment was accessed is set for you.",
        "A selector is 8 times the index, plus 1 for DPL 1 or 3 for DPL 3. Load it as on hardware: the "
        "descriptor is read at that moment.",
    ),
    feature=TRAPS,
    replaces="a store into the GDT or LDT that `LGDT` or `LLDT` names, and the load that traps after it",
    example=(
        "/* 32-bit data at 0x10000, for a user's thread-local storage */\n"
        "pv_descriptor_set(PV_FIRST_DESCRIPTOR, 0x00cff3010000ffff);"
    ),
)

SEGMENT_BASE_SET = Hypercall(
    nr=0x46,
    name="SEGMENT_BASE_SET",
    summary="Set the base of FS or GS.",
    args=(
        u32("which", "`PV_SEGMENT_FS`, `PV_SEGMENT_GS` or `PV_SEGMENT_USER_GS`"),
        u64("base", "the base, a canonical address"),
    ),
    result="0",
    errors={EINVAL: "`which` is none of those, or `base` is not canonical"},
    notes=(
        "`PV_SEGMENT_USER_GS` is kept until IRET to user code, which exchanges it with the base of GS; the "
        "next entry out of user code exchanges them back. User code can change its own by loading GS.",
        "FS is not exchanged: set the user's base before IRET.",
        "The selectors stay as they are.",
    ),
    feature=TRAPS,
    replaces="`WRMSR` to FS_BASE, GS_BASE and KERNEL_GS_BASE, and `SWAPGS`, which trap",
    example="static uint64_t per_cpu[8];\npv_segment_base_set(PV_SEGMENT_GS, (uint64_t)per_cpu);",
)

FPU_TS = Hypercall(
    nr=0x47,
    name="FPU_TS",
    summary="Let the next use of x87, MMX or SSE raise #NM, or not.",
    args=(u32("set", "1: it raises #NM (vector 7); 0: it does not, as at the start"),),
    result="0",
    errors={EINVAL: "`set` is neither 0 nor 1"},
    notes=(
        "It is how a kernel switches that state late: set TS when another task runs, and exchange the state "
        "in the handler of #NM, after FPU_TS(0).",
        "It holds for the kernel, too, and FXSAVE is a use.",
    ),
    feature=TRAPS,
    replaces="`CLTS` and MOV to CR0, which trap",
    example="pv_fpu_ts(1);",
)

SHARED_SET = Hypercall(
    nr=0x48,
    name="SHARED_SET",
    summary="Move the shared page.",
    args=(u64("gpa", "a frame of the domain's memory, a multiple of 4096"),),
    result="0",
    errors={
        EBUSY: "the frame is a page table",
        EINVAL: "`gpa` is no multiple of 4096, or there is no memory",
        ENOENT: "the frame was given back (MEMORY_RELEASE)",
    },
    notes=(
        "The frame is filled anew, as at the start: every port masked, no event pending, the upcalls of "
        "every virtual CPU masked. What was pending is forgotten, so call it before ports are used.",
        "The frame that was the shared page until then is the guest's to use. The new one must stay the "
        "guest's as long as it is the shared page: it can neither become a page table nor be released.",
        "It is for guests that were not started with one. Map the frame writable to use it.",
    ),
    feature=EVENTS,
    replaces="nothing: a PC's interrupt controllers keep such state to themselves",
    example="if (pv_shared_set(0x300000) != 0)\n    give_up();",
)

CALLS: tuple[Hypercall, ...] = (
    TRAP_TABLE, UPCALL_SET, SYSCALL_SET, STACK_SET, IRET, DESCRIPTOR_SET, SEGMENT_BASE_SET, FPU_TS,
    SHARED_SET,
)  # fmt: skip
