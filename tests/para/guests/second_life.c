/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A virtual CPU that comes up again begins as any does: nothing of its first life is left, in whatever call it ended. */
#include <pv/hypercall.h>
#include <pv/printf.h>

static volatile uint64_t is_there, rax, rdx, xmm0;
static _Alignas(16) char stack[4096];

/* Its registers, as it finds them. */
void second(void);
__asm__(".text\n"
        "second:\n"
        "    movq %rax, rax(%rip)\n"
        "    movq %rdx, rdx(%rip)\n"
        "    movq %xmm0, xmm0(%rip)\n"
        "    movq $1, is_there(%rip)\n"
        "1:  pause\n"
        "    jmp 1b\n");

static void first(void)
{
    struct pv_multicall_entry calls[1] = {{.number = PV_HC_YIELD}};
    __asm__ volatile("movq %0, %%xmm0" : : "r"(77ul));
    pv_fpu_ts(1);
    is_there = 1;
    for (;;)
        pv_multicall(calls, 1); /* it gives the CPU away, and its result is 1 */
}

static void begin(void (*entry)(void))
{
    const struct pv_vcpu_context context = {.rip = (uintptr_t)entry, .rsp = (uintptr_t)stack + sizeof stack - 8};
    is_there = 0;
    pv_printf("up: %d\n", (int)pv_vcpu_up(1, &context));
    while (!is_there)
        pv_yield();
}

int main(void)
{
    begin(first);
    pv_yield();
    pv_printf("down: %d\n", (int)pv_vcpu_down(1));
    begin(second);
    pv_printf("%lx %lx %lx\n", rax, rdx, xmm0);
    return 0;
}
