/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtual CPU of a PC: the privileged state that its guest believes to have written. The Python handlers
 * (pvisor/full) and the native ones work on this one struct; what the real CPU holds is in shim/engine.c.
 */
#ifndef PV_CPU_STATE_H
#define PV_CPU_STATE_H

/* GDTR, IDTR. */
typedef struct pv_table {
    uint64_t base;
    uint32_t limit;
} pv_table;

typedef struct pv_cpu {
    uint64_t cr0, cr2, cr3, cr4, efer;
    uint64_t pdpte[4];         /* PAE paging: loaded with CR3 (SDM 3A 4.4.1) */
    uint64_t dr[8];
    pv_table gdtr, idtr;
    pv_segment tr, ldtr;       /* flags: the descriptor's second dword */
    uint64_t star, lstar, cstar, fmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t tsc_offset, tsc_adjust, tsc_aux, pat, misc_enable;
    uint64_t xcr0;             /* the real one is the same */
    uint64_t cr4_offered;      /* bits of CR4 that this CPU has; all others are reserved */
    uint32_t has_tsc_aux;      /* there is RDTSCP, and with it IA32_TSC_AUX */
    uint32_t iopl;             /* the guest's own RFLAGS.IOPL; the real one is 0 */
    uint32_t n_faults_there;   /* how many exceptions in a row, with no instruction between them */
    uint64_t faults_at;        /* retired instructions when the last exception was delivered */
} pv_cpu;
#endif
