/* SPDX-License-Identifier: MIT */
/* The end of a run by hypercall: the reason and the status are arguments. */
#include <pv/console.h>
#include <pv/hypercall.h>
#include <pv/power.h>

_Noreturn void pv_exit(int status)
{
    pv_shutdown(PV_SHUTDOWN_POWEROFF, (uint32_t)status);
    __builtin_trap();
}

_Noreturn void pv_crash(const char *why)
{
    pv_puts(why);
    pv_shutdown(PV_SHUTDOWN_CRASH, 1);
    __builtin_trap();
}
