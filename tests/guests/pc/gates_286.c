/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Gates of the 286 in a 32-bit kernel: interrupt, trap and call gates whose frames have words of 16 bits, and the far RET
 * and IRET that take them. Code that such a frame leads back to lies in a segment of its own.
 */
#include "user.h"

enum { OLD_CODE = 0x160, OLD_STACK = 0x168, OLD_USER_CODE = 0x173, OLD_USER_STACK = 0x17b, CALL_GATE = 0x180 };

static uint8_t old_stack[512] __attribute__((aligned(16))), old_user_stack[512] __attribute__((aligned(16)));
volatile uint16_t frame[8];
volatile word n_taken, inside_flags, inside_sp, inside_cs, inside_ss, saved_sp, good_sp0;
extern const uint8_t old_base[], old_int[], old_int_end[], old_bad[], old_call[], old_call_end[], old_handler[], old_error[],
    old_callee[], old_small[];

__asm__(".text\n"
        ".macro look big=1\n"
        "pushf; popl inside_flags; mov %esp, inside_sp; pushal\n"
        ".if \\big == 0; andl $0xffff, inside_sp; .endif\n"
        "mov %cs, %eax; mov %eax, inside_cs; mov %ss, %eax; mov %eax, inside_ss\n"
        "mov $frame, %edi; mov inside_sp, %esi; mov $8, %ecx\n"
        "1: mov %ss:(%esi), %ax; mov %ax, (%edi); add $2, %esi; add $2, %edi; loop 1b\n"
        "incl n_taken; popal\n"
        ".endm\n"
        "old_base: nop\n"
        "old_int: int $0x32; old_int_end: lret\n"
        "old_bad: mov %ax, %es; lret\n"
        "old_call: pushw $0x1111; pushw $0x2222; lcall $0x180, $0x12345678; old_call_end: lret\n"
        "old_handler: look; .byte 0x66; iret\n"
        "old_error: look; add $3, %sp; dec %sp; addw $2, %ss:(%esp); .byte 0x66; iret\n"
        "old_small: look 0; mov good_sp0, %eax; mov %eax, task_state + 4; movl $0x10, task_state + 8; .byte 0x66; iret\n"
        "old_callee: look; .byte 0x66; lret $4\n"
        ".previous\n");

#define AT(label) ((word)label - (word)old_base)

static void set_old_gate(uint16_t selector, word target, uint8_t type, uint8_t n)
{
    gdt[selector >> 3] = (target & 0xffff) | (uint64_t)OLD_CODE << 16 | (uint64_t)n << 32 | (uint64_t)type << 40;
}

static void tell(const char *name)
{
    report(name);
    show("  taken", n_taken);
    show("  CS inside", inside_cs);
    n_taken = 0;
}

static void words(const char *name, word ip, unsigned n)
{
    print(name);
    print(":");
    for (unsigned i = 0; i < n; i++) {
        print(" ");
        print_hex((uint16_t)(frame[i] - (i ? 0 : ip)));
    }
    print("\n");
}

#define OLD(label) "lcall $0x160, $(" label " - old_base); "
/* In ring 3, on a stack of its own: IRET and RET give back a 16-bit SP. */
#define OLD_USER(label) "mov %%esp, saved_sp; mov $0x17b, %%eax; mov %%eax, %%ss; mov $0x200, %%esp; lcall $0x173, $("    \
                        label " - old_base); mov %%esp, result; mov $0x9b, %%eax; mov %%eax, %%ss; mov saved_sp, %%esp; "

static void gates(void)
{
    set_gate(0x32, AT(old_handler), OLD_CODE, 0xe6, 0);
    TRY_ALL("INT by an interrupt gate", "sti; " OLD("old_int") "pushf; popl result; cli");
    tell("  it");
    words("  IP CS FLAGS", AT(old_int_end), 3);
    show("  IF inside", inside_flags & 0x200);
    show("  IF behind it", result & 0x200);
    set_gate(0x32, AT(old_handler), OLD_CODE, 0xe7, 0);
    TRY_ALL("INT by a trap gate", "sti; " OLD("old_int") "cli");
    show("  IF inside", inside_flags & 0x200);
    tell("  it");
    USER("from ring 3", OLD_USER("old_int"));
    tell("  it");
    words("  IP CS FLAGS SP SS", AT(old_int_end), 5);
    show("  SP from the TSS's", task_state.sp0 - inside_sp);
    show("  SS inside", inside_ss);
    show("  SP behind it", result);
    set_gate(0x32, AT(old_handler), OLD_CODE, 0x87, 0);
    USER("from ring 3 by a gate for ring 0", OLD_USER("old_int"));
    set_gate(0x32, AT(old_handler), OLD_CODE, 0x67, 0);
    TRY_ALL("not present", "int $0x32");
    set_gate(13, AT(old_error), OLD_CODE, 0x87, 0);
    TRY_ALL("#GP with an error code", "push %%es; mov $0x1234, %%eax; " OLD("old_bad") "pop %%es");
    tell("  it");
    words("  error IP CS FLAGS", 0, 1);
    show("  IP", frame[1] - AT(old_bad));
    show("  CS", frame[2]);
    set_gate(13, ENTRY(13), CODE, 0x8e, 0);
}

static void call_gates(void)
{
    set_old_gate(CALL_GATE, AT(old_callee), 0xe4, 2);
    TRY_ALL("CALL by a gate", OLD("old_call"));
    tell("  it");
    words("  IP CS and what is on the stack", AT(old_call_end), 4);
    USER("from ring 3", OLD_USER("old_call"));
    tell("  it");
    words("  IP CS, parameters, SP SS", AT(old_call_end), 6);
    show("  SP from the TSS's", task_state.sp0 - inside_sp);
    show("  SP behind it", result);
    set_old_gate(CALL_GATE, AT(old_callee), 0x84, 2);
    USER("from ring 3 by a gate for ring 0", OLD_USER("old_call"));
    set_old_gate(CALL_GATE, AT(old_callee), 0x64, 2);
    TRY_ALL("not present", "lcall $0x180, $0");
}

static void small_stack(void)
{
    good_sp0 = task_state.sp0; /* the handler sets it again */
    set_gate(0x32, AT(old_small), OLD_CODE, 0xe7, 0);
    task_state.ss0 = OLD_STACK;
    task_state.sp0 = 0x77770000 | sizeof old_stack;
    USER("ring 0 with a 16-bit stack", OLD_USER("old_int"));
    tell("  it");
    show("  SP inside", inside_sp & 0xffff);
    show("  SS inside", inside_ss);
    words("  IP CS FLAGS SP SS", AT(old_int_end), 5);
}

int main(void)
{
    user_set_up();
    set_segment(OLD_CODE, (word)old_base, 0xfff, 0x9a, 0x4);
    set_segment(OLD_USER_CODE, (word)old_base, 0xfff, 0xfa, 0x4);
    set_segment(OLD_STACK, (word)old_stack, 0xffff, 0x92, 0);
    set_segment(OLD_USER_STACK, (word)old_user_stack, 0xffff, 0xf2, 0);
    gates();
    call_gates();
    small_stack();
    return 0;
}
