/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The part of user.h that is no macro. */
#include "user.h"

volatile struct task_state task_state;
uint8_t user_stack[8192] __attribute__((aligned(16))), ring0_stack[8192] __attribute__((aligned(16)));
volatile word user_sp, user_ss, user_cs, user_ds, user_flags, result, result2;

void user_set_up(void)
{
    word state = (word)&task_state;
    set_segment(SYSTEM_CODE, 0, 0xfffff, 0x9a, sizeof(word) == 8 ? 0xa : 0xc);
    set_segment(SYSTEM_DATA, 0, 0xfffff, 0x92, 0xc);
    set_segment(USER_CODE32, 0, 0xfffff, 0xfa, 0xc);
    set_segment(USER_DATA, 0, 0xfffff, 0xf2, 0xc);
    set_segment(USER_CODE64, 0, 0xfffff, 0xfa, 0xa);
    set_segment(USER_DATA64, 0, 0xfffff, 0xf2, 0xc);
    /* No I/O bitmap: it would begin beyond the limit. */
    task_state.io_map_at = (uint16_t)((word)task_state.io_map - state);
    set_segment(TSS, (uint32_t)state, task_state.io_map_at - 1u, 0x89, 0);
    task_state.sp0 = (word)ring0_stack + sizeof ring0_stack;
#ifdef __x86_64__
    extern uint64_t table4[512], table3[512], table2[512];
    gdt[TSS / 8 + 1] = state >> 32;
    table4[0] |= 4;
    table3[0] |= 4;
    for (unsigned i = 0; i < 32; i++)
        table2[i] |= 4;
    write_cr3(read_cr3());
#else
    task_state.ss0 = DATA;
#endif
    __asm__ volatile("ltr %w0; lldt %w1" : : "r"(TSS), "r"(0));
    use_all_gates();
    set_gate(LEAVE, ENTRY(LEAVE), CODE, 0xee, 0);
    user_sp = (word)user_stack + sizeof user_stack;
    user_ss = user_ds = USER_DATA;
    user_cs = USER_CODE;
    user_flags = 2;
}

void set_local(uint64_t *table, uint16_t selector, uint32_t base, uint32_t limit, uint8_t access, uint8_t flags)
{
    uint64_t kept = gdt[FREE / 8];
    set_segment(FREE, base, limit, access, flags);
    table[selector >> 3] = gdt[FREE / 8];
    gdt[FREE / 8] = kept;
}

void use_local(const uint64_t *table, uint32_t size)
{
    set_segment(TABLE, (uint32_t)(word)table, size - 1, 0x82, 0);
    if (sizeof(word) == 8)
        gdt[TABLE / 8 + 1] = 0;
    __asm__ volatile("lldt %w0" : : "r"(TABLE));
}
