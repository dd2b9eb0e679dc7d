/* SPDX-License-Identifier: MIT */
/* From the start info to main(): all that the full wing has to find out is written there. */
#include <pv/hypercall.h>
#include <pv/power.h>
#include <pv/start.h>

#include "event.h"
#include "paging.h"

extern int main(void);
_Noreturn void pv_start(const struct pv_start_info *info);

const unsigned char *pv_hypercall_page;
struct pv_shared_info *pv_shared;

static const struct pv_start_info *start_info;

_Noreturn void pv_start(const struct pv_start_info *info)
{
    if (info->magic != PV_START_MAGIC)
        __builtin_trap(); /* there is no hypercall page to complain through */
    start_info = info;
    pv_hypercall_page = (const unsigned char *)info->hypercall_page;
    pv_shared = (struct pv_shared_info *)info->shared_info;
    pv_exit(main());
}

const struct pv_start_info *pv_info(void)
{
    return start_info;
}

const char *pv_cmdline(void)
{
    return (const char *)start_info->cmdline;
}

size_t pv_memory_bytes(void)
{
    return start_info->memory_bytes;
}
