/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inside of the emulation lane: the engine's CPU belongs to the guest, which runs at CPL 0.
 *
 *   internals.c   functions and fields of QEMU's that the lane needs, found and proved at start-up
 *   probe.c       the guest that proves them
 *   engine.c      open, the state at entry, devices' memory, the end of a run
 *   blocks.c      the block hook: counting, limits, external interrupts
 *   events.c      exceptions, INT n, SYSCALL, SYSENTER
 *   access.c      I/O ports by privilege, devices' memory
 *   devices.c     the local APIC's native handlers
 *   sites.c       RDMSR, WRMSR and MOV CR8 of what the engine lacks
 *   walk.c        the guest's own page tables
 */
#ifndef PV_EMU_H
#define PV_EMU_H
#include "cpu/shim/shim.h"

enum { LANE_CHAIN = 4, LANE_MMIO = 16, LANE_SITES = 512, LANE_IO_SITES = 256, FAULTS_WITHOUT_PROGRESS = 10000 };

struct lane_fault {
    uint32_t vector, error;
    uint64_t cr2;
};

struct lane_mmio {             /* one range of guest-physical memory that devices answer */
    struct engine *e;
    uint64_t base;
};

struct lane {
    uint8_t *cpu;              /* QEMU's CPUState; e->state lies inside it */
    uint32_t injected;         /* 1 + the vector of an external interrupt to deliver, or 0 */
    bool injected_nmi;         /* it is an NMI, which blocks others until IRET */
    bool delivering;           /* still set at the next exception: the delivery left by longjmp */
    bool delivering_df;        /* still set at the end of a run: a triple fault */
    uint32_t n_chain;
    struct lane_fault chain[LANE_CHAIN];    /* what led to the delivery under way */
    uint64_t faults_at, n_faults;           /* how many exceptions came at one instruction count */
    bool offers_pcids;         /* the guest may set CR4.PCIDE */
    uint32_t n_sites, n_io_sites;
    uint64_t sites[LANE_SITES];             /* addresses of instructions with a hook (sites.c) */
    uint32_t n_mmio;
    struct lane_mmio mmio[LANE_MMIO];
};

/* Offsets into CPUX86State, but for mem_io_pc, which is CPUState's. Each is found by the probe. */
struct lane_layout {
    uint32_t cr0, cr3, tr, efer, star, lstar, cstar, fmask, sysenter_cs, sysenter_esp, sysenter_eip;
    uint32_t mem_io_pc;
};

struct internals {
    void (*do_interrupt)(void *cpu);                              /* an exception or INT n, as the state has it */
    void (*do_hardirq)(void *state, int vector, int is_hardware); /* an external interrupt */
    void (*raise)(void *state, int vector, int error_code);       /* does not return: longjmp into the engine */
    bool (*restore_state)(void *cpu, uintptr_t host_pc, bool will_exit);
    void *(*host_address)(void *state, uint64_t address, int access, int mmu_index); /* NULL where the TLB has none */
    void (*watch_stores)(void *cpu, uintptr_t host, uintptr_t n_bytes); /* the next store there is looked at */
    struct lane_layout at;
};

/*
 * The engine ends the process when it looks for a stack in a TSS that is not one, which LTR of a null selector
 * leaves behind (and a reset, by its own measure). Such a TR becomes an empty TSS: then it raises #TS.
 */
enum { TR_IS_TSS_MASK = 0x8700, TR_IS_TSS = 0x8100 };
void repair_tr(struct engine *e);

/* Filled once by pv_emulation_self_test, constant afterwards. */
extern struct internals internals;

enum { CR0_PG_SHIFT = 31, EFER_SCE = 1, EFER_LMA = 1 << 10, HF_PE = 1 << 7 };
enum { FLAG_IF = 1 << 9, FLAG_RF = 1 << 16, FLAG_VM = 1 << 17 };

const char *find_internals(void);
const char *find_fields(struct engine *e);
struct engine *open_lane(void *ram, uint64_t ram_bytes, uint32_t model, void *owner, const char **wrong);

void check_ioport(struct engine *e, uint32_t ioport, int size);
bool hook_sites(struct engine *e, uint64_t address, uint32_t size);
void lane_on_block(uc_engine *uc, uint64_t address, uint32_t size, void *user);
void lane_on_translation(uc_engine *uc, uc_tb *block, uc_tb *before, void *user);
void lane_on_interrupt(uc_engine *uc, uint32_t vector, void *user);
bool lane_on_invalid(uc_engine *uc, void *user);
void lane_on_syscall(uc_engine *uc, void *user);
void lane_on_sysenter(uc_engine *uc, void *user);
uint32_t lane_on_in(uc_engine *uc, uint32_t ioport, int size, void *user);
void lane_on_out(uc_engine *uc, uint32_t ioport, int size, uint32_t value, void *user);
bool lane_on_device_fetch(uc_engine *uc, uc_mem_type type, uint64_t address, int size, int64_t value, void *user);
uint64_t lane_mmio_read(uc_engine *uc, uint64_t offset, unsigned size, void *user);
void lane_mmio_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value, void *user);

/* QEMU's hflags2 stands behind hflags. The engine clears the bit at IRET, which the probe sees. */
enum { HF2_NMI = 1 << 2 };
static inline uint32_t *lane_hflags2(struct engine *e)
{
    return state32(e, e->at.hflags + 4);
}

static inline uint64_t lane_cr0(struct engine *e)
{
    return *state64(e, internals.at.cr0);
}
static inline uint64_t lane_cr3(struct engine *e)
{
    return *state64(e, internals.at.cr3);
}
static inline uint64_t lane_cr2(struct engine *e)
{
    return *state64(e, internals.at.cr3 - 8);
}
static inline uint64_t lane_cr4(struct engine *e)
{
    return *state64(e, internals.at.cr3 + 8);
}
static inline bool lane_tr_is_tss(struct engine *e)
{
    return (*state32(e, internals.at.tr + 20) & TR_IS_TSS_MASK) == TR_IS_TSS;
}
static inline uint64_t lane_efer(struct engine *e)
{
    return *state64(e, internals.at.efer);
}
#endif
