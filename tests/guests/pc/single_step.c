/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Single steps by TF in both rings, and INT1: where each comes, and what DR6 says. */
#include "steps.h"

static void stepping(void)
{
    RUN(SET_TF "nop; nop; " CLEAR_TF "nop; nop");
    show("DR6.BS", dr6 & (BS | 15));
    show("TF in the frame", step_flags & TF);
    show("TF in the handler", step_flags_inside & TF);
    show("CS in the frame", step_cs);
    tell("NOPs");
    RUN_USER(SET_TF "nop; nop; " CLEAR_TF "nop; nop");
    show("DR6.BS", dr6 & (BS | 15));
    show("CS in the frame", step_cs);
    tell("  in ring 3");
    BOTH("a branch taken, one not", SET_TF "xor %%eax, %%eax; jz 1f; nop; 1: jnz 1b; " CLEAR_TF "nop");
    BOTH("REP STOSB of 3", "mov $result, %%edi; mov $3, %%ecx; " SET_TF "rep stosb; " CLEAR_TF "nop");
    BOTH("REP STOSB of none", "mov $result, %%edi; xor %%ecx, %%ecx; " SET_TF "rep stosb; " CLEAR_TF "nop");
    BOTH("a load and a store", SET_TF "mov watched, %%eax; mov %%eax, result; " CLEAR_TF "nop");
    BOTH("CALL and RET", "jmp 2f; 1: ret; 2: " SET_TF "call 1b; nop; " CLEAR_TF "nop");
    RUN("mov %%ss, %%eax; " SET_TF "mov %%eax, %%ss; nop; nop; " CLEAR_TF);
    tell("MOV SS: none behind it");
    RUN(SET_TF "cli; pushf; popf; " CLEAR_TF);
    tell("CLI, PUSHF, POPF");
    RUN(SET_TF "mov %%cr0, %%" AX "; mov %%" AX ", %%cr0; " CLEAR_TF);
    tell("MOV CR0");
    user_flags = 2 | TF;
    RUN_USER("nop; nop; " CLEAR_TF "nop");
    tell("TF by IRET to ring 3");
    user_flags = 2;
    n_other = 0;
    RUN("pushf; orl $0x100, (%%" SP "); popf; int $0x30; nop; " CLEAR_TF "nop");
    show("INT n: its handler runs", n_other);
    tell("INT n: not inside, not right behind");
    RUN_USER("pushf; orl $0x100, (%%" SP "); popf; int $0x30; nop; " CLEAR_TF "nop");
    tell("  in ring 3");
}

int main(void)
{
    steps_set_up();
    stepping();
    set_gate(1, ENTRY(1), CODE, 0x8e, 0);
    TRY("INT1", ".byte 0xf1");
    USER("INT1 in ring 3", ".byte 0xf1");
    TRY("INT 1", ".byte 0xcd, 1");
    USER("INT 1 in ring 3", ".byte 0xcd, 1");
    return 0;
}
