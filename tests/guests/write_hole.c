/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Para: writes to the hypercall page, which belongs to the hypervisor. */
#include <pv/console.h>
#include <pv/hypercall.h>

int main(void)
{
    volatile unsigned char *page = (volatile unsigned char *)(unsigned long)pv_hypercall_page;
    pv_puts("writing to the hypercall page");
    page[0] = 0xcc;
    pv_puts("written");
    return 1;
}
