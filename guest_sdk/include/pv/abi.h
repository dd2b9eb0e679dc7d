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
#define PV_ELF_NOTE_NAME    "pvisor" /* the note's name */
#define PV_ELF_NOTE_TYPE    1        /* the note's type; its body is struct pv_elf_note */
#define PV_ELF_NOTE_TYPE_PC 2        /* the same for a PC kernel that needs the hypervisor: mode hybrid */

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

/* Multicall. */
#define PV_MULTICALL_MAX 64 /* most calls that one MULTICALL makes */

/* Model-specific registers of a hybrid guest. */
#define PV_MSR_HYPERCALL_PAGE 0x40000000 /* write the GPA of a page, plus which: stubs are put there */
#define PV_MSR_UPCALL_VECTOR  0x40000001 /* write a vector of the IDT: upcalls are its interrupts */

/* Timers. */
#define PV_TIMER_MIN_PERIOD_NS 10000 /* shortest period of TIMER_PERIODIC, in nanoseconds */

/* Polling. */
#define PV_POLL_MAX 64 /* most ports of one POLL */

/* Virtual CPUs. */
#define PV_VCPU_STATE_DOWN     0 /* it has not been started, or was stopped */
#define PV_VCPU_STATE_RUNNING  1 /* it makes this very call */
#define PV_VCPU_STATE_RUNNABLE 2 /* it waits for its turn */
#define PV_VCPU_STATE_BLOCKED  3 /* it waits for an event */

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

/* Traps. */
#define PV_N_TRAPS       256 /* vectors, and most entries that one TRAP_TABLE takes */
#define PV_TRAP_USER_INT 1   /* user code may raise it by INT n, INT3 or INTO; else those are #GP */
#define PV_TRAP_MASK     2   /* upcalls are masked when the handler is entered */

/* Segment bases. */
#define PV_SEGMENT_FS      0 /* the base of FS */
#define PV_SEGMENT_GS      1 /* the base of GS, while the kernel runs */
#define PV_SEGMENT_USER_GS 2 /* the base of GS for user code */

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

/* Domain numbers. */
#define PV_DOMID_HOST 0      /* the hypervisor and its backends */
#define PV_DOMID_MAX  0x7fef /* the greatest number that a domain can have */
#define PV_DOMID_SELF 0x7ff0 /* the domain that calls */

/* Kinds of event port. */
#define PV_EVENT_FREE    0 /* not in use */
#define PV_EVENT_UNBOUND 1 /* waits for `remote_domid` to bind to it */
#define PV_EVENT_BOUND   2 /* one of the two ends of a channel */
#define PV_EVENT_VIRQ    3 /* signalled by the hypervisor, for `virq` */
#define PV_EVENT_IPI     4 /* signalled by the domain itself, for `vcpu_id` */

/* Virtual IRQs. */
#define PV_VIRQ_TIMER   0 /* the timer of a virtual CPU is due; one for each of them */
#define PV_VIRQ_CONSOLE 1 /* there is input for CONSOLE_READ */
#define PV_VIRQ_STORE   2 /* there is a watch event for STORE_NEXT */
#define PV_VIRQ_BALLOON 3 /* MEMORY_TARGET has another answer */
#define PV_N_VIRQS      4 /* virtual IRQs of this version */

/* Grants. */
#define PV_GRANT_WINDOW    0x1000000000 /* GPA of the first slot for other domains' frames */
#define PV_GRANT_SLOTS     1024         /* slots of the window, a frame each */
#define PV_GRANTS_MAX      4096         /* most grants that a domain has given at a time */
#define PV_GRANT_READ_ONLY 1            /* flag: to be read, not written */
#define PV_GRANT_COPY_MAX  64           /* most operations that one GRANT_COPY does */

/* Limits of the store. */
#define PV_STORE_PATH_MAX         512  /* longest path, counted as an absolute one */
#define PV_STORE_DEPTH_MAX        16   /* most names in an absolute path */
#define PV_STORE_NAME_MAX         64   /* longest name */
#define PV_STORE_VALUE_MAX        1024 /* longest value */
#define PV_STORE_NODES_MAX        256  /* most nodes in a domain's home, which counts as one */
#define PV_STORE_RIGHTS_MAX       16   /* most domains that a node has rights for */
#define PV_STORE_TOKEN_MAX        64   /* longest token of a watch */
#define PV_STORE_WATCHES_MAX      32   /* most watches of a domain */
#define PV_STORE_EVENT_MAX        578  /* longest watch event: path, NUL, token, NUL */
#define PV_STORE_TRANSACTIONS_MAX 4    /* most transactions that a domain has open */
#define PV_STORE_STEPS_MAX        128  /* most calls in a transaction */

/* Rights in the store. */
#define PV_STORE_NONE    0 /* neither read nor change */
#define PV_STORE_READ    1 /* read, list, and be told of changes */
#define PV_STORE_WRITE   2 /* write, make and remove */
#define PV_STORE_INHERIT 4 /* by itself: as the node above has it */

/* Rings. */
#define PV_RING_HEADER_BYTES 64 /* the first request's offset in the page */

/* Block device. */
#define PV_BLOCK_SLOTS        32   /* requests, and responses, of a block ring */
#define PV_BLOCK_SEGMENTS     8    /* most segments of a block request */
#define PV_BLOCK_SECTOR_BYTES 512  /* bytes in a sector */
#define PV_BLOCK_DISCARD_MAX  8192 /* most sectors that one request discards */
#define PV_BLOCK_READ         0    /* sectors to segments */
#define PV_BLOCK_WRITE        1    /* segments to sectors */
#define PV_BLOCK_FLUSH        2    /* writes answered so far are safe when this is answered */
#define PV_BLOCK_DISCARD      3    /* sectors read as zeros from now on */

/* Net, console and entropy devices. */
#define PV_BUFFER_SLOTS 64 /* requests, and responses, of their rings */
#define PV_BUFFER_WRITE 0  /* the buffer's bytes go out */
#define PV_BUFFER_READ  1  /* the buffer takes what comes in */

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
#define PV_FEATURE_TIMERS     0x100 /* TIMER_ONCE, TIMER_PERIODIC, and the time in the shared page. */
#define PV_FEATURE_TIMERS_BIT 8     /* its number */
#define PV_FEATURE_VCPUS     0x200 /* VCPU_UP, VCPU_DOWN, VCPU_QUERY. */
#define PV_FEATURE_VCPUS_BIT 9     /* its number */
#define PV_FEATURE_MULTICALL     0x400 /* MULTICALL: several calls in one. */
#define PV_FEATURE_MULTICALL_BIT 10    /* its number */
#define PV_FEATURE_GRANT_MAP     0x800 /* GRANT_MAP, GRANT_UNMAP: frames of others can be mapped. */
#define PV_FEATURE_GRANT_MAP_BIT 11    /* its number */

/* Hypercall numbers. */
#define PV_HC_ABI_VERSION      0x00 /* Which version of the ABI is this? */
#define PV_HC_FEATURES         0x01 /* Which features are offered? */
#define PV_HC_NOOP             0x02 /* Do nothing, and return. */
#define PV_HC_MULTICALL        0x03 /* Make several calls at once. */
#define PV_HC_CONSOLE_WRITE    0x10 /* Write bytes to the console. */
#define PV_HC_CONSOLE_READ     0x11 /* Read bytes that have arrived on the console. */
#define PV_HC_TIME_GET         0x20 /* What time is it? */
#define PV_HC_TIMER_ONCE       0x21 /* Let this virtual CPU's timer signal once. */
#define PV_HC_TIMER_PERIODIC   0x22 /* Let this virtual CPU's timer signal again and again. */
#define PV_HC_YIELD            0x30 /* Give the CPU away for a while. */
#define PV_HC_BLOCK            0x31 /* Sleep until an event arrives. */
#define PV_HC_SHUTDOWN         0x32 /* End the domain. */
#define PV_HC_POLL             0x33 /* Sleep until one of some ports is pending, or a time has come. */
#define PV_HC_VCPU_UP          0x34 /* Start a virtual CPU. */
#define PV_HC_VCPU_DOWN        0x35 /* Stop a virtual CPU. */
#define PV_HC_VCPU_QUERY       0x36 /* What does a virtual CPU do, and where did its time go? */
#define PV_HC_TRAP_TABLE       0x40 /* Set handlers of exceptions and of INT n. */
#define PV_HC_UPCALL_SET       0x41 /* Set where the kernel is entered when an event is pending. */
#define PV_HC_SYSCALL_SET      0x42 /* Set where the kernel is entered by SYSCALL of user code. */
#define PV_HC_STACK_SET        0x43 /* Set the kernel's stack for entries out of user code. */
/* Go on where the kernel was entered, or anywhere else: in the kernel or in user code. */
#define PV_HC_IRET             0x44
#define PV_HC_DESCRIPTOR_SET   0x45 /* Set one of the guest's own descriptors. */
#define PV_HC_SEGMENT_BASE_SET 0x46 /* Set the base of FS or GS. */
#define PV_HC_FPU_TS           0x47 /* Let the next use of x87, MMX or SSE raise #NM, or not. */
#define PV_HC_SHARED_SET       0x48 /* Move the shared page. */
#define PV_HC_ROOT_SET         0x50 /* Use other page tables on this virtual CPU. */
#define PV_HC_ENTRY_SET        0x51 /* Change the last-level entry that maps an address. */
#define PV_HC_TABLE_UPDATE     0x52 /* Change many entries of page tables, of any level. */
#define PV_HC_TABLE_PIN        0x53 /* Make a frame a page table, and keep it one. */
#define PV_HC_TABLE_UNPIN      0x54 /* Let a frame be no page table any more, once nothing uses it as one. */
#define PV_HC_TLB_FLUSH        0x55 /* Forget translations, on all virtual CPUs of the domain. */
#define PV_HC_MEMORY_POPULATE  0x56 /* Take frames again that were given back. */
#define PV_HC_MEMORY_RELEASE   0x57 /* Give frames back to the host. */
#define PV_HC_MEMORY_TARGET    0x58 /* How many frames shall the domain have? */
#define PV_HC_MEMORY_MAP       0x59 /* What lies where in guest-physical memory? */
#define PV_HC_EVENT_ALLOC      0x60 /* Make a port that another domain may bind to. */
/* Make the other end of a channel, to a port that a domain has allocated for this one. */
#define PV_HC_EVENT_BIND       0x61
#define PV_HC_EVENT_BIND_VIRQ  0x62 /* Make a port that the hypervisor signals. */
#define PV_HC_EVENT_BIND_IPI   0x63 /* Make a port by which the domain signals one of its own virtual CPUs. */
#define PV_HC_EVENT_CLOSE      0x64 /* Give a port back. */
#define PV_HC_EVENT_SEND       0x65 /* Signal the other end of a channel. */
/* Let a port's signals through again, and the one that has come meanwhile. */
#define PV_HC_EVENT_UNMASK     0x66
#define PV_HC_EVENT_STATUS     0x67 /* What is this port? */
#define PV_HC_EVENT_VCPU       0x68 /* Choose which virtual CPU a port tells. */
#define PV_HC_GRANT_CREATE     0x70 /* Let another domain use a frame of one's own. */
#define PV_HC_GRANT_REVOKE     0x71 /* Take a grant back. */
#define PV_HC_GRANT_MAP        0x72 /* Put a frame that another domain has granted into the grant window. */
#define PV_HC_GRANT_UNMAP      0x73 /* Take a frame out of the grant window. */
/* Copy between frames that are one's own or granted, without a mapping. */
#define PV_HC_GRANT_COPY       0x74
#define PV_HC_GRANT_STATUS     0x75 /* Look at a grant of one's own. */
#define PV_HC_STORE_READ       0x80 /* Read a value. */
/* Write a value; make the node, and those above it, where they are not there. */
#define PV_HC_STORE_WRITE      0x81
#define PV_HC_STORE_LIST       0x82 /* Which nodes are below this one? */
#define PV_HC_STORE_REMOVE     0x83 /* Remove a node and all that is below it. */
#define PV_HC_STORE_WATCH      0x84 /* Be told of each change of a node, or below it. */
#define PV_HC_STORE_UNWATCH    0x85 /* No longer be told. */
#define PV_HC_STORE_NEXT       0x86 /* Take the next watch event. */
/* Begin a transaction: several calls that happen together, or not at all. */
#define PV_HC_STORE_BEGIN      0x87
#define PV_HC_STORE_END        0x88 /* End a transaction. */
#define PV_HC_STORE_PERMIT     0x89 /* Say what another domain may do with a node and what is below it. */

#ifdef __ASSEMBLER__

/* Offsets of the structs' members, for assembly. */
#define PV_ELF_NOTE_ABI_VERSION          0   /* struct pv_elf_note */
#define PV_ELF_NOTE_RESERVED             4   /* struct pv_elf_note */
#define PV_ELF_NOTE_NEEDED_FEATURES      8   /* struct pv_elf_note */
#define PV_START_INFO_MAGIC              0   /* struct pv_start_info */
#define PV_START_INFO_ABI_VERSION        8   /* struct pv_start_info */
#define PV_START_INFO_SIZE_BYTES         12  /* struct pv_start_info */
#define PV_START_INFO_FEATURES           16  /* struct pv_start_info */
#define PV_START_INFO_HYPERCALL_PAGE     24  /* struct pv_start_info */
#define PV_START_INFO_MEMORY_BYTES       32  /* struct pv_start_info */
#define PV_START_INFO_KERNEL_START       40  /* struct pv_start_info */
#define PV_START_INFO_KERNEL_END         48  /* struct pv_start_info */
#define PV_START_INFO_STACK_BOTTOM       56  /* struct pv_start_info */
#define PV_START_INFO_STACK_TOP          64  /* struct pv_start_info */
#define PV_START_INFO_ROOT_TABLE         72  /* struct pv_start_info */
#define PV_START_INFO_FIRST_FREE         80  /* struct pv_start_info */
#define PV_START_INFO_CMDLINE            88  /* struct pv_start_info */
#define PV_START_INFO_CMDLINE_BYTES      96  /* struct pv_start_info */
#define PV_START_INFO_DOMID              100 /* struct pv_start_info */
#define PV_START_INFO_SHARED_INFO        104 /* struct pv_start_info */
#define PV_START_INFO_SHARED_INFO_GPA    112 /* struct pv_start_info */
#define PV_START_INFO_N_VCPUS            120 /* struct pv_start_info */
#define PV_START_INFO_N_HYPERCALL_PAGES  124 /* struct pv_start_info */
#define PV_TIME_SYSTEM_NS                0   /* struct pv_time */
#define PV_TIME_WALL_S                   8   /* struct pv_time */
#define PV_TIME_WALL_NS                  16  /* struct pv_time */
#define PV_TIME_RESERVED                 20  /* struct pv_time */
#define PV_MULTICALL_ENTRY_NUMBER        0   /* struct pv_multicall_entry */
#define PV_MULTICALL_ENTRY_ARGS          8   /* struct pv_multicall_entry */
#define PV_MULTICALL_ENTRY_RESULT        48  /* struct pv_multicall_entry */
#define PV_VCPU_CONTEXT_RIP              0   /* struct pv_vcpu_context */
#define PV_VCPU_CONTEXT_RSP              8   /* struct pv_vcpu_context */
#define PV_VCPU_CONTEXT_ARGUMENT         16  /* struct pv_vcpu_context */
#define PV_VCPU_CONTEXT_RESERVED         24  /* struct pv_vcpu_context */
#define PV_VCPU_STATUS_STATE             0   /* struct pv_vcpu_status */
#define PV_VCPU_STATUS_RESERVED          4   /* struct pv_vcpu_status */
#define PV_VCPU_STATUS_RUN_NS            8   /* struct pv_vcpu_status */
#define PV_VCPU_STATUS_STEAL_NS          16  /* struct pv_vcpu_status */
#define PV_VCPU_INFO_UPCALL_PENDING      0   /* struct pv_vcpu_info */
#define PV_VCPU_INFO_UPCALL_MASK         1   /* struct pv_vcpu_info */
#define PV_VCPU_INFO_RESERVED0           2   /* struct pv_vcpu_info */
#define PV_VCPU_INFO_TIME_VERSION        4   /* struct pv_vcpu_info */
#define PV_VCPU_INFO_PENDING_WORDS       8   /* struct pv_vcpu_info */
#define PV_VCPU_INFO_CR2                 16  /* struct pv_vcpu_info */
#define PV_VCPU_INFO_TSC_AT              24  /* struct pv_vcpu_info */
#define PV_VCPU_INFO_SYSTEM_NS           32  /* struct pv_vcpu_info */
#define PV_VCPU_INFO_TSC_MUL             40  /* struct pv_vcpu_info */
#define PV_VCPU_INFO_TSC_SHIFT           44  /* struct pv_vcpu_info */
#define PV_VCPU_INFO_RESERVED1           45  /* struct pv_vcpu_info */
#define PV_VCPU_INFO_STEAL_NS            48  /* struct pv_vcpu_info */
#define PV_VCPU_INFO_RESERVED2           56  /* struct pv_vcpu_info */
#define PV_SHARED_INFO_PENDING           0   /* struct pv_shared_info */
#define PV_SHARED_INFO_MASK              128 /* struct pv_shared_info */
#define PV_SHARED_INFO_WALL_S            256 /* struct pv_shared_info */
#define PV_SHARED_INFO_WALL_NS           264 /* struct pv_shared_info */
#define PV_SHARED_INFO_N_VCPUS           268 /* struct pv_shared_info */
#define PV_SHARED_INFO_RESERVED          272 /* struct pv_shared_info */
#define PV_SHARED_INFO_VCPU              512 /* struct pv_shared_info */
#define PV_TRAP_ENTRY_HANDLER            0   /* struct pv_trap_entry */
#define PV_TRAP_ENTRY_VECTOR             8   /* struct pv_trap_entry */
#define PV_TRAP_ENTRY_FLAGS              9   /* struct pv_trap_entry */
#define PV_TRAP_ENTRY_RESERVED0          10  /* struct pv_trap_entry */
#define PV_TRAP_ENTRY_RESERVED1          12  /* struct pv_trap_entry */
#define PV_TRAP_STACK_ERROR_CODE         0   /* struct pv_trap_stack */
#define PV_TRAP_STACK_RIP                8   /* struct pv_trap_stack */
#define PV_TRAP_STACK_CS                 16  /* struct pv_trap_stack */
#define PV_TRAP_STACK_RFLAGS             24  /* struct pv_trap_stack */
#define PV_TRAP_STACK_RSP                32  /* struct pv_trap_stack */
#define PV_TRAP_STACK_SS                 40  /* struct pv_trap_stack */
#define PV_IRET_FRAME_RAX                0   /* struct pv_iret_frame */
#define PV_IRET_FRAME_RCX                8   /* struct pv_iret_frame */
#define PV_IRET_FRAME_R11                16  /* struct pv_iret_frame */
#define PV_IRET_FRAME_RDI                24  /* struct pv_iret_frame */
#define PV_IRET_FRAME_RIP                32  /* struct pv_iret_frame */
#define PV_IRET_FRAME_CS                 40  /* struct pv_iret_frame */
#define PV_IRET_FRAME_RFLAGS             48  /* struct pv_iret_frame */
#define PV_IRET_FRAME_RSP                56  /* struct pv_iret_frame */
#define PV_IRET_FRAME_SS                 64  /* struct pv_iret_frame */
#define PV_ENTRY_UPDATE_GPA              0   /* struct pv_entry_update */
#define PV_ENTRY_UPDATE_ENTRY            8   /* struct pv_entry_update */
#define PV_MEMORY_RANGE_GPA              0   /* struct pv_memory_range */
#define PV_MEMORY_RANGE_N_BYTES          8   /* struct pv_memory_range */
#define PV_MEMORY_RANGE_TYPE             16  /* struct pv_memory_range */
#define PV_MEMORY_RANGE_RESERVED         20  /* struct pv_memory_range */
#define PV_EVENT_INFO_KIND               0   /* struct pv_event_info */
#define PV_EVENT_INFO_VCPU_ID            4   /* struct pv_event_info */
#define PV_EVENT_INFO_REMOTE_DOMID       8   /* struct pv_event_info */
#define PV_EVENT_INFO_REMOTE_PORT        12  /* struct pv_event_info */
#define PV_EVENT_INFO_VIRQ               16  /* struct pv_event_info */
#define PV_EVENT_INFO_RESERVED           20  /* struct pv_event_info */
#define PV_GRANT_COPY_OP_SOURCE          0   /* struct pv_grant_copy_op */
#define PV_GRANT_COPY_OP_DEST            8   /* struct pv_grant_copy_op */
#define PV_GRANT_COPY_OP_SOURCE_DOMID    16  /* struct pv_grant_copy_op */
#define PV_GRANT_COPY_OP_SOURCE_OFFSET   20  /* struct pv_grant_copy_op */
#define PV_GRANT_COPY_OP_DEST_DOMID      24  /* struct pv_grant_copy_op */
#define PV_GRANT_COPY_OP_DEST_OFFSET     28  /* struct pv_grant_copy_op */
#define PV_GRANT_COPY_OP_N_BYTES         32  /* struct pv_grant_copy_op */
#define PV_GRANT_COPY_OP_STATUS          36  /* struct pv_grant_copy_op */
#define PV_GRANT_INFO_GPA                0   /* struct pv_grant_info */
#define PV_GRANT_INFO_DOMID              8   /* struct pv_grant_info */
#define PV_GRANT_INFO_FLAGS              12  /* struct pv_grant_info */
#define PV_GRANT_INFO_N_READERS          16  /* struct pv_grant_info */
#define PV_GRANT_INFO_N_WRITERS          20  /* struct pv_grant_info */
#define PV_STORE_REQUEST_PATH            0   /* struct pv_store_request */
#define PV_STORE_REQUEST_VALUE           8   /* struct pv_store_request */
#define PV_STORE_REQUEST_PATH_BYTES      16  /* struct pv_store_request */
#define PV_STORE_REQUEST_VALUE_BYTES     20  /* struct pv_store_request */
#define PV_STORE_REQUEST_TRANSACTION     24  /* struct pv_store_request */
#define PV_STORE_REQUEST_RESERVED        28  /* struct pv_store_request */
#define PV_RING_HEADER_REQUEST_PRODUCER  0   /* struct pv_ring_header */
#define PV_RING_HEADER_REQUEST_EVENT     4   /* struct pv_ring_header */
#define PV_RING_HEADER_RESPONSE_PRODUCER 8   /* struct pv_ring_header */
#define PV_RING_HEADER_RESPONSE_EVENT    12  /* struct pv_ring_header */
#define PV_RING_HEADER_RESERVED          16  /* struct pv_ring_header */
#define PV_BLOCK_SEGMENT_GREF            0   /* struct pv_block_segment */
#define PV_BLOCK_SEGMENT_OFFSET          4   /* struct pv_block_segment */
#define PV_BLOCK_SEGMENT_N_BYTES         6   /* struct pv_block_segment */
#define PV_BLOCK_REQUEST_ID              0   /* struct pv_block_request */
#define PV_BLOCK_REQUEST_OP              4   /* struct pv_block_request */
#define PV_BLOCK_REQUEST_N_SEGMENTS      6   /* struct pv_block_request */
#define PV_BLOCK_REQUEST_SECTOR          8   /* struct pv_block_request */
#define PV_BLOCK_REQUEST_N_SECTORS       16  /* struct pv_block_request */
#define PV_BLOCK_REQUEST_SEGMENTS        24  /* struct pv_block_request */
#define PV_BUFFER_REQUEST_ID             0   /* struct pv_buffer_request */
#define PV_BUFFER_REQUEST_OP             4   /* struct pv_buffer_request */
#define PV_BUFFER_REQUEST_GREF           8   /* struct pv_buffer_request */
#define PV_BUFFER_REQUEST_OFFSET         12  /* struct pv_buffer_request */
#define PV_BUFFER_REQUEST_N_BYTES        14  /* struct pv_buffer_request */
#define PV_RING_RESPONSE_ID              0   /* struct pv_ring_response */
#define PV_RING_RESPONSE_STATUS          4   /* struct pv_ring_response */
#define PV_RING_RESPONSE_N_BYTES         8   /* struct pv_ring_response */
#define PV_RING_RESPONSE_RESERVED        12  /* struct pv_ring_response */

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

/* One call of a MULTICALL. */
struct pv_multicall_entry {
    uint64_t number;  /* which call */
    uint64_t args[5]; /* its arguments, as in RDI, RSI, RDX, R10, R8 */
    uint64_t result;  /* what it would have left in RAX; written by the hypervisor */
};

PV_STATIC_ASSERT(sizeof(struct pv_multicall_entry) == 56, "size of pv_multicall_entry");
PV_STATIC_ASSERT(offsetof(struct pv_multicall_entry, number) == 0, "pv_multicall_entry.number");
PV_STATIC_ASSERT(offsetof(struct pv_multicall_entry, args) == 8, "pv_multicall_entry.args");
PV_STATIC_ASSERT(offsetof(struct pv_multicall_entry, result) == 48, "pv_multicall_entry.result");

/* Where a virtual CPU begins. */
struct pv_vcpu_context {
    pv_gva_t rip;      /* its first instruction */
    pv_gva_t rsp;      /* RSP there; 8 below a multiple of 16 for a C function */
    uint64_t argument; /* RDI there */
    uint64_t reserved; /* 0 */
};

PV_STATIC_ASSERT(sizeof(struct pv_vcpu_context) == 32, "size of pv_vcpu_context");
PV_STATIC_ASSERT(offsetof(struct pv_vcpu_context, rip) == 0, "pv_vcpu_context.rip");
PV_STATIC_ASSERT(offsetof(struct pv_vcpu_context, rsp) == 8, "pv_vcpu_context.rsp");
PV_STATIC_ASSERT(offsetof(struct pv_vcpu_context, argument) == 16, "pv_vcpu_context.argument");
PV_STATIC_ASSERT(offsetof(struct pv_vcpu_context, reserved) == 24, "pv_vcpu_context.reserved");

/* What a virtual CPU does, as VCPU_QUERY gives it. */
struct pv_vcpu_status {
    uint32_t state;    /* PV_VCPU_STATE_... */
    uint32_t reserved; /* 0 */
    uint64_t run_ns;   /* for how long it has run, in nanoseconds */
    uint64_t steal_ns; /* for how long it could have run while others did */
};

PV_STATIC_ASSERT(sizeof(struct pv_vcpu_status) == 24, "size of pv_vcpu_status");
PV_STATIC_ASSERT(offsetof(struct pv_vcpu_status, state) == 0, "pv_vcpu_status.state");
PV_STATIC_ASSERT(offsetof(struct pv_vcpu_status, reserved) == 4, "pv_vcpu_status.reserved");
PV_STATIC_ASSERT(offsetof(struct pv_vcpu_status, run_ns) == 8, "pv_vcpu_status.run_ns");
PV_STATIC_ASSERT(offsetof(struct pv_vcpu_status, steal_ns) == 16, "pv_vcpu_status.steal_ns");

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

/* One vector of the trap table, for TRAP_TABLE. */
struct pv_trap_entry {
    pv_gva_t handler;   /* where the kernel is entered; 0: nowhere, as at the start */
    uint8_t  vector;    /* the x86 vector */
    uint8_t  flags;     /* PV_TRAP_USER_INT, PV_TRAP_MASK */
    uint16_t reserved0; /* 0 */
    uint32_t reserved1; /* 0 */
};

PV_STATIC_ASSERT(sizeof(struct pv_trap_entry) == 16, "size of pv_trap_entry");
PV_STATIC_ASSERT(offsetof(struct pv_trap_entry, handler) == 0, "pv_trap_entry.handler");
PV_STATIC_ASSERT(offsetof(struct pv_trap_entry, vector) == 8, "pv_trap_entry.vector");
PV_STATIC_ASSERT(offsetof(struct pv_trap_entry, flags) == 9, "pv_trap_entry.flags");
PV_STATIC_ASSERT(offsetof(struct pv_trap_entry, reserved0) == 10, "pv_trap_entry.reserved0");
PV_STATIC_ASSERT(offsetof(struct pv_trap_entry, reserved1) == 12, "pv_trap_entry.reserved1");

/* What lies on the kernel's stack when it is entered by a trap, a user's SYSCALL or an upcall. */
struct pv_trap_stack {
    uint64_t error_code; /* as x86 pushes it; 0 where x86 pushes none; written by hypervisor */
    uint64_t rip;        /* where to go on; written by hypervisor */
    uint64_t cs;         /* the code segment; its two lowest bits are the CPL; written by hypervisor */
    uint64_t rflags;     /* bit 9, IF: upcalls were not masked; written by hypervisor */
    uint64_t rsp;        /* the stack pointer; written by hypervisor */
    uint64_t ss;         /* the stack segment; written by hypervisor */
};

PV_STATIC_ASSERT(sizeof(struct pv_trap_stack) == 48, "size of pv_trap_stack");
PV_STATIC_ASSERT(offsetof(struct pv_trap_stack, error_code) == 0, "pv_trap_stack.error_code");
PV_STATIC_ASSERT(offsetof(struct pv_trap_stack, rip) == 8, "pv_trap_stack.rip");
PV_STATIC_ASSERT(offsetof(struct pv_trap_stack, cs) == 16, "pv_trap_stack.cs");
PV_STATIC_ASSERT(offsetof(struct pv_trap_stack, rflags) == 24, "pv_trap_stack.rflags");
PV_STATIC_ASSERT(offsetof(struct pv_trap_stack, rsp) == 32, "pv_trap_stack.rsp");
PV_STATIC_ASSERT(offsetof(struct pv_trap_stack, ss) == 40, "pv_trap_stack.ss");

/* What IRET loads. Its upper part is struct pv_trap_stack without the error code. */
struct pv_iret_frame {
    uint64_t rax;    /* these three the call itself cannot keep */
    uint64_t rcx;    /* likewise */
    uint64_t r11;    /* likewise */
    uint64_t rdi;    /* and this one holds the call's argument */
    uint64_t rip;    /* where to go on */
    uint64_t cs;     /* PV_KERNEL_CS, PV_USER_CS, PV_USER_CS32 or a descriptor of the guest's own */
    uint64_t rflags; /* bit 9, IF: upcalls are not masked from then on */
    uint64_t rsp;    /* the stack pointer */
    uint64_t ss;     /* PV_KERNEL_SS or PV_USER_SS, or a descriptor of the guest's own */
};

PV_STATIC_ASSERT(sizeof(struct pv_iret_frame) == 72, "size of pv_iret_frame");
PV_STATIC_ASSERT(offsetof(struct pv_iret_frame, rax) == 0, "pv_iret_frame.rax");
PV_STATIC_ASSERT(offsetof(struct pv_iret_frame, rcx) == 8, "pv_iret_frame.rcx");
PV_STATIC_ASSERT(offsetof(struct pv_iret_frame, r11) == 16, "pv_iret_frame.r11");
PV_STATIC_ASSERT(offsetof(struct pv_iret_frame, rdi) == 24, "pv_iret_frame.rdi");
PV_STATIC_ASSERT(offsetof(struct pv_iret_frame, rip) == 32, "pv_iret_frame.rip");
PV_STATIC_ASSERT(offsetof(struct pv_iret_frame, cs) == 40, "pv_iret_frame.cs");
PV_STATIC_ASSERT(offsetof(struct pv_iret_frame, rflags) == 48, "pv_iret_frame.rflags");
PV_STATIC_ASSERT(offsetof(struct pv_iret_frame, rsp) == 56, "pv_iret_frame.rsp");
PV_STATIC_ASSERT(offsetof(struct pv_iret_frame, ss) == 64, "pv_iret_frame.ss");

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

/* What EVENT_STATUS tells of a port. Members that its kind has no use for are 0. */
struct pv_event_info {
    uint32_t kind;         /* one of `PV_EVENT_FREE` and so on */
    uint32_t vcpu_id;      /* the virtual CPU that is told */
    uint32_t remote_domid; /* UNBOUND, BOUND: the domain at the other end, or awaited there */
    uint32_t remote_port;  /* BOUND: the other end's port; 0 where that is the hypervisor */
    uint32_t virq;         /* VIRQ: which */
    uint32_t reserved;     /* 0 */
};

PV_STATIC_ASSERT(sizeof(struct pv_event_info) == 24, "size of pv_event_info");
PV_STATIC_ASSERT(offsetof(struct pv_event_info, kind) == 0, "pv_event_info.kind");
PV_STATIC_ASSERT(offsetof(struct pv_event_info, vcpu_id) == 4, "pv_event_info.vcpu_id");
PV_STATIC_ASSERT(offsetof(struct pv_event_info, remote_domid) == 8, "pv_event_info.remote_domid");
PV_STATIC_ASSERT(offsetof(struct pv_event_info, remote_port) == 12, "pv_event_info.remote_port");
PV_STATIC_ASSERT(offsetof(struct pv_event_info, virq) == 16, "pv_event_info.virq");
PV_STATIC_ASSERT(offsetof(struct pv_event_info, reserved) == 20, "pv_event_info.reserved");

/* One operation of GRANT_COPY: bytes of one frame to another. */
struct pv_grant_copy_op {
    uint64_t source;        /* the frame: its GPA where the domain is PV_DOMID_SELF, else a gref */
    uint64_t dest;          /* the frame that is written, likewise */
    uint32_t source_domid;  /* PV_DOMID_SELF, or who has granted `source` */
    uint32_t source_offset; /* first byte in the frame */
    uint32_t dest_domid;    /* PV_DOMID_SELF, or who has granted `dest` */
    uint32_t dest_offset;   /* first byte in the frame */
    uint32_t n_bytes;       /* how many; neither frame is left */
    uint32_t status;        /* written: 0, or the number of an error, positive */
};

PV_STATIC_ASSERT(sizeof(struct pv_grant_copy_op) == 40, "size of pv_grant_copy_op");
PV_STATIC_ASSERT(offsetof(struct pv_grant_copy_op, source) == 0, "pv_grant_copy_op.source");
PV_STATIC_ASSERT(offsetof(struct pv_grant_copy_op, dest) == 8, "pv_grant_copy_op.dest");
PV_STATIC_ASSERT(offsetof(struct pv_grant_copy_op, source_domid) == 16, "pv_grant_copy_op.source_domid");
PV_STATIC_ASSERT(offsetof(struct pv_grant_copy_op, source_offset) == 20, "pv_grant_copy_op.source_offset");
PV_STATIC_ASSERT(offsetof(struct pv_grant_copy_op, dest_domid) == 24, "pv_grant_copy_op.dest_domid");
PV_STATIC_ASSERT(offsetof(struct pv_grant_copy_op, dest_offset) == 28, "pv_grant_copy_op.dest_offset");
PV_STATIC_ASSERT(offsetof(struct pv_grant_copy_op, n_bytes) == 32, "pv_grant_copy_op.n_bytes");
PV_STATIC_ASSERT(offsetof(struct pv_grant_copy_op, status) == 36, "pv_grant_copy_op.status");

/* A grant, as GRANT_STATUS shows it. */
struct pv_grant_info {
    pv_gpa_t gpa;       /* the frame */
    uint32_t domid;     /* for whom */
    uint32_t flags;     /* 0 or PV_GRANT_READ_ONLY */
    uint32_t n_readers; /* mappings that only read */
    uint32_t n_writers; /* mappings that write as well */
};

PV_STATIC_ASSERT(sizeof(struct pv_grant_info) == 24, "size of pv_grant_info");
PV_STATIC_ASSERT(offsetof(struct pv_grant_info, gpa) == 0, "pv_grant_info.gpa");
PV_STATIC_ASSERT(offsetof(struct pv_grant_info, domid) == 8, "pv_grant_info.domid");
PV_STATIC_ASSERT(offsetof(struct pv_grant_info, flags) == 12, "pv_grant_info.flags");
PV_STATIC_ASSERT(offsetof(struct pv_grant_info, n_readers) == 16, "pv_grant_info.n_readers");
PV_STATIC_ASSERT(offsetof(struct pv_grant_info, n_writers) == 20, "pv_grant_info.n_writers");

/* What a call about the store is about. It is copied once; the call never writes to it. */
struct pv_store_request {
    pv_gva_t path;        /* the path: its bytes, without a NUL */
    pv_gva_t value;       /* the value's bytes, or the room for an answer */
    uint32_t path_bytes;  /* length of the path; with 0 `path` is not looked at */
    uint32_t value_bytes; /* length of the value or room; with 0 `value` is not looked at */
    uint32_t transaction; /* the transaction that the call belongs to, or 0 */
    uint32_t reserved;    /* 0 */
};

PV_STATIC_ASSERT(sizeof(struct pv_store_request) == 32, "size of pv_store_request");
PV_STATIC_ASSERT(offsetof(struct pv_store_request, path) == 0, "pv_store_request.path");
PV_STATIC_ASSERT(offsetof(struct pv_store_request, value) == 8, "pv_store_request.value");
PV_STATIC_ASSERT(offsetof(struct pv_store_request, path_bytes) == 16, "pv_store_request.path_bytes");
PV_STATIC_ASSERT(offsetof(struct pv_store_request, value_bytes) == 20, "pv_store_request.value_bytes");
PV_STATIC_ASSERT(offsetof(struct pv_store_request, transaction) == 24, "pv_store_request.transaction");
PV_STATIC_ASSERT(offsetof(struct pv_store_request, reserved) == 28, "pv_store_request.reserved");

/* The beginning of a ring's page. The frontend sets it up: producers 0, events 1. */
struct pv_ring_header {
    uint32_t request_producer;  /* requests below this index are there; written by frontend */
    /* signal the backend when request_producer reaches this; written by backend */
    uint32_t request_event;
    uint32_t response_producer; /* responses below this index are there; written by backend */
    /* signal the frontend when response_producer reaches this; written by frontend */
    uint32_t response_event;
    uint32_t reserved[12];      /* 0 */
};

PV_STATIC_ASSERT(sizeof(struct pv_ring_header) == 64, "size of pv_ring_header");
PV_STATIC_ASSERT(offsetof(struct pv_ring_header, request_producer) == 0, "pv_ring_header.request_producer");
PV_STATIC_ASSERT(offsetof(struct pv_ring_header, request_event) == 4, "pv_ring_header.request_event");
PV_STATIC_ASSERT(offsetof(struct pv_ring_header, response_producer) == 8, "pv_ring_header.response_producer");
PV_STATIC_ASSERT(offsetof(struct pv_ring_header, response_event) == 12, "pv_ring_header.response_event");
PV_STATIC_ASSERT(offsetof(struct pv_ring_header, reserved) == 16, "pv_ring_header.reserved");

/* A part of a granted page that a block request reads or writes. */
struct pv_block_segment {
    uint32_t gref;    /* the page, granted to the backend */
    uint16_t offset;  /* first byte in the page */
    uint16_t n_bytes; /* a multiple of 512, and not 0 */
};

PV_STATIC_ASSERT(sizeof(struct pv_block_segment) == 8, "size of pv_block_segment");
PV_STATIC_ASSERT(offsetof(struct pv_block_segment, gref) == 0, "pv_block_segment.gref");
PV_STATIC_ASSERT(offsetof(struct pv_block_segment, offset) == 4, "pv_block_segment.offset");
PV_STATIC_ASSERT(offsetof(struct pv_block_segment, n_bytes) == 6, "pv_block_segment.n_bytes");

/* A request of a block ring. */
struct pv_block_request {
    uint32_t                id;          /* the frontend's: comes back in the response */
    uint16_t                op;          /* PV_BLOCK_READ and so on */
    uint16_t                n_segments;  /* READ, WRITE: 1 to 8; else 0 */
    uint64_t                sector;      /* the first sector; FLUSH: 0 */
    /* READ, WRITE: what the segments hold; DISCARD: 1 to 8192; FLUSH: 0 */
    uint64_t                n_sectors;
    struct pv_block_segment segments[8]; /* in the order of the sectors */
};

PV_STATIC_ASSERT(sizeof(struct pv_block_request) == 88, "size of pv_block_request");
PV_STATIC_ASSERT(offsetof(struct pv_block_request, id) == 0, "pv_block_request.id");
PV_STATIC_ASSERT(offsetof(struct pv_block_request, op) == 4, "pv_block_request.op");
PV_STATIC_ASSERT(offsetof(struct pv_block_request, n_segments) == 6, "pv_block_request.n_segments");
PV_STATIC_ASSERT(offsetof(struct pv_block_request, sector) == 8, "pv_block_request.sector");
PV_STATIC_ASSERT(offsetof(struct pv_block_request, n_sectors) == 16, "pv_block_request.n_sectors");
PV_STATIC_ASSERT(offsetof(struct pv_block_request, segments) == 24, "pv_block_request.segments");

/* A request of a net, console or entropy ring. */
struct pv_buffer_request {
    uint32_t id;      /* the frontend's: comes back in the response */
    uint32_t op;      /* PV_BUFFER_WRITE or PV_BUFFER_READ, as far as the ring knows it */
    uint32_t gref;    /* the buffer's page, granted to the backend */
    uint16_t offset;  /* first byte in the page */
    uint16_t n_bytes; /* the buffer's size, at least 1 */
};

PV_STATIC_ASSERT(sizeof(struct pv_buffer_request) == 16, "size of pv_buffer_request");
PV_STATIC_ASSERT(offsetof(struct pv_buffer_request, id) == 0, "pv_buffer_request.id");
PV_STATIC_ASSERT(offsetof(struct pv_buffer_request, op) == 4, "pv_buffer_request.op");
PV_STATIC_ASSERT(offsetof(struct pv_buffer_request, gref) == 8, "pv_buffer_request.gref");
PV_STATIC_ASSERT(offsetof(struct pv_buffer_request, offset) == 12, "pv_buffer_request.offset");
PV_STATIC_ASSERT(offsetof(struct pv_buffer_request, n_bytes) == 14, "pv_buffer_request.n_bytes");

/* A response, of every ring. */
struct pv_ring_response {
    uint32_t id;       /* the request's */
    uint32_t status;   /* 0, or the number of an error, positive */
    uint32_t n_bytes;  /* bytes that went or came */
    uint32_t reserved; /* 0 */
};

PV_STATIC_ASSERT(sizeof(struct pv_ring_response) == 16, "size of pv_ring_response");
PV_STATIC_ASSERT(offsetof(struct pv_ring_response, id) == 0, "pv_ring_response.id");
PV_STATIC_ASSERT(offsetof(struct pv_ring_response, status) == 4, "pv_ring_response.status");
PV_STATIC_ASSERT(offsetof(struct pv_ring_response, n_bytes) == 8, "pv_ring_response.n_bytes");
PV_STATIC_ASSERT(offsetof(struct pv_ring_response, reserved) == 12, "pv_ring_response.reserved");

#endif /* !__ASSEMBLER__ */

#endif /* PV_ABI_H */
