/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the C shim and Python share: the exit, the vCPU, the counters, the trace records.
 *
 * Declared here once. cffi parses this file as it is (build.py drops the preprocessor lines), so it
 * holds only enums, structs and typedefs; everything private to C is in shim.h.
 */
#ifndef PV_TYPES_H
#define PV_TYPES_H
#include <stdint.h>

/* Why a vCPU came back to the hypervisor. cpu/exits.py names the same numbers and gives each its class. */
enum pv_exit_reason {
    PV_EXIT_NONE = 0,

    /* intercepts: the engine hands these instructions over, as VT-x can */
    PV_EXIT_HYPERCALL = 1,
    PV_EXIT_IO_IN = 2,
    PV_EXIT_IO_OUT = 3,
    PV_EXIT_CPUID = 4,
    PV_EXIT_RDTSC = 5,
    PV_EXIT_SYSCALL = 6,
    PV_EXIT_SYSENTER = 7,

    /* traps: the instruction raised #GP because the guest kernel is not at CPL 0 */
    PV_EXIT_CLI = 8,
    PV_EXIT_STI = 9,
    PV_EXIT_HLT = 10,
    PV_EXIT_MOV_CR = 11,
    PV_EXIT_MOV_DR = 12,
    PV_EXIT_CLTS = 13,
    PV_EXIT_LMSW = 14,
    PV_EXIT_DESCRIPTOR_TABLE = 15,
    PV_EXIT_SEGMENT_LOAD = 16,
    PV_EXIT_FAR_TRANSFER = 17,
    PV_EXIT_IRET = 18,
    PV_EXIT_RDMSR = 19,
    PV_EXIT_WRMSR = 20,
    PV_EXIT_INVLPG = 21,
    PV_EXIT_CACHE = 22,
    PV_EXIT_XSETBV = 23,
    PV_EXIT_SWAPGS = 24,
    PV_EXIT_GENERAL_PROTECTION = 25,
    PV_EXIT_NULL_SS = 26,

    /* traps: other exceptions of the guest's code */
    PV_EXIT_SHADOW_FILL = 27,  /* a #PF that only the shadow tables caused: Python renames PAGE_FAULT to it */
    PV_EXIT_PAGE_FAULT = 28,
    PV_EXIT_INVALID_OPCODE = 29,
    PV_EXIT_SOFT_INT = 30,
    PV_EXIT_EXCEPTION = 31,

    /* traps: sensitive instructions that x86 would run silently, caught by a patch (sensitive.c) */
    PV_EXIT_PUSHF = 32,
    PV_EXIT_POPF = 33,
    PV_EXIT_DESCRIPTOR_STORE = 34, /* SGDT SIDT SLDT STR */
    PV_EXIT_SMSW = 35,
    PV_EXIT_SEGMENT_QUERY = 36,    /* LAR LSL VERR VERW */
    PV_EXIT_USER_IO = 37,          /* IN OUT INS OUTS of guest user code */
    PV_EXIT_USER_RDTSC = 38,       /* RDTSC(P) of guest user code while CR4.TSD is set */

    /* traps: more of the others */
    PV_EXIT_SYSRET = 39,
    PV_EXIT_SYSEXIT = 40,
    PV_EXIT_MMIO = 41,             /* a #PF on a device's memory: PAGE_FAULT is renamed to it */

    /* stops: the hypervisor's own wish */
    PV_EXIT_BUDGET = 48,
    PV_EXIT_KICK = 49,
    PV_EXIT_EVENT_WINDOW = 50,
    PV_EXIT_TRACE_FULL = 51,
    PV_EXIT_DEADLINE = 52,     /* virtual time has reached v.deadline_ns */

    /* ends that only a bug of ours or a missing piece of the engine can cause */
    PV_EXIT_ENGINE_ERROR = 53,
    PV_EXIT_HOOK_STOP = 54,    /* an in_hook exit asked for the end of the run */
    PV_EXIT_VM86 = 55,         /* IRETD entered virtual-8086 mode: Unicorn checks neither ring nor long mode */
    PV_EXIT_ENGINE_ABORT = 56, /* Unicorn called abort() over the guest's code: the engine is lost (run.c) */
    PV_EXIT_SLICE = 57,        /* virtual time has reached v.slice_ns: another's turn. Neither counted nor traced */

    PV_EXIT_REASONS = 58
};

/* Structs of virtual CPUs and devices that native handlers work on, too: indices into pv_vcpu.device. */
enum pv_device {
    PV_DEVICE_CPU = 0,         /* full/native/cpu_state.h */
    PV_DEVICE_CONSOLE = 1,     /* full/native/console_state.h */
    PV_DEVICE_BLOCK = 2,       /* full/native/block_state.h */
    PV_DEVICE_APIC = 3,        /* full/native/apic_state.h */
    PV_DEVICE_PIC = 4,         /* full/native/pic_state.h */
    PV_DEVICE_IOAPIC = 5,      /* full/native/ioapic_state.h */
    PV_DEVICE_PIT = 6,         /* full/native/timer_state.h */
    PV_DEVICE_RTC = 7,         /* full/native/rtc_state.h */
    PV_DEVICE_I8042 = 8,       /* full/native/platform_state.h */
    PV_DEVICE_PLATFORM = 9,    /* full/native/platform_state.h */
    PV_DEVICE_DEADLINES = 10,  /* full/native/deadlines_state.h */
    PV_DEVICE_PAGING = 11,     /* para/native/paging_state.h: the vCPU's pv_roots */
    PV_DEVICE_EVENTS = 12,     /* para/native/events_state.h: the domain's pv_event_table */
    PV_DEVICE_RUNNER = 13,     /* para/native/turns_state.h: the vCPU's pv_runner */
    PV_DEVICE_LANE_CLOCK = 14, /* emu/native/clock_state.h */
    PV_DEVICES = 16
};

/* What a shadow entry may be (pv_shadow_fill): what the guest's tables allow now, and what was attempted. */
enum pv_fill {
    PV_FILL_WRITABLE = 1,      /* and dirty, so that no store is missed */
    PV_FILL_USER = 2,
    PV_FILL_NO_EXECUTE = 4,
    PV_FILL_LARGE = 8,         /* a part of a large page; its shift stands above PV_FILL_SHIFT */
    PV_FILL_WRITE = 16,        /* attempted: a store */
    PV_FILL_FETCH = 32,        /* attempted: an instruction fetch */
    PV_FILL_SHIFT = 8          /* by how much the shift of a large page is moved up */
};

/* EXCEPTION, vector 1: why, beside bits 0 to 3 for breakpoints before an instruction. */
enum pv_debug {
    PV_DEBUG_WATCHED = 16      /* the instruction has run to which watched pages were open */
};

/* What is done about instructions that are sensitive and do not trap (sensitive.c). */
enum pv_remedy {
    PV_REMEDY_NONE = 0,        /* nothing: the guest sees the hole that x86 has */
    PV_REMEDY_PATCH = 1,       /* they are replaced by an instruction that traps */
    PV_REMEDY_REGISTERS = 2    /* where the real register can hold the virtual value they run; others are replaced */
};

/* How the state of Unicorn's CPU is reached (state.c). */
enum pv_repair {
    PV_REPAIR_NONE = 0,
    PV_REPAIR_STATE = 1,   /* the state lies at a verified place in the engine's memory */
    PV_REPAIR_CONTEXT = 2  /* uc_context_save, change the copy, uc_context_restore */
};

/* The exit: one a vCPU, written anew at each exit. */
typedef struct pv_exit {
    uint32_t reason;       /* enum pv_exit_reason */
    uint32_t vector;       /* traps and SOFT_INT: the x86 vector */
    uint32_t error_code;   /* traps: as the CPU pushes it */
    uint32_t in_hook;      /* 1: the engine waits inside the instruction (IO_IN, IO_OUT, CPUID, RDTSC) */
    uint64_t rip;          /* of the exiting instruction */
    uint64_t next_rip;     /* of the one after it; 0 where only a decoder could tell */
    uint64_t cr2;          /* PAGE_FAULT: the address that faulted */
    uint64_t virtual_ns;   /* when, in virtual time */
    uint32_t ioport;       /* IO_IN, IO_OUT */
    uint32_t size_bytes;   /* IO_IN, IO_OUT: 1, 2 or 4 */
    uint64_t value;        /* IO_OUT: written; IO_IN: the handler's answer */
    uint64_t address;      /* MMIO: guest-physical */
    uint64_t is_write;     /* MMIO: 1 for a store, whose value is in `value`; a load's answer goes there */
    uint64_t number;       /* HYPERCALL; EXCEPTION: what of pv_debug caused it, or the breakpoints, as bits */
    uint64_t args[5];      /* HYPERCALL: RDI RSI RDX R10 R8 */
    int64_t result;        /* HYPERCALL: the handler's answer, goes to RAX */
    uint32_t is_answered;  /* HYPERCALL: 1: the handler has set all registers, RIP too; result is for the trace */
    uint32_t n_insn;       /* traps: how many bytes of insn are valid */
    uint8_t insn[16];      /* traps: the bytes at rip, as far as they are mapped */
    uint32_t retired;      /* 1: the exiting instruction was emulated, so it counts as executed */
    uint32_t stepping;     /* traps, SYSCALL, SYSENTER: the real RFLAGS.TF, so an emulation ends with #DB */
    uint32_t outcome;      /* what was decided, for the trace (domain.Outcome) */
    uint32_t n_ops;        /* how many of ops the trace keeps */
    uint64_t ops[6];       /* operands by reason (observe/trace_file.py names them) */
} pv_exit;

/* One row of `--stats`: how often, who served it, what it cost the host. */
typedef struct pv_counter {
    uint64_t count;
    uint64_t native;
    uint64_t python;
    uint64_t python_wall_ns;
    uint64_t native_samples;   /* with --time-exits: how many native exits were timed */
    uint64_t native_sample_ns;
} pv_counter;

/* One trace record: virtual facts only, so two runs give the same bytes. */
typedef struct pv_record {
    uint64_t virtual_ns;
    uint64_t rip;
    uint64_t ops[6];
    int64_t result;
    uint16_t n_ops;
    uint16_t vcpu_id;
    uint16_t reason;
    uint16_t outcome;
    uint64_t host_ns;          /* a host fact: goes to the side file, never into the trace */
    uint64_t native;           /* likewise: 1 when a native handler served it */
} pv_record;

/* A guest function whose calls are counted: `compare` leads with what one operation costs. */
typedef struct pv_operation {
    uint64_t address;
    uint64_t calls;
    uint64_t exits;
    uint64_t instructions;
    uint64_t exits_before;     /* until its first call */
    uint64_t instructions_before;
    uint32_t was_called;
} pv_operation;

/* How often one instruction was left for one reason (places.c); 0: a free row. */
enum { PV_PLACES = 32768 };
typedef struct pv_place {
    uint64_t address;          /* linear */
    uint64_t count;
    uint32_t reason;
} pv_place;

/* The general registers and RIP, in the order of their x86 numbers. */
typedef struct pv_registers {
    uint64_t gpr[16];          /* RAX RCX RDX RBX RSP RBP RSI RDI R8 ... R15 */
    uint64_t rip;
} pv_registers;

/* A segment register with its hidden part; flags are the descriptor's second dword (Intel SDM 3A 3.4.5). */
typedef struct pv_segment {
    uint32_t selector;
    uint32_t limit;
    uint64_t base;
    uint32_t flags;
} pv_segment;

/* One vCPU, as both tiers see it. Fields marked [H] are set by Python, [S] by the shim. */
typedef struct pv_vcpu {
    uint64_t insns;            /* [S] retired instructions */
    uint64_t limit;            /* [S] the block hook looks up when insns passes it */
    uint64_t budget;           /* [H] stop before insns passes this */
    uint64_t idle_ns;          /* [H] virtual time skipped by waiting */
    uint32_t event_pending;    /* [H] something waits for virtual_if */
    uint32_t virtual_if;       /* both: the guest's own interrupt flag */
    uint32_t nmi_pending;      /* [H] an NMI waits; there is room for one */
    uint32_t nmi_blocked;      /* both: until the guest's next IRET; in the lane the engine knows (pv_nmi_blocked) */
    uint64_t sti_insns;        /* both: no event at this count, it is the block right after STI */
    uint64_t rf_insns;         /* both: the guest's RFLAGS.RF is set while insns is this */
    uint64_t cr3;              /* [S] the real table root (pv_set_root) */
    void *owner;               /* [H] handle given to pv_on_hook_exit */
    uint32_t kick;             /* [H], from any thread or a signal handler: come back soon */
    uint32_t stop_in_hook;     /* [H] set inside an in_hook exit: end the run after this instruction */
    uint64_t hypercall_page;   /* [H] GVA, or 0 */
    uint32_t hypercall_page_bytes;
    uint32_t raw_vmcall;       /* [H] VMCALL outside the page is a hypercall, too */
    uint32_t code_writable;    /* [H] some code can change without a fault: count each block anew */
    uint32_t debug_abi;        /* [H] poison what a hypercall clobbers */
    uint32_t remedy;           /* [H] enum pv_remedy */
    uint32_t user_rdtsc_traps; /* [H] the guest's CR4.TSD: RDTSC of its user code is sensitive, too */
    uint32_t debugging;        /* [H] a breakpoint is on: exits are Python's, which looks for it */
    uint32_t guards_user;      /* [H] user code has no I/O ports, no hypercalls, no virtual-8086 mode: those are its #GP */
    uint32_t io_traps;         /* [H] I/O instructions trap wherever they run: a breakpoint is on an I/O port */
    uint32_t watching;         /* both: the next instruction runs by itself, with watched pages open to it (debug.c) */
    uint32_t time_exits;       /* [H] sample the host time of native exits */
    uint32_t mirror_if;        /* [H] keep virtual_if in the real RFLAGS.IF, so that PUSHF is right */
    uint32_t repair;           /* [S] enum pv_repair */
    uint64_t null_ss_repairs;  /* [S] */
    pv_exit exit;              /* [S], its answer fields [H] */
    uint64_t deadline_ns;      /* [H] virtual time of the next DEADLINE exit */
    uint64_t slice_ns;         /* [H] virtual time of the next SLICE exit */
    uint32_t tsc_runs;         /* [H] RDTSC reads the virtual clock without an exit, as with VT-x's TSC offsetting */
    uint32_t vcpu_id;          /* [H] what RDTSCP says then */
    void *device[16];          /* [H] by enum pv_device; NULL: its native handlers do not serve */
    pv_counter counters[58];   /* [S] by reason */
    uint64_t exits_total;      /* [S] */
    pv_registers *regs;        /* [S] valid while the vCPU is stopped or inside an exit */
    char error[256];           /* [S] what ENGINE_ERROR means */
} pv_vcpu;
#endif
