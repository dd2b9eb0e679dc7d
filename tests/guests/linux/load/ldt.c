/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The system call modify_ldt, which libc does not offer. */
#define _GNU_SOURCE
#include "ldt.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

struct user_desc ldt_data(unsigned entry, uint32_t base, uint32_t limit)
{
    return (struct user_desc){.entry_number = entry, .base_addr = base, .limit = limit, .seg_32bit = 1, .useable = 1};
}

struct user_desc ldt_code(unsigned entry, uint32_t base)
{
    struct user_desc segment = ldt_data(entry, base, 0xfffff);
    segment.contents = MODIFY_LDT_CONTENTS_CODE;
    segment.limit_in_pages = 1;
    return segment;
}

int ldt_write(const struct user_desc *segment)
{
    /* The kernel's result is an int in the low half of RAX. */
    int result = (int)syscall(SYS_modify_ldt, 0x11, segment, sizeof *segment);
    return result < 0 && result != -1 ? result : result < 0 ? -errno : 0;
}

int ldt_clear(unsigned entry)
{
    struct user_desc empty = {.entry_number = entry, .read_exec_only = 1, .seg_not_present = 1};
    return ldt_write(&empty);
}

long ldt_read(void *bytes, unsigned long size_bytes)
{
    return (int)syscall(SYS_modify_ldt, 0, bytes, size_bytes);
}
