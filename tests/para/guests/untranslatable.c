/* SPDX-License-Identifier: GPL-2.0-or-later */
/* User code that the engine cannot translate, again and again: LOCK BTS of a register is #UD on every CPU. */
#include <pv/printf.h>
#include <pv/user.h>

#define N_RUNS 3000

static int64_t calls(void *context, uint64_t number, const uint64_t arguments[6])
{
    (void)context, (void)arguments;
    return (int64_t)number;
}

PV_USER_TEXT static int64_t locks(uint64_t argument)
{
    int64_t sum = pv_user_call(argument, 0, 0, 0);
    __asm__ volatile(".byte 0xf0, 0x0f, 0xab, 0xc8");
    return sum;
}

int main(void)
{
    struct pv_user *user = pv_user_create_function(locks, calls, NULL);
    unsigned n_refused = 0;
    for (uint64_t i = 0; i < N_RUNS; i++) {
        struct pv_trap_frame fault = {0};
        if (pv_user_run(user, i, &fault) < 0 && fault.trap == PV_TRAP_INVALID && pv_trap_is_user(&fault))
            n_refused++;
    }
    pv_printf("refused: %u\n", n_refused);
    return 0;
}
