/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shim's functions, for Python (cffi parses this file) and for the C files that define them. */
#ifndef PV_API_H
#define PV_API_H
#include <stdbool.h>
#include <stddef.h>
#include "types.h"
#include "full/native/apic_state.h"
#include "para/native/paging_state.h"
#include "para/native/turns_state.h"

/* Libraries and the self-test: once a process. 0 or a repair; text in `error` otherwise. */
int pv_load_unicorn(const char *path, char *error, size_t error_size);
int pv_load_capstone(const char *path, char *error, size_t error_size);
uint32_t pv_unicorn_version(void);
uint32_t pv_self_test(uint32_t wanted, char *error, size_t error_size);
void pv_state_offsets(uint32_t offsets[6]);

/*
 * A vCPU on guest RAM (engine-physical 0 ...) and the hypervisor's frames. `model` is Unicorn's number of a CPU, 0 for
 * Sandy Bridge. NULL: no engine could be made.
 */
pv_vcpu *pv_open(void *ram, uint64_t ram_bytes, void *hv, uint64_t hv_bytes, uint32_t model, void *owner);
/* General registers, x87 and SSE as a CPU begins. 0, or -1. */
int pv_reset_registers(pv_vcpu *v);
void pv_close(pv_vcpu *v);

/* Runs until something needs Python; returns v->exit.reason. Completes the exit before. */
uint32_t pv_run(pv_vcpu *v);
void pv_complete(pv_vcpu *v);
/*
 * The same, and where a native handler hands the CPU over to another vCPU, that one runs on: t->current is who came back,
 * for the reason that is returned. With PV_TURNED, Python has to be told of what has happened.
 */
uint32_t pv_run_turns(pv_turns *t, pv_vcpu *v);

/* State, valid while the vCPU is stopped or inside an exit. 0 or Unicorn's error. */
int pv_set_root(pv_vcpu *v, uint64_t root);
int pv_set_gdtr(pv_vcpu *v, uint64_t base, uint32_t limit);
int pv_show_tables(pv_vcpu *v, uint64_t idt_base, uint32_t idt_limit, uint32_t tr, uint32_t ldtr);
uint64_t pv_get_rflags(pv_vcpu *v);
int pv_set_rflags(pv_vcpu *v, uint64_t rflags);
void pv_set_segment(pv_vcpu *v, int index, const pv_segment *segment);
void pv_get_segment(pv_vcpu *v, int index, pv_segment *segment);
uint32_t pv_cpl(pv_vcpu *v);
uint64_t pv_linear(pv_vcpu *v, uint64_t rip); /* the linear address of code */
int pv_get_vector(pv_vcpu *v, int index, uint64_t halves[2]); /* XMM0 to XMM15, the low half first */
int pv_set_vector(pv_vcpu *v, int index, const uint64_t halves[2]);
int pv_set_cr0(pv_vcpu *v, uint64_t guest_bits);
int pv_set_cr4(pv_vcpu *v, uint64_t guest_bits);
uint64_t pv_get_cr4(pv_vcpu *v);
int pv_set_xcr0(pv_vcpu *v, uint64_t xcr0); /* x87, or x87 and SSE; -1: this engine, or its model, cannot have it */
int pv_flush_tlb(pv_vcpu *v);
void pv_new_epoch(pv_vcpu *v);
int pv_forget_code(pv_vcpu *v, uint64_t gva);
void pv_flush_page(pv_vcpu *v, uint64_t gva);

/*
 * Direct paging (pvisor/para). From `attach` on the vCPU's frames are those of roots->paging, and code in frames that
 * can be written to is looked at before it runs (code.c): 0, or -1 without memory. `adopt` lets a frame become a
 * table without a use of it: 0 or -errno.
 */
int pv_paging_attach(pv_vcpu *v, pv_roots *roots);
int pv_paging_adopt(pv_paging *p, uint32_t frame, uint32_t level);

/*
 * Shadow tables (shadow.h), made of the hypervisor's frames [first_table, first_table + n_tables). A key names
 * an address space; 0 is none. `rip`: the linear address of the instruction that is served; `tables`: the guest's
 * tables from which a mapping was read.
 */
int pv_shadow_open(pv_vcpu *v, uint32_t first_table, uint32_t n_tables);
void pv_shadow_switch(pv_vcpu *v, uint64_t key, bool keeps); /* keeps: what is stale may go on to be used */
void pv_shadow_flush(pv_vcpu *v, uint64_t key_mask, uint64_t key); /* what is stale in these address spaces is dropped */
void pv_shadow_fill(pv_vcpu *v, uint64_t gva, uint64_t gpa, uint32_t what, uint64_t rip, const uint64_t *tables,
                    uint32_t n_tables);
void pv_shadow_drop(pv_vcpu *v, uint64_t gva, bool everywhere); /* in the current address space, or in each */
void pv_shadow_drop_all(pv_vcpu *v);
void pv_shadow_host_write(pv_vcpu *v, uint64_t gpa, int is_walker);
void pv_shadow_show(pv_vcpu *v, uint64_t gpa, int is_shown);

/* Replaced instructions: how many are there now, how many were ever, and bytes as the guest wrote them. */
uint64_t pv_patches(pv_vcpu *v, uint64_t *n_ever);
void pv_original_code(pv_vcpu *v, uint64_t gpa, void *bytes, uint32_t n_bytes);

/* The instruction at `rip` faults, and the guest may look at it: where it is replaced, its frame is itself again. */
void pv_show_code(pv_vcpu *v, uint64_t rip);

/* Is this whole instruction one that would be replaced; `user`: where user code runs? (sensitive.c) */
bool pv_is_sensitive(const void *insn, uint32_t n_bytes, bool mode64, bool user);

/* Guest-virtual memory through the real tables. Whole range or nothing: 0, or -1. */
int pv_translate(pv_vcpu *v, uint64_t gva, uint64_t *physical, uint64_t *rights);
int pv_copy_in(pv_vcpu *v, uint64_t gva, void *into, uint64_t n_bytes);
int pv_copy_out(pv_vcpu *v, uint64_t gva, const void *from, uint64_t n_bytes);

/*
 * The grant window of a domain (grants.c): made (NULL: no memory), shown to each of its vCPUs, and let go. `map` puts a
 * page of another domain at a slot, free until then; `page` is its host address, in memory that the host shares
 * between processes (MAP_SHARED). 0, or -1: the host does not allow it, nothing has changed. `unmap` empties a slot: 1 if
 * something was there; then the TLBs of all vCPUs must be flushed, for an entry that mapped it may be in them still.
 */
typedef struct pv_grants pv_grants;
pv_grants *pv_open_grants(void);
void pv_close_grants(pv_grants *g);
int pv_show_grants(pv_vcpu *v, pv_grants *g);
int pv_map_grant(pv_grants *g, uint32_t slot, void *page, int writable);
int pv_unmap_grant(pv_grants *g, uint32_t slot);

/*
 * The emulation lane (pvisor/emu/native): a vCPU whose guest runs at CPL 0 of the engine's CPU, entered in 32-bit
 * protected mode. Its own self-test comes once a process, after pv_self_test: 0, or -1 and text in `error`.
 */
int pv_emulation_self_test(char *error, size_t error_size);
pv_vcpu *pv_open_emulated(void *ram, uint64_t ram_bytes, uint32_t model, void *owner);
void pv_offer_pcids(pv_vcpu *v); /* MOV CR3 knows bit 63 while CR4.PCIDE is set */
int pv_map_mmio(pv_vcpu *v, uint64_t base, uint64_t n_bytes);
int pv_enter_long_mode(pv_vcpu *v); /* CR3 is set; then come the segments */
int pv_get_idtr(pv_vcpu *v, uint64_t *base, uint32_t *limit);
uint32_t pv_tsc_aux(pv_vcpu *v);
void pv_get_control(pv_vcpu *v, uint64_t control[5]); /* CR0, CR2, CR3, CR4, EFER */
void pv_inject(pv_vcpu *v, uint32_t vector);
void pv_inject_nmi(pv_vcpu *v);
uint32_t pv_exception_chain(pv_vcpu *v, uint32_t index, uint32_t *vector, uint32_t *error_code, uint64_t *cr2);

/* Native handlers, by wing ("full", "para"): how many, their names, switched on one by one. */
uint32_t pv_native_count(const char *wing);
const char *pv_native_name(const char *wing, uint32_t index);
void pv_native_enable(pv_vcpu *v, const char *wing, uint32_t index);

/* Trace: records so far, and forgetting them. */
int pv_trace_start(pv_vcpu *v);
const pv_record *pv_trace_records(pv_vcpu *v, uint32_t *n_records);
void pv_trace_clear(pv_vcpu *v);

/* Operations of `compare`. */
int pv_operation_add(pv_vcpu *v, uint64_t address);
const pv_operation *pv_operation_get(pv_vcpu *v, uint32_t index);
void pv_operations_finish(pv_vcpu *v);

/*
 * Marks (marks.c): pv_run stops for a kick before the first block of [low, high], of user code alone if so wished. The
 * mark's index, or -1: there are too many. `met` gives those met since the last call as bits; each is met once.
 */
int pv_mark(pv_vcpu *v, uint64_t low, uint64_t high, int user_only);
uint32_t pv_marks_met(pv_vcpu *v);

/* Exits by place from now on: 0, or -1 without memory; then PV_PLACES rows, and what found no room among them. */
int pv_places_start(pv_vcpu *v);
const pv_place *pv_places(pv_vcpu *v, uint64_t *n_elsewhere);

/* Loads of CR3 by which the guest has changed its address space (shadow.c), and those of them that lost a shadow. */
uint64_t pv_shadow_switches(pv_vcpu *v, uint64_t *n_stale);

/*
 * The guest's breakpoints (debug.c). Before the instruction at addresses[i] comes an exit (EXCEPTION, vector 1), for
 * each bit i of `which`. pv_watch opens: the next instruction runs by itself, then `pages` are unmapped again.
 */
void pv_set_breakpoints(pv_vcpu *v, const uint64_t *addresses, uint32_t which);
void pv_watch(pv_vcpu *v, const uint64_t *pages, uint32_t n_pages);

/* NMIs: are they blocked until IRET, and does one wait that is not? */
uint32_t pv_nmi_blocked(pv_vcpu *v);
uint32_t pv_nmi_due(pv_vcpu *v);

/* A device's interrupt, at a block boundary with IF set, without Python. -1: it was not delivered, nothing changed. */
int pv_deliver_interrupt(pv_vcpu *v, uint32_t vector);

/* Deadlines of devices that native handlers know act if they are due, up to the first that is Python's. */
void pv_run_deadlines(pv_vcpu *v);

/*
 * The local APIC without Python (full/native/apic.c), offsets as in its page; `now_ns` is virtual time. The CPU's line
 * is left in is_asserted. 0: it takes full/apic.py, and nothing has changed.
 */
int pv_apic_read(const pv_apic *apic, uint32_t offset, uint64_t now_ns, uint32_t *value);
int pv_apic_write(pv_apic *apic, uint32_t offset, uint32_t value);

/* Ctrl-C and SIGTERM: from install to restore a signal only sets flags. Returns the signal seen, or 0. */
int pv_signals_install(void);
void pv_signals_restore(void);
int pv_signal_seen(void);

/*
 * What an operation costs at least on this engine (floor.c): ns each, or a negative number when it cannot run.
 * `code` is a loop that R15 counts, placed at 0x1000; `page` the hypercall page, or NULL; `old_exception` the
 * verified offset (pv_state_offsets). Operations: syscall, vmcall, int, out, cli.
 */
double pv_floor(const char *operation, const void *code, uint32_t code_bytes, const void *page,
                uint64_t n_operations, int repair, uint32_t old_exception);
#endif
