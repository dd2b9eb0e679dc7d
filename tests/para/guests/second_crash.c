/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two virtual CPUs take turns, each with a call that the other never makes; then the second one crashes. */
#include <pv/hypercall.h>

static _Alignas(16) unsigned char second_stack[8192];

static void second(void)
{
    for (int i = 0; i < 5; i++) {
        pv_noop();
        pv_yield();
    }
    __builtin_trap();
}

int main(void)
{
    uint64_t top = (uintptr_t)second_stack + sizeof second_stack;
    const struct pv_vcpu_context context = {(uintptr_t)second, top - 8, 0, 0};
    pv_vcpu_up(1, &context);
    for (;;) {
        pv_abi_version();
        pv_yield();
    }
}
