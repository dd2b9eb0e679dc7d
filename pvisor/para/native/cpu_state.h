/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtual CPU of a paravirtual guest: what its kernel has told the hypervisor in place of privileged registers.
 * The Python handlers (pvisor/para) and the native ones work on this one struct.
 */
#ifndef PV_PARA_CPU_STATE_H
#define PV_PARA_CPU_STATE_H

typedef struct pv_para_trap {
    uint64_t handler;          /* 0: none */
    uint32_t flags;            /* PV_TRAP_USER_INT, PV_TRAP_MASK */
} pv_para_trap;

typedef struct pv_para_cpu {
    pv_para_trap traps[256];
    uint64_t upcall_entry, syscall_entry, kernel_stack; /* 0: none */
    uint32_t syscall_flags;
    uint32_t in_user;          /* the user's GS base and page tables are in the CPU: an entry undoes it */
    uint64_t other_gs_base;    /* the user's while the kernel runs, the kernel's while in_user */
    uint64_t gdt;              /* engine-physical address of this vCPU's descriptors */
    uint64_t vcpu_info;        /* guest-physical address of its part of the shared page */
    uint32_t n_faults_there;   /* how many exceptions in a row, with no instruction between them */
    uint64_t faults_at;        /* retired instructions when the last exception was delivered */
} pv_para_cpu;
#endif
