/* SPDX-License-Identifier: MIT */
/*
 * The hypercalls as C functions; hypercalls.md explains each. Printed from the table in pvisor/abi by `make
 * gen`: change the table, not this file.
 */

#ifndef PV_HYPERCALL_H
#define PV_HYPERCALL_H

#include <pv/abi.h>

#if !defined(__x86_64__)
#error "pv/hypercall.h is for x86-64"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The first hypercall page: the guest defines this variable and sets it from pv_start_info.hypercall_page
 * before the first call (the SDK's start code does).
 *
 * Compile with -mno-red-zone. `call` pushes a return address, and a compiler that uses the red zone keeps its
 * variables just where that lands.
 */
extern const unsigned char *pv_hypercall_page;

/*
 * Any call, by number and with as many arguments as it takes. A call orders memory: the compiler moves no
 * access across it, and the hypervisor sees all that was written before.
 */
static inline int64_t pv_hypercall0(uint32_t nr)
{
    const unsigned char *stub = pv_hypercall_page + (uint64_t)nr * PV_STUB_BYTES;
    int64_t result;
    __asm__ volatile("call *%1"
                     : "=a"(result)
                     : "r"(stub)
                     : "rcx", "r11", "memory", "cc");
    return result;
}

static inline int64_t pv_hypercall1(uint32_t nr, uint64_t a)
{
    const unsigned char *stub = pv_hypercall_page + (uint64_t)nr * PV_STUB_BYTES;
    int64_t result;
    __asm__ volatile("call *%1"
                     : "=a"(result)
                     : "r"(stub), "D"(a)
                     : "rcx", "r11", "memory", "cc");
    return result;
}

static inline int64_t pv_hypercall2(uint32_t nr, uint64_t a, uint64_t b)
{
    const unsigned char *stub = pv_hypercall_page + (uint64_t)nr * PV_STUB_BYTES;
    int64_t result;
    __asm__ volatile("call *%1"
                     : "=a"(result)
                     : "r"(stub), "D"(a), "S"(b)
                     : "rcx", "r11", "memory", "cc");
    return result;
}

static inline int64_t pv_hypercall3(uint32_t nr, uint64_t a, uint64_t b, uint64_t c)
{
    const unsigned char *stub = pv_hypercall_page + (uint64_t)nr * PV_STUB_BYTES;
    int64_t result;
    __asm__ volatile("call *%1"
                     : "=a"(result)
                     : "r"(stub), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory", "cc");
    return result;
}

static inline int64_t pv_hypercall4(uint32_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    const unsigned char *stub = pv_hypercall_page + (uint64_t)nr * PV_STUB_BYTES;
    int64_t result;
    register uint64_t r10 __asm__("r10") = d;
    __asm__ volatile("call *%1"
                     : "=a"(result)
                     : "r"(stub), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory", "cc");
    return result;
}

static inline int64_t pv_hypercall5(uint32_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
    const unsigned char *stub = pv_hypercall_page + (uint64_t)nr * PV_STUB_BYTES;
    int64_t result;
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r8 __asm__("r8") = e;
    __asm__ volatile("call *%1"
                     : "=a"(result)
                     : "r"(stub), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory", "cc");
    return result;
}

/* Which version of the ABI is this? Result: the ABI version, PV_ABI_VERSION or greater. */
static inline int64_t pv_abi_version(void)
{
    return pv_hypercall0(PV_HC_ABI_VERSION);
}

/*
 * Which features are offered? Result: the 64 bits of that word; 0 for a word that no feature has reached yet;
 * -PV_EINVAL.
 */
static inline int64_t pv_features(uint32_t word)
{
    return pv_hypercall1(PV_HC_FEATURES, word);
}

/* Do nothing, and return. Result: 0. */
static inline int64_t pv_noop(void)
{
    return pv_hypercall0(PV_HC_NOOP);
}

/*
 * Make several calls at once. Result: how many calls were made: those have their result, the others are
 * untouched; -PV_EFAULT or -PV_EINVAL.
 */
static inline int64_t pv_multicall(struct pv_multicall_entry *calls, uint32_t n_calls)
{
    return pv_hypercall2(PV_HC_MULTICALL, (uint64_t)(uintptr_t)calls, n_calls);
}

/*
 * Write bytes to the console. Result: how many bytes were written: the lesser of size_bytes and
 * PV_CONSOLE_WRITE_MAX; -PV_EFAULT.
 */
static inline int64_t pv_console_write(const void *buffer, uint64_t size_bytes)
{
    return pv_hypercall2(PV_HC_CONSOLE_WRITE, (uint64_t)(uintptr_t)buffer, size_bytes);
}

/*
 * Read bytes that have arrived on the console. Result: how many bytes were read, at most PV_CONSOLE_READ_MAX;
 * 0 when there are none now; -PV_EFAULT or -PV_ENOSYS.
 */
static inline int64_t pv_console_read(void *buffer, uint64_t size_bytes)
{
    return pv_hypercall2(PV_HC_CONSOLE_READ, (uint64_t)(uintptr_t)buffer, size_bytes);
}

/* What time is it? Result: 0; -PV_EFAULT. */
static inline int64_t pv_time_get(struct pv_time *time)
{
    return pv_hypercall1(PV_HC_TIME_GET, (uint64_t)(uintptr_t)time);
}

/* Let this virtual CPU's timer signal once. Result: 0. */
static inline int64_t pv_timer_once(uint64_t due_ns)
{
    return pv_hypercall1(PV_HC_TIMER_ONCE, due_ns);
}

/* Let this virtual CPU's timer signal again and again. Result: 0; -PV_EINVAL. */
static inline int64_t pv_timer_periodic(uint64_t period_ns)
{
    return pv_hypercall1(PV_HC_TIMER_PERIODIC, period_ns);
}

/* Give the CPU away for a while. Result: 0. */
static inline int64_t pv_yield(void)
{
    return pv_hypercall0(PV_HC_YIELD);
}

/* Sleep until an event arrives. Result: 0, after an event. */
static inline int64_t pv_block(void)
{
    return pv_hypercall0(PV_HC_BLOCK);
}

/* End the domain. Result: none: the call returns only with an error; -PV_EINVAL. */
static inline int64_t pv_shutdown(uint32_t reason, uint32_t status)
{
    return pv_hypercall2(PV_HC_SHUTDOWN, reason, status);
}

/*
 * Sleep until one of some ports is pending, or a time has come. Result: 0 when a port is pending or an upcall
 * was made; -PV_EFAULT or -PV_EINVAL or -PV_ETIME.
 */
static inline int64_t pv_poll(const void *ports, uint32_t n_ports, uint64_t due_ns)
{
    return pv_hypercall3(PV_HC_POLL, (uint64_t)(uintptr_t)ports, n_ports, due_ns);
}

/* Start a virtual CPU. Result: 0; -PV_EINVAL or -PV_ENOENT or -PV_EBUSY or -PV_EFAULT. */
static inline int64_t pv_vcpu_up(uint32_t vcpu_id, const struct pv_vcpu_context *context)
{
    return pv_hypercall2(PV_HC_VCPU_UP, vcpu_id, (uint64_t)(uintptr_t)context);
}

/*
 * Stop a virtual CPU. Result: 0; nothing for the caller's own, which does not go on; -PV_EINVAL or -PV_ENOENT
 * or -PV_EBUSY.
 */
static inline int64_t pv_vcpu_down(uint32_t vcpu_id)
{
    return pv_hypercall1(PV_HC_VCPU_DOWN, vcpu_id);
}

/*
 * What does a virtual CPU do, and where did its time go? Result: 0; -PV_EINVAL or -PV_ENOENT or -PV_EFAULT.
 */
static inline int64_t pv_vcpu_query(uint32_t vcpu_id, struct pv_vcpu_status *status)
{
    return pv_hypercall2(PV_HC_VCPU_QUERY, vcpu_id, (uint64_t)(uintptr_t)status);
}

/* Set handlers of exceptions and of INT n. Result: 0; -PV_EFAULT or -PV_EINVAL. */
static inline int64_t pv_trap_table(const struct pv_trap_entry *entries, uint32_t n_entries)
{
    return pv_hypercall2(PV_HC_TRAP_TABLE, (uint64_t)(uintptr_t)entries, n_entries);
}

/* Set where the kernel is entered when an event is pending. Result: 0; -PV_EINVAL. */
static inline int64_t pv_upcall_set(uint64_t entry)
{
    return pv_hypercall1(PV_HC_UPCALL_SET, entry);
}

/* Set where the kernel is entered by SYSCALL of user code. Result: 0; -PV_EINVAL. */
static inline int64_t pv_syscall_set(uint64_t entry, uint32_t flags)
{
    return pv_hypercall2(PV_HC_SYSCALL_SET, entry, flags);
}

/* Set the kernel's stack for entries out of user code. Result: 0; -PV_EINVAL. */
static inline int64_t pv_stack_set(uint64_t rsp)
{
    return pv_hypercall1(PV_HC_STACK_SET, rsp);
}

/*
 * Go on where the kernel was entered, or anywhere else: in the kernel or in user code. Result: none: the call
 * returns only with an error; -PV_EFAULT or -PV_EINVAL.
 */
static inline int64_t pv_iret(const struct pv_iret_frame *frame)
{
    return pv_hypercall1(PV_HC_IRET, (uint64_t)(uintptr_t)frame);
}

/* Set one of the guest's own descriptors. Result: 0; -PV_EINVAL. */
static inline int64_t pv_descriptor_set(uint32_t index, uint64_t descriptor)
{
    return pv_hypercall2(PV_HC_DESCRIPTOR_SET, index, descriptor);
}

/* Set the base of FS or GS. Result: 0; -PV_EINVAL. */
static inline int64_t pv_segment_base_set(uint32_t which, uint64_t base)
{
    return pv_hypercall2(PV_HC_SEGMENT_BASE_SET, which, base);
}

/* Let the next use of x87, MMX or SSE raise #NM, or not. Result: 0; -PV_EINVAL. */
static inline int64_t pv_fpu_ts(uint32_t set)
{
    return pv_hypercall1(PV_HC_FPU_TS, set);
}

/* Move the shared page. Result: 0; -PV_EBUSY or -PV_EINVAL or -PV_ENOENT. */
static inline int64_t pv_shared_set(uint64_t gpa)
{
    return pv_hypercall1(PV_HC_SHARED_SET, gpa);
}

/*
 * Use other page tables on this virtual CPU. Result: 0; all translations of this virtual CPU are forgotten;
 * -PV_EINVAL or -PV_EBUSY or -PV_ENOENT.
 */
static inline int64_t pv_root_set(uint64_t root, uint64_t user_root)
{
    return pv_hypercall2(PV_HC_ROOT_SET, root, user_root);
}

/*
 * Change the last-level entry that maps an address. Result: 0; -PV_EINVAL or -PV_ENOENT or -PV_EBUSY or
 * -PV_EPERM.
 */
static inline int64_t pv_entry_set(uint64_t gva, uint64_t entry, uint32_t flags)
{
    return pv_hypercall3(PV_HC_ENTRY_SET, gva, entry, flags);
}

/*
 * Change many entries of page tables, of any level. Result: how many were done, from the first on. Fewer than
 * n: the next one has an error (call again with the rest, to learn which), or the call has reached a bound
 * (call again with the rest); -PV_EFAULT or -PV_EINVAL or -PV_ENOENT or -PV_EBUSY or -PV_EPERM.
 */
static inline int64_t pv_table_update(const struct pv_entry_update *updates, uint32_t n, uint32_t flags)
{
    return pv_hypercall3(PV_HC_TABLE_UPDATE, (uint64_t)(uintptr_t)updates, n, flags);
}

/*
 * Make a frame a page table, and keep it one. Result: 0; -PV_EINVAL or -PV_EEXIST or -PV_EPERM or -PV_EBUSY
 * or -PV_ENOENT.
 */
static inline int64_t pv_table_pin(uint64_t gpa, uint32_t level)
{
    return pv_hypercall2(PV_HC_TABLE_PIN, gpa, level);
}

/* Let a frame be no page table any more, once nothing uses it as one. Result: 0; -PV_EINVAL or -PV_ENOENT. */
static inline int64_t pv_table_unpin(uint64_t gpa)
{
    return pv_hypercall1(PV_HC_TABLE_UNPIN, gpa);
}

/* Forget translations, on all virtual CPUs of the domain. Result: 0; -PV_EINVAL. */
static inline int64_t pv_tlb_flush(uint32_t what, uint64_t gva)
{
    return pv_hypercall2(PV_HC_TLB_FLUSH, what, gva);
}

/*
 * Take frames again that were given back. Result: how many were done, from the first on. Fewer than n: the
 * next one has an error (call again with the rest, to learn which), or the call has reached a bound (call
 * again with the rest); -PV_EFAULT or -PV_EINVAL or -PV_EEXIST or -PV_ENOMEM.
 */
static inline int64_t pv_memory_populate(const void *gpas, uint32_t n)
{
    return pv_hypercall2(PV_HC_MEMORY_POPULATE, (uint64_t)(uintptr_t)gpas, n);
}

/*
 * Give frames back to the host. Result: how many were done, from the first on. Fewer than n: the next one has
 * an error (call again with the rest, to learn which), or the call has reached a bound (call again with the
 * rest); -PV_EFAULT or -PV_EINVAL or -PV_ENOENT or -PV_EBUSY.
 */
static inline int64_t pv_memory_release(const void *gpas, uint32_t n)
{
    return pv_hypercall2(PV_HC_MEMORY_RELEASE, (uint64_t)(uintptr_t)gpas, n);
}

/*
 * How many frames shall the domain have? Result: the number of frames that the host wants the domain to have,
 * at most.
 */
static inline int64_t pv_memory_target(void)
{
    return pv_hypercall0(PV_HC_MEMORY_TARGET);
}

/*
 * What lies where in guest-physical memory? Result: how many ranges there are; the first n of them have been
 * written; -PV_EFAULT or -PV_EINVAL.
 */
static inline int64_t pv_memory_map(struct pv_memory_range *ranges, uint32_t n)
{
    return pv_hypercall2(PV_HC_MEMORY_MAP, (uint64_t)(uintptr_t)ranges, n);
}

/* Make a port that another domain may bind to. Result: the new port, 1 to 1023; -PV_EINVAL or -PV_ENOSPC. */
static inline int64_t pv_event_alloc(uint32_t remote_domid)
{
    return pv_hypercall1(PV_HC_EVENT_ALLOC, remote_domid);
}

/*
 * Make the other end of a channel, to a port that a domain has allocated for this one. Result: the new port,
 * 1 to 1023: the caller's end; -PV_EINVAL or -PV_ENOENT or -PV_EPERM or -PV_ENOSPC.
 */
static inline int64_t pv_event_bind(uint32_t remote_domid, uint32_t remote_port)
{
    return pv_hypercall2(PV_HC_EVENT_BIND, remote_domid, remote_port);
}

/*
 * Make a port that the hypervisor signals. Result: the new port, 1 to 1023; -PV_EINVAL or -PV_EEXIST or
 * -PV_ENOSPC.
 */
static inline int64_t pv_event_bind_virq(uint32_t virq, uint32_t vcpu_id)
{
    return pv_hypercall2(PV_HC_EVENT_BIND_VIRQ, virq, vcpu_id);
}

/*
 * Make a port by which the domain signals one of its own virtual CPUs. Result: the new port, 1 to 1023;
 * -PV_EINVAL or -PV_ENOSPC.
 */
static inline int64_t pv_event_bind_ipi(uint32_t vcpu_id)
{
    return pv_hypercall1(PV_HC_EVENT_BIND_IPI, vcpu_id);
}

/* Give a port back. Result: 0; -PV_EINVAL or -PV_ENOENT. */
static inline int64_t pv_event_close(uint32_t port)
{
    return pv_hypercall1(PV_HC_EVENT_CLOSE, port);
}

/* Signal the other end of a channel. Result: 0: the other end is pending; -PV_EINVAL or -PV_ENOENT. */
static inline int64_t pv_event_send(uint32_t port)
{
    return pv_hypercall1(PV_HC_EVENT_SEND, port);
}

/*
 * Let a port's signals through again, and the one that has come meanwhile. Result: 0; -PV_EINVAL or
 * -PV_ENOENT.
 */
static inline int64_t pv_event_unmask(uint32_t port)
{
    return pv_hypercall1(PV_HC_EVENT_UNMASK, port);
}

/* What is this port? Result: 0; -PV_EINVAL or -PV_EFAULT. */
static inline int64_t pv_event_status(uint32_t port, struct pv_event_info *status)
{
    return pv_hypercall2(PV_HC_EVENT_STATUS, port, (uint64_t)(uintptr_t)status);
}

/* Choose which virtual CPU a port tells. Result: 0; -PV_EINVAL or -PV_ENOENT. */
static inline int64_t pv_event_vcpu(uint32_t port, uint32_t vcpu_id)
{
    return pv_hypercall2(PV_HC_EVENT_VCPU, port, vcpu_id);
}

/*
 * Let another domain use a frame of one's own. Result: the grant's number (gref), greater than 0, to be told
 * to the other domain; -PV_EINVAL or -PV_ENOENT or -PV_EBUSY or -PV_ENOSPC or -PV_ENOSYS.
 */
static inline int64_t pv_grant_create(uint32_t domid, uint64_t gpa, uint32_t flags)
{
    return pv_hypercall3(PV_HC_GRANT_CREATE, domid, gpa, flags);
}

/* Take a grant back. Result: 0; -PV_ENOENT or -PV_EBUSY or -PV_EINVAL or -PV_ENOSYS. */
static inline int64_t pv_grant_revoke(uint32_t gref)
{
    return pv_hypercall1(PV_HC_GRANT_REVOKE, gref);
}

/*
 * Put a frame that another domain has granted into the grant window. Result: the GPA of a slot of the window:
 * a frame from now on, for entries of page tables; -PV_ENOENT or -PV_EPERM or -PV_ENOSPC or -PV_EINVAL or
 * -PV_ENOSYS.
 */
static inline int64_t pv_grant_map(uint32_t domid, uint32_t gref, uint32_t flags)
{
    return pv_hypercall3(PV_HC_GRANT_MAP, domid, gref, flags);
}

/* Take a frame out of the grant window. Result: 0; -PV_EINVAL or -PV_ENOENT or -PV_EBUSY or -PV_ENOSYS. */
static inline int64_t pv_grant_unmap(uint64_t gpa)
{
    return pv_hypercall1(PV_HC_GRANT_UNMAP, gpa);
}

/*
 * Copy between frames that are one's own or granted, without a mapping. Result: how many operations were
 * tried: the lesser of n_ops and PV_GRANT_COPY_MAX; -PV_EFAULT or -PV_EINVAL or -PV_ENOSYS.
 */
static inline int64_t pv_grant_copy(struct pv_grant_copy_op *ops, uint32_t n_ops)
{
    return pv_hypercall2(PV_HC_GRANT_COPY, (uint64_t)(uintptr_t)ops, n_ops);
}

/* Look at a grant of one's own. Result: 0; -PV_ENOENT or -PV_EFAULT or -PV_EINVAL or -PV_ENOSYS. */
static inline int64_t pv_grant_status(uint32_t gref, struct pv_grant_info *info)
{
    return pv_hypercall2(PV_HC_GRANT_STATUS, gref, (uint64_t)(uintptr_t)info);
}

/*
 * Read a value. Result: how long the value is; that many bytes have been written to value; -PV_EFAULT or
 * -PV_EINVAL or -PV_EPERM or -PV_ENOENT or -PV_E2BIG or -PV_ENOSPC.
 */
static inline int64_t pv_store_read(const struct pv_store_request *request)
{
    return pv_hypercall1(PV_HC_STORE_READ, (uint64_t)(uintptr_t)request);
}

/*
 * Write a value; make the node, and those above it, where they are not there. Result: 0; -PV_EFAULT or
 * -PV_EINVAL or -PV_EPERM or -PV_ENOSPC.
 */
static inline int64_t pv_store_write(const struct pv_store_request *request)
{
    return pv_hypercall1(PV_HC_STORE_WRITE, (uint64_t)(uintptr_t)request);
}

/*
 * Which nodes are below this one? Result: how many bytes were written to value: each name followed by a NUL,
 * in the order of their bytes; -PV_EFAULT or -PV_EINVAL or -PV_EPERM or -PV_ENOENT or -PV_E2BIG or
 * -PV_ENOSPC.
 */
static inline int64_t pv_store_list(const struct pv_store_request *request)
{
    return pv_hypercall1(PV_HC_STORE_LIST, (uint64_t)(uintptr_t)request);
}

/*
 * Remove a node and all that is below it. Result: 0; -PV_EFAULT or -PV_EINVAL or -PV_EPERM or -PV_ENOENT or
 * -PV_ENOSPC.
 */
static inline int64_t pv_store_remove(const struct pv_store_request *request)
{
    return pv_hypercall1(PV_HC_STORE_REMOVE, (uint64_t)(uintptr_t)request);
}

/*
 * Be told of each change of a node, or below it. Result: 0; -PV_EFAULT or -PV_EINVAL or -PV_EEXIST or
 * -PV_ENOSPC.
 */
static inline int64_t pv_store_watch(const struct pv_store_request *request)
{
    return pv_hypercall1(PV_HC_STORE_WATCH, (uint64_t)(uintptr_t)request);
}

/* No longer be told. Result: 0; -PV_EFAULT or -PV_EINVAL or -PV_ENOENT. */
static inline int64_t pv_store_unwatch(const struct pv_store_request *request)
{
    return pv_hypercall1(PV_HC_STORE_UNWATCH, (uint64_t)(uintptr_t)request);
}

/*
 * Take the next watch event. Result: how many bytes were written to value: the absolute path of what changed,
 * NUL, the token, NUL; -PV_EFAULT or -PV_EINVAL or -PV_ENOENT or -PV_E2BIG.
 */
static inline int64_t pv_store_next(const struct pv_store_request *request)
{
    return pv_hypercall1(PV_HC_STORE_NEXT, (uint64_t)(uintptr_t)request);
}

/*
 * Begin a transaction: several calls that happen together, or not at all. Result: the transaction, 1 or
 * greater; -PV_ENOSPC.
 */
static inline int64_t pv_store_begin(void)
{
    return pv_hypercall0(PV_HC_STORE_BEGIN);
}

/* End a transaction. Result: 0; -PV_EINVAL or -PV_ENOENT or -PV_EAGAIN. */
static inline int64_t pv_store_end(uint32_t transaction, uint32_t commit)
{
    return pv_hypercall2(PV_HC_STORE_END, transaction, commit);
}

/*
 * Say what another domain may do with a node and what is below it. Result: 0; -PV_EFAULT or -PV_EINVAL or
 * -PV_EPERM or -PV_ENOENT or -PV_ENOSPC.
 */
static inline int64_t pv_store_permit(const struct pv_store_request *request, uint32_t domid, uint32_t rights)
{
    return pv_hypercall3(PV_HC_STORE_PERMIT, (uint64_t)(uintptr_t)request, domid, rights);
}

#ifdef __cplusplus
}
#endif

#endif /* PV_HYPERCALL_H */
