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

#ifdef __cplusplus
}
#endif

#endif /* PV_HYPERCALL_H */
