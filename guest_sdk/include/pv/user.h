/* SPDX-License-Identifier: MIT */
/*
 * User programs: code that runs with fewer rights, in an address space of its own, and asks the kernel by system calls.
 * Full and hybrid: ring 3, SYSCALL, the TSS. Para: ring 3, with the system-call entry and the kernel's stack that the
 * hypervisor is told of.
 *
 * A program is a piece of code that is copied to PV_USER_CODE, with a stack of 64 KiB that ends at PV_USER_STACK_END.
 * It cannot see the kernel's memory. Map more for it in its space (pv/memory.h, PV_MAP_USER).
 *
 * A program runs with interrupts enabled until it leaves; one runs at a time. What the kernel gives it to do it does on
 * the kernel's stack. Only pv_user_run waits. The functions for the kernel may not be called from interrupt handlers,
 * but for pv_user_leave.
 */
#ifndef PV_USER_H
#define PV_USER_H

#include <stddef.h>
#include <stdint.h>

#include <pv/interrupt.h>
#include <pv/memory.h>

#define PV_USER_CODE      0x0000010000000000
#define PV_USER_STACK_END 0x0000010080000000

struct pv_user;

/*
 * A system call: its NUMBER and arguments as the program gave them; it gets what is returned. Runs with interrupts
 * disabled and may enable them.
 */
typedef int64_t pv_call_handler(void *context, uint64_t number, const uint64_t arguments[6]);

/* A function that runs in a user program. */
typedef int64_t pv_user_function(uint64_t argument);

/*
 * A program that is the SIZE_BYTES of machine code at CODE, entered at the first byte as a pv_user_function is. HANDLER
 * gets its system calls, with CONTEXT. NULL when no page is left, or the code is larger than 1 GiB or nothing at all.
 */
struct pv_user *pv_user_create(const void *code, size_t size_bytes, pv_call_handler *handler, void *context);

/*
 * A program that is a function of this image, declared with PV_USER_TEXT, as is every function that it calls. They are
 * copied away from the rest, so they may use their arguments, local variables and system calls, but no global variable,
 * constant table or string. NULL when no page is left, or FUNCTION is not declared so.
 */
struct pv_user *pv_user_create_function(pv_user_function *function, pv_call_handler *handler, void *context);
#define PV_USER_TEXT __attribute__((section(".user.text"), noinline))

/* The program's address space. */
struct pv_space *pv_user_space(struct pv_user *user);

/*
 * Free a program that does not run, with its space, code and stack; pages that the kernel has mapped in its space stay
 * what they are. NULL: without effect.
 */
void pv_user_destroy(struct pv_user *user);

/*
 * Run the program from its start, with ARGUMENT, in its space; the space is switched back after it. Blocks until the
 * program leaves. Returns what its function returned or pv_user_leave was given; -PV_EFAULT: it raised an exception
 * that has no handler (*FAULT then tells which, unless FAULT is NULL); -PV_EBUSY: one runs already.
 */
int64_t pv_user_run(struct pv_user *user, uint64_t argument, struct pv_trap_frame *fault);

/*
 * End the running program: its pv_user_run returns RESULT. From the system-call handler, or from a trap or interrupt
 * handler that has interrupted the program itself (pv_trap_is_user).
 */
_Noreturn void pv_user_leave(int64_t result);

/*
 * For the program: the system call NUMBER with three arguments; the others that the handler gets hold anything. Returns
 * what the handler does. PV_USER_RETURN is taken: it is how its function returns.
 */
#define PV_USER_RETURN 0xffffffffffffffff

static inline __attribute__((always_inline)) int64_t pv_user_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c)
{
    int64_t result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
                       "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    return result;
}

#endif /* PV_USER_H */
