/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The entry of the 32-bit companion, and the return from its signal handlers. */
    .text
    .globl _start, signal_return, sysinfo_call
_start:
    xor %ebp, %ebp
    mov %esp, %eax
    and $-16, %esp
    sub $12, %esp
    push %eax
    call begin
    ud2

/* What a handler's RET leads to: rt_sigreturn. */
signal_return:
    mov $173, %eax
    int $0x80
    ud2

/* long sysinfo_call(void (*entry)(void), long number, long a, long b): by the kernel's own entry in the vDSO. */
sysinfo_call:
    push %ebx
    push %esi
    mov 12(%esp), %esi
    mov 16(%esp), %eax
    mov 20(%esp), %ebx
    mov 24(%esp), %ecx
    xor %edx, %edx
    call *%esi
    pop %esi
    pop %ebx
    ret

    .section .note.GNU-stack, "", @progbits
