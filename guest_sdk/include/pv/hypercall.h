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

/* Move the shared page. Result: 0; -PV_EBUSY or -PV_EINVAL. */
static inline int64_t pv_shared_set(uint64_t gpa)
{
    return pv_hypercall1(PV_HC_SHARED_SET, gpa);
}

#ifdef __cplusplus
}
#endif

#endif /* PV_HYPERCALL_H */
