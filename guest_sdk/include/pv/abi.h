/* SPDX-License-Identifier: MIT */
/*
 * The ABI between a paravirtualized guest and pvisor, version 1; hypercalls.md explains it. Printed from the
 * table in pvisor/abi by `make gen`: change the table, not this file.
 */

#ifndef PV_ABI_H
#define PV_ABI_H

/* Version and discovery. */
#define PV_ABI_VERSION         1              /* the version of the ABI described here */
#define PV_CPUID_BASE          0x40000000     /* CPUID leaf: EAX = highest leaf, EBX ECX EDX = signature */
#define PV_CPUID_VERSION       0x40000001     /* CPUID leaf: EAX = ABI version, EBX = hypercall pages */
#define PV_CPUID_FEATURES      0x40000002     /* CPUID leaf: EAX = features 0-31, EBX = features 32-63 */
#define PV_CPUID_HIGHEST       0x40000002     /* the highest leaf of this version */
#define PV_CPUID_SIGNATURE     "pvisorpvisor" /* EBX, ECX, EDX of PV_CPUID_BASE as 12 bytes */
#define PV_CPUID_SIGNATURE_EBX 0x73697670     /* its bytes 0-3 */
#define PV_CPUID_SIGNATURE_ECX 0x7670726f     /* its bytes 4-7 */
#define PV_CPUID_SIGNATURE_EDX 0x726f7369     /* its bytes 8-11 */

/* Hypercall page and address space. */
#define PV_PAGE_BYTES      4096               /* a page, a frame */
#define PV_STUB_BYTES      32                 /* from one stub of the hypercall page to the next */
#define PV_CALLS_PER_PAGE  128                /* stubs in a hypercall page */
#define PV_HYPERCALL_PAGES 2                  /* hypercall pages of this version */
#define PV_HOLE_START      0xffff800000000000 /* first address of the hypervisor's hole */
#define PV_HOLE_END        0xffff880000000000 /* first address after the hypervisor's hole */
#define PV_POISON          0xdeadc0dedeadc0de /* what RCX and R11 hold after a call under --debug-abi */

/* ELF note. */
#define PV_ELF_NOTE_NAME "pvisor" /* the note's name */
#define PV_ELF_NOTE_TYPE 1        /* the note's type; its body is struct pv_elf_note */

/* Start state. */
#define PV_START_MAGIC 0x74726174737670 /* struct pv_start_info.magic: the bytes "pvstart", 0 */
#define PV_STACK_BYTES 65536            /* the stack that a guest starts on */

/* Limits. */
#define PV_CMDLINE_MAX       4095  /* longest command line, without its NUL */
#define PV_CONSOLE_WRITE_MAX 65536 /* most bytes that one CONSOLE_WRITE takes */
#define PV_CONSOLE_READ_MAX  65536 /* most bytes that one CONSOLE_READ gives */

/* Shutdown reasons. */
#define PV_SHUTDOWN_POWEROFF 0 /* the guest is done; the status says how it went */
#define PV_SHUTDOWN_REBOOT   1 /* start again; today's pvisor ends the run */
#define PV_SHUTDOWN_CRASH    2 /* the guest reports its own failure */

/* Selectors. */
#define PV_KERNEL_CS        0x9  /* the kernel's code, at CPL 1 */
#define PV_KERNEL_SS        0x11 /* the kernel's stack and data */
#define PV_USER_SS          0x1b /* the user's stack and data, at CPL 3 */
#define PV_USER_CS          0x23 /* the user's 64-bit code */
#define PV_USER_CS32        0x2b /* the user's 32-bit code */
#define PV_FIRST_DESCRIPTOR 8    /* the first descriptor that is the guest's */
#define PV_N_DESCRIPTORS    32   /* descriptors in the table; those after it fault */

/* Shared page. */
#define PV_MAX_VCPUS   16   /* most virtual CPUs of a domain */
#define PV_EVENT_PORTS 1024 /* event ports of a domain: 0 (never used) to 1023 */

/* Flushing translations. */
#define PV_FLUSH_PAGE 1 /* the translation of one page, on all virtual CPUs */
#define PV_FLUSH_ALL  2 /* all translations, on all virtual CPUs */

/* Bounds of calls about memory. */
#define PV_TABLE_UPDATE_MAX  512 /* most updates that one TABLE_UPDATE does */
/* after so many tables made or given up TABLE_UPDATE and MEMORY_RELEASE stop */
#define PV_TABLE_WALKS_MAX   16
#define PV_MEMORY_FRAMES_MAX 512 /* most frames of one MEMORY_POPULATE or MEMORY_RELEASE */

/* Types of memory. */
#define PV_MEMORY_RAM    1 /* frames that were unused at the start */
#define PV_MEMORY_KERNEL 2 /* the kernel image */
#define PV_MEMORY_GIVEN  3 /* made for the start: guard page, stack, start info and first tables */
#define PV_MEMORY_GRANTS 4 /* the grant window: frames of others */

/* Errors: a hypercall's result is negative, -PV_EFAULT for instance. Linux's numbers. */
#define PV_EPERM  1  /* the other domain has not allowed it */
#define PV_ENOENT 2  /* what the arguments name is not there */
#define PV_EIO    5  /* the host failed to do it */
#define PV_E2BIG  7  /* the answer does not fit into the room that was given */
#define PV_EAGAIN 11 /* something came in between: try again */
#define PV_ENOMEM 12 /* the domain has no frame for it */
/*
 * a pointer names memory that the guest kernel may not use in that way: not mapped, not writable, not
 * canonical, or in the hypervisor's hole
 */
#define PV_EFAULT 14
#define PV_EBUSY  16 /* it is in use; try again when it is not */
#define PV_EEXIST 17 /* something is there already */
#define PV_EINVAL 22 /* an argument has a value outside its meaning, or a 32-bit one has bits above bit 31 */
#define PV_ENOSPC 28 /* a table of the hypervisor is full; free something first */
#define PV_ENOSYS 38 /* there is no such call, or it belongs to a feature that is not offered */
#define PV_ETIME  62 /* the time was over first */

/* Features: the mask within its 64-bit word, and the bit's number. */
/*
 * VMCALL works outside the hypercall page as well, with the call's number in EAX. Offered with `--transport
 * vmcall`.
 */
#define PV_FEATURE_RAW_VMCALL     0x1
#define PV_FEATURE_RAW_VMCALL_BIT 0   /* its number */
#define PV_FEATURE_CONSOLE_INPUT     0x2 /* CONSOLE_READ works. Today's pvisor always offers it. */
#define PV_FEATURE_CONSOLE_INPUT_BIT 1   /* its number */
#define PV_FEATURE_TRAPS     0x4 /* the calls of CPU state: traps, upcalls, user mode, descriptors. */
#define PV_FEATURE_TRAPS_BIT 2   /* its number */
#define PV_FEATURE_PAGING     0x8 /* the calls about page tables: the guest changes its own map. */
#define PV_FEATURE_PAGING_BIT 3   /* its number */
#define PV_FEATURE_BALLOON     0x10 /* MEMORY_POPULATE, MEMORY_RELEASE, MEMORY_TARGET: frames come and go. */
#define PV_FEATURE_BALLOON_BIT 4    /* its number */
#define PV_FEATURE_EVENTS     0x20 /* event channels and the shared page. */
#define PV_FEATURE_EVENTS_BIT 5    /* its number */
#define PV_FEATURE_GRANTS     0x40 /* grants: frames that domains share. */
#define PV_FEATURE_GRANTS_BIT 6    /* its number */
#define PV_FEATURE_STORE     0x80 /* the store. */
#define PV_FEATURE_STORE_BIT 7    /* its number */
#define PV_FEATURE_TIMERS     0x100 /* TIMER_SET, TIMER_PERIODIC, and the time in the shared page. */
#define PV_FEATURE_TIMERS_BIT 8     /* its number */
#define PV_FEATURE_VCPUS     0x200 /* VCPU_UP, VCPU_DOWN, VCPU_QUERY. */
#define PV_FEATURE_VCPUS_BIT 9     /* its number */
#define PV_FEATURE_MULTICALL     0x400 /* MULTICALL: several calls in one. */
#define PV_FEATURE_MULTICALL_BIT 10    /* its number */

/* Hypercall numbers. */
#define PV_HC_ABI_VERSION     0x00 /* Which version of the ABI is this? */
#define PV_HC_FEATURES        0x01 /* Which features are offered? */
#define PV_HC_NOOP            0x02 /* Do nothing, and return. */
#define PV_HC_CONSOLE_WRITE   0x10 /* Write bytes to the console. */
#define PV_HC_CONSOLE_READ    0x11 /* Read bytes that have arrived on the console. */
#define PV_HC_TIME_GET        0x20 /* What time is it? */
#define PV_HC_YIELD           0x30 /* Give the CPU away for a while. */
#define PV_HC_BLOCK           0x31 /* Sleep until an event arrives. */
#define PV_HC_SHUTDOWN        0x32 /* End the domain. */
#define PV_HC_ROOT_SET        0x50 /* Use other page tables on this virtual CPU. */
#define PV_HC_ENTRY_SET       0x51 /* Change the last-level entry that maps an address. */
#define PV_HC_TABLE_UPDATE    0x52 /* Change many entries of page tables, of any level. */
#define PV_HC_TABLE_PIN       0x53 /* Make a frame a page table, and keep it one. */
#define PV_HC_TABLE_UNPIN     0x54 /* Let a frame be no page table any more, once nothing uses it as one. */
#define PV_HC_TLB_FLUSH       0x55 /* Forget translations, on all virtual CPUs of the domain. */
#define PV_HC_MEMORY_POPULATE 0x56 /* Take frames again that were given back. */
#define PV_HC_MEMORY_RELEASE  0x57 /* Give frames back to the host. */
#define PV_HC_MEMORY_TARGET   0x58 /* How many frames shall the domain have? */
#define PV_HC_MEMORY_MAP      0x59 /* What lies where in guest-physical memory? */

#ifdef __ASSEMBLER__

/* Offsets of the structs' members, for assembly. */
#define PV_ELF_NOTE_ABI_VERSION         0   /* struct pv_elf_note */
#define PV_ELF_NOTE_RESERVED            4   /* struct pv_elf_note */
#define PV_ELF_NOTE_NEEDED_FEATURES     8   /* struct pv_elf_note */
#define PV_START_INFO_MAGIC             0   /* struct pv_start_info */
#define PV_START_INFO_ABI_VERSION       8   /* struct pv_start_info */
#define PV_START_INFO_SIZE_BYTES        12  /* struct pv_start_info */
#define PV_START_INFO_FEATURES          16  /* struct pv_start_info */
#define PV_START_INFO_HYPERCALL_PAGE    24  /* struct pv_start_info */
#define PV_START_INFO_MEMORY_BYTES      32  /* struct pv_start_info */
#define PV_START_INFO_KERNEL_START      40  /* struct pv_start_info */
#define PV_START_INFO_KERNEL_END        48  /* struct pv_start_info */
#define PV_START_INFO_STACK_BOTTOM      56  /* struct pv_start_info */
#define PV_START_INFO_STACK_TOP         64  /* struct pv_start_info */
#define PV_START_INFO_ROOT_TABLE        72  /* struct pv_start_info */
#define PV_START_INFO_FIRST_FREE        80  /* struct pv_start_info */
#define PV_START_INFO_CMDLINE           88  /* struct pv_start_info */
#define PV_START_INFO_CMDLINE_BYTES     96  /* struct pv_start_info */
#define PV_START_INFO_DOMID             100 /* struct pv_start_info */
#define PV_START_INFO_SHARED_INFO       104 /* struct pv_start_info */
#define PV_START_INFO_SHARED_INFO_GPA   112 /* struct pv_start_info */
#define PV_START_INFO_N_VCPUS           120 /* struct pv_start_info */
#define PV_START_INFO_N_HYPERCALL_PAGES 124 /* struct pv_start_info */
#define PV_TIME_SYSTEM_NS               0   /* struct pv_time */
#define PV_TIME_WALL_S                  8   /* struct pv_time */
#define PV_TIME_WALL_NS                 16  /* struct pv_time */
#define PV_TIME_RESERVED                20  /* struct pv_time */
#define PV_VCPU_INFO_UPCALL_PENDING     0   /* struct pv_vcpu_info */
#define PV_VCPU_INFO_UPCALL_MASK        1   /* struct pv_vcpu_info */
#define PV_VCPU_INFO_RESERVED0          2   /* struct pv_vcpu_info */
#define PV_VCPU_INFO_TIME_VERSION       4   /* struct pv_vcpu_info */
#define PV_VCPU_INFO_PENDING_WORDS      8   /* struct pv_vcpu_info */
#define PV_VCPU_INFO_CR2                16  /* struct pv_vcpu_info */
#define PV_VCPU_INFO_TSC_AT             24  /* struct pv_vcpu_info */
#define PV_VCPU_INFO_SYSTEM_NS          32  /* struct pv_vcpu_info */
#define PV_VCPU_INFO_TSC_MUL            40  /* struct pv_vcpu_info */
#define PV_VCPU_INFO_TSC_SHIFT          44  /* struct pv_vcpu_info */
#define PV_VCPU_INFO_RESERVED1          45  /* struct pv_vcpu_info */
#define PV_VCPU_INFO_STEAL_NS           48  /* struct pv_vcpu_info */
#define PV_VCPU_INFO_RESERVED2          56  /* struct pv_vcpu_info */
#define PV_SHARED_INFO_PENDING          0   /* struct pv_shared_info */
#define PV_SHARED_INFO_MASK             128 /* struct pv_shared_info */
#define PV_SHARED_INFO_WALL_S           256 /* struct pv_shared_info */
#define PV_SHARED_INFO_WALL_NS          264 /* struct pv_shared_info */
#define PV_SHARED_INFO_N_VCPUS          268 /* struct pv_shared_info */
#define PV_SHARED_INFO_RESERVED         272 /* struct pv_shared_info */
#define PV_SHARED_INFO_VCPU             512 /* struct pv_shared_info */
#define PV_ENTRY_UPDATE_GPA             0   /* struct pv_entry_update */
#define PV_ENTRY_UPDATE_ENTRY           8   /* struct pv_entry_update */
#define PV_MEMORY_RANGE_GPA             0   /* struct pv_memory_range */
#define PV_MEMORY_RANGE_N_BYTES         8   /* struct pv_memory_range */
#define PV_MEMORY_RANGE_TYPE            16  /* struct pv_memory_range */
#define PV_MEMORY_RANGE_RESERVED        20  /* struct pv_memory_range */

#else /* !__ASSEMBLER__ */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define PV_STATIC_ASSERT static_assert
#else
#define PV_STATIC_ASSERT _Static_assert
#endif

typedef uint64_t pv_gva_t; /* a guest-virtual address */
typedef uint64_t pv_gpa_t; /* a guest-physical address */

/* The body of the ELF note, by which a guest says what it needs. */
struct pv_elf_note {
    uint32_t abi_version;     /* the ABI version the guest was written for */
    uint32_t reserved;        /* 0 */
    uint64_t needed_features; /* the features without which it cannot run, one bit each */
};

PV_STATIC_ASSERT(sizeof(struct pv_elf_note) == 16, "size of pv_elf_note");
PV_STATIC_ASSERT(offsetof(struct pv_elf_note, abi_version) == 0, "pv_elf_note.abi_version");
PV_STATIC_ASSERT(offsetof(struct pv_elf_note, reserved) == 4, "pv_elf_note.reserved");
PV_STATIC_ASSERT(offsetof(struct pv_elf_note, needed_features) == 8, "pv_elf_note.needed_features");

/* What a guest is told at its start; RDI holds the address. Written once, before the guest runs. */
struct pv_start_info {
    uint64_t magic;             /* PV_START_MAGIC */
    uint32_t abi_version;       /* the ABI version of the hypervisor */
    uint32_t size_bytes;        /* size of this struct; a later version may be longer */
    uint64_t features;          /* the features offered, one bit each */
    pv_gva_t hypercall_page;    /* the first hypercall page */
    uint64_t memory_bytes;      /* size of the domain's memory, which begins at GPA 0 */
    pv_gpa_t kernel_start;      /* first byte of the kernel image */
    pv_gpa_t kernel_end;        /* first byte after the kernel image, rounded up to a page */
    pv_gva_t stack_bottom;      /* lowest byte of the stack; the page below is not mapped */
    pv_gva_t stack_top;         /* first byte after the stack; RSP at the start */
    pv_gpa_t root_table;        /* the top-level page table (PML4) */
    pv_gpa_t first_free;        /* frames from here to memory_bytes are unused */
    pv_gva_t cmdline;           /* the command line, ended by NUL */
    uint32_t cmdline_bytes;     /* its length without the NUL */
    uint32_t domid;             /* the domain's number */
    pv_gva_t shared_info;       /* the shared page, struct pv_shared_info */
    pv_gpa_t shared_info_gpa;   /* its frame */
    uint32_t n_vcpus;           /* virtual CPUs of this domain; this is number 0 */
    uint32_t n_hypercall_pages; /* hypercall pages, one after the other */
};

PV_STATIC_ASSERT(sizeof(struct pv_start_info) == 128, "size of pv_start_info");
PV_STATIC_ASSERT(offsetof(struct pv_start_info, magic) == 0, "pv_start_info.magic");
PV_STATIC_ASSERT(offsetof(struct pv_start_info, abi_version) == 8, "pv_start_info.abi_version");
PV_STATIC_ASSERT(offsetof(struct pv_start_info, size_bytes) == 12, "pv_start_info.size_bytes");
PV_STATIC_ASSERT(offsetof(struct pv_start_info, features) == 16, "pv_start_info.features");
PV_STATIC_ASSERT(offsetof(struct pv_start_info, hypercall_page) == 24, "pv_start_info.hypercall_page");
PV_STATIC_ASSERT(offsetof(struct pv_start_info, memory_bytes) == 32, "pv_start_info.memory_bytes");
PV_STATIC_ASSERT(offsetof(struct pv_start_info, kernel_start) == 40, "pv_start_info.kernel_start");
PV_STATIC_ASSERT(offsetof(struct pv_start_info, kernel_end) == 48, "pv_start_info.kernel_end");
PV_STATIC_ASSERT(offsetof(struct pv_start_info, stack_bottom) == 56, "pv_start_info.stack_bottom");
PV_STATIC_ASSERT(offsetof(struct pv_start_info, stack_top) == 64, "pv_start_info.stack_top");
PV_STATIC_ASSERT(offsetof(struct pv_start_info, root_table) == 72, "pv_start_info.root_table");
PV_STATIC_ASSERT(offsetof(struct pv_start_info, first_free) == 80, "pv_start_info.first_free");
PV_STATIC_ASSERT(offsetof(struct pv_start_info, cmdline) == 88, "pv_start_info.cmdline");
PV_STATIC_ASSERT(offsetof(struct pv_start_info, cmdline_bytes) == 96, "pv_start_info.cmdline_bytes");
PV_STATIC_ASSERT(offsetof(struct pv_start_info, domid) == 100, "pv_start_info.domid");
PV_STATIC_ASSERT(offsetof(struct pv_start_info, shared_info) == 104, "pv_start_info.shared_info");
PV_STATIC_ASSERT(offsetof(struct pv_start_info, shared_info_gpa) == 112, "pv_start_info.shared_info_gpa");
PV_STATIC_ASSERT(offsetof(struct pv_start_info, n_vcpus) == 120, "pv_start_info.n_vcpus");
PV_STATIC_ASSERT(offsetof(struct pv_start_info, n_hypercall_pages) == 124, "pv_start_info.n_hypercall_pages");

/* A moment, as TIME_GET gives it. */
struct pv_time {
    uint64_t system_ns; /* virtual nanoseconds since the domain started; never goes back */
    uint64_t wall_s;    /* UTC: whole seconds since 1970-01-01T00:00:00Z */
    uint32_t wall_ns;   /* UTC: nanoseconds within the second, 0 to 999999999 */
    uint32_t reserved;  /* 0 */
};

PV_STATIC_ASSERT(sizeof(struct pv_time) == 24, "size of pv_time");
PV_STATIC_ASSERT(offsetof(struct pv_time, system_ns) == 0, "pv_time.system_ns");
PV_STATIC_ASSERT(offsetof(struct pv_time, wall_s) == 8, "pv_time.wall_s");
PV_STATIC_ASSERT(offsetof(struct pv_time, wall_ns) == 16, "pv_time.wall_ns");
PV_STATIC_ASSERT(offsetof(struct pv_time, reserved) == 20, "pv_time.reserved");

/* A virtual CPU's part of the shared page. */
struct pv_vcpu_info {
    uint8_t  upcall_pending; /* 1: an unmasked event is pending; the guest clears it; written by both */
    uint8_t  upcall_mask;    /* 1: no upcall, as with IF clear; an upcall sets it; written by both */
    uint16_t reserved0;      /* 0 */
    uint32_t time_version;   /* odd while the time below is being written; written by hypervisor */
    /* bit i: look at pending[i]; the guest clears it before it looks; written by both */
    uint64_t pending_words;
    uint64_t cr2;            /* the address of the latest page fault; written by hypervisor */
    uint64_t tsc_at;         /* the TSC when system_ns was written; written by hypervisor */
    uint64_t system_ns;      /* system time then; written by hypervisor */
    uint32_t tsc_mul;        /* nanoseconds per shifted tick, times 2^32; written by hypervisor */
    uint8_t  tsc_shift;      /* shift the TSC's difference left by this; written by hypervisor */
    uint8_t  reserved1[3];   /* 0 */
    uint64_t steal_ns;       /* time for which it could have run, and another ran; written by hypervisor */
    uint64_t reserved2[9];   /* 0 */
};

PV_STATIC_ASSERT(sizeof(struct pv_vcpu_info) == 128, "size of pv_vcpu_info");
PV_STATIC_ASSERT(offsetof(struct pv_vcpu_info, upcall_pending) == 0, "pv_vcpu_info.upcall_pending");
PV_STATIC_ASSERT(offsetof(struct pv_vcpu_info, upcall_mask) == 1, "pv_vcpu_info.upcall_mask");
PV_STATIC_ASSERT(offsetof(struct pv_vcpu_info, reserved0) == 2, "pv_vcpu_info.reserved0");
PV_STATIC_ASSERT(offsetof(struct pv_vcpu_info, time_version) == 4, "pv_vcpu_info.time_version");
PV_STATIC_ASSERT(offsetof(struct pv_vcpu_info, pending_words) == 8, "pv_vcpu_info.pending_words");
PV_STATIC_ASSERT(offsetof(struct pv_vcpu_info, cr2) == 16, "pv_vcpu_info.cr2");
PV_STATIC_ASSERT(offsetof(struct pv_vcpu_info, tsc_at) == 24, "pv_vcpu_info.tsc_at");
PV_STATIC_ASSERT(offsetof(struct pv_vcpu_info, system_ns) == 32, "pv_vcpu_info.system_ns");
PV_STATIC_ASSERT(offsetof(struct pv_vcpu_info, tsc_mul) == 40, "pv_vcpu_info.tsc_mul");
PV_STATIC_ASSERT(offsetof(struct pv_vcpu_info, tsc_shift) == 44, "pv_vcpu_info.tsc_shift");
PV_STATIC_ASSERT(offsetof(struct pv_vcpu_info, reserved1) == 45, "pv_vcpu_info.reserved1");
PV_STATIC_ASSERT(offsetof(struct pv_vcpu_info, steal_ns) == 48, "pv_vcpu_info.steal_ns");
PV_STATIC_ASSERT(offsetof(struct pv_vcpu_info, reserved2) == 56, "pv_vcpu_info.reserved2");

/* The shared page: written by guest and hypervisor at the same time, without a call. */
struct pv_shared_info {
    uint64_t            pending[16];  /* bit p % 64 of word p / 64: port p was signalled; written by both */
    uint64_t            mask[16];     /* likewise: port p is masked; all are at the start; written by guest */
    uint64_t            wall_s;       /* UTC at system time 0: seconds since 1970; written by hypervisor */
    uint32_t            wall_ns;      /* and nanoseconds; written by hypervisor */
    uint32_t            n_vcpus;      /* virtual CPUs of this domain; written by hypervisor */
    uint64_t            reserved[30]; /* 0 */
    struct pv_vcpu_info vcpu[16];     /* one for each virtual CPU */
};

PV_STATIC_ASSERT(sizeof(struct pv_shared_info) == 2560, "size of pv_shared_info");
PV_STATIC_ASSERT(offsetof(struct pv_shared_info, pending) == 0, "pv_shared_info.pending");
PV_STATIC_ASSERT(offsetof(struct pv_shared_info, mask) == 128, "pv_shared_info.mask");
PV_STATIC_ASSERT(offsetof(struct pv_shared_info, wall_s) == 256, "pv_shared_info.wall_s");
PV_STATIC_ASSERT(offsetof(struct pv_shared_info, wall_ns) == 264, "pv_shared_info.wall_ns");
PV_STATIC_ASSERT(offsetof(struct pv_shared_info, n_vcpus) == 268, "pv_shared_info.n_vcpus");
PV_STATIC_ASSERT(offsetof(struct pv_shared_info, reserved) == 272, "pv_shared_info.reserved");
PV_STATIC_ASSERT(offsetof(struct pv_shared_info, vcpu) == 512, "pv_shared_info.vcpu");

/* A change of one entry of a page table. */
struct pv_entry_update {
    pv_gpa_t gpa;   /* where the entry lies: a multiple of 8, in a table */
    uint64_t entry; /* what it shall be */
};

PV_STATIC_ASSERT(sizeof(struct pv_entry_update) == 16, "size of pv_entry_update");
PV_STATIC_ASSERT(offsetof(struct pv_entry_update, gpa) == 0, "pv_entry_update.gpa");
PV_STATIC_ASSERT(offsetof(struct pv_entry_update, entry) == 8, "pv_entry_update.entry");

/* A range of guest-physical addresses. */
struct pv_memory_range {
    pv_gpa_t gpa;      /* its first address */
    uint64_t n_bytes;  /* its size, a multiple of 4096 */
    uint32_t type;     /* PV_MEMORY_RAM, ... */
    uint32_t reserved; /* 0 */
};

PV_STATIC_ASSERT(sizeof(struct pv_memory_range) == 24, "size of pv_memory_range");
PV_STATIC_ASSERT(offsetof(struct pv_memory_range, gpa) == 0, "pv_memory_range.gpa");
PV_STATIC_ASSERT(offsetof(struct pv_memory_range, n_bytes) == 8, "pv_memory_range.n_bytes");
PV_STATIC_ASSERT(offsetof(struct pv_memory_range, type) == 16, "pv_memory_range.type");
PV_STATIC_ASSERT(offsetof(struct pv_memory_range, reserved) == 20, "pv_memory_range.reserved");

#endif /* !__ASSEMBLER__ */

#endif /* PV_ABI_H */
