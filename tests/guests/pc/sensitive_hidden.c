/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sensitive instructions where a decoder may miss them: behind LOCK, which makes them #UD (SDM 2A, LOCK), and
 * behind instructions that few decoders know. With NO_LOCK only the latter: an emulator may run the former.
 */
#include "user.h"

#define LOCK ".byte 0xf0; "
#define STORE "mov %%" AX ", result; "
#define BOTH(name, insns)                                                                             \
    do {                                                                                              \
        TRY(name, insns);                                                                             \
        USER("  ring 3", insns);                                                                      \
    } while (0)
#define BEHIND(name, insns)                                                                           \
    do {                                                                                              \
        result = 0;                                                                                   \
        TRY(name, insns "smsw %%ax; and $0x3f, %%eax; " STORE);                                       \
        show("  SMSW behind it", result);                                                             \
        result = 0;                                                                                   \
        USER("  ring 3", insns "in $0x21, %%al; movzbl %%al, %%eax; " STORE);                         \
        show("  what IN behind it gave", result);                                                     \
    } while (0)

void locked(void);
void locked(void)
{
    BOTH("LOCK PUSHF", LOCK "pushf; pop %%" AX);
    BOTH("LOCK and an operand-size prefix, PUSHF", ".byte 0x66; " LOCK "pushf; pop %%" AX);
    BOTH("LOCK POPF", "push $2; " LOCK "popf");
    BOTH("LOCK SGDT", "sub $16, %%" SP "; " LOCK "sgdt (%%" SP ")");
    BOTH("LOCK SMSW", LOCK "smsw %%eax");
    BOTH("LOCK SLDT", LOCK "sldt %%eax");
    BOTH("LOCK LAR", LOCK "lar %%eax, %%eax");
    BOTH("LOCK VERR", LOCK "verr %%ax");
    BOTH("LOCK CLI", LOCK "cli");
    BOTH("LOCK HLT", LOCK "hlt");
    BOTH("LOCK MOV from CR2", LOCK "mov %%cr2, %%" AX);
    BOTH("LOCK LGDT", LOCK "lgdt gdt_register");
    USER("LOCK IN in ring 3", LOCK "in $0x21, %%al");
    USER("LOCK OUT in ring 3", LOCK "out %%al, $0x80");
}

static void odd_neighbours(void)
{
    BEHIND("a reserved NOP", ".byte 0x0f, 0x1c, 0xc1; ");
    BEHIND("another, with a displacement", ".byte 0x0f, 0x1d, 0x80, 0, 0, 0, 0; ");
    BEHIND("one with an operand-size prefix", ".byte 0x66, 0x0f, 0x1b, 0xe1; ");
    BEHIND("a reserved PREFETCH", "mov %%" SP ", %%" AX "; .byte 0x0f, 0x0d, 0x20; ");
    BEHIND("and one by base and index", "mov %%" SP ", %%" AX "; xor %%edx, %%edx; .byte 0x0f, 0x0d, 0x24, 0x10; ");
}

int main(void)
{
    user_set_up();
    task_state.io_map_at = sizeof task_state; /* no I/O port is allowed in ring 3 */
#ifndef NO_LOCK
    locked();
#endif
    odd_neighbours();
    return 0;
}
