/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes the one hypercall that the host has put into `row`, and writes down everything that came of it. */
#include <pv/abi.h>

        .section .note.pvisor, "a", @note
        .balign 4
        .long   7, 16, PV_ELF_NOTE_TYPE
        .asciz  PV_ELF_NOTE_NAME
        .balign 4
        .long   PV_ABI_VERSION, 0
        .quad   0

        .text
        .globl  _start, raw
_start: mov     %rsp, row + 240
        movdqa  pattern, %xmm7
        push    $0x0cd7                 /* CF PF AF ZF SF DF OF */
        popfq
        mov     row + 8, %rdi
        mov     row + 16, %rsi
        mov     row + 24, %rdx
        mov     row + 32, %r10
        mov     row + 40, %r8
        mov     pattern, %rax
        mov     %rax, %rbx
        mov     %rax, %rcx
        mov     %rax, %rbp
        mov     %rax, %r9
        mov     %rax, %r11
        mov     %rax, %r12
        mov     %rax, %r13
        mov     %rax, %r14
        mov     %rax, %r15
        mov     %rsp, row + 232
        call    *row
        mov     %rax, row + 64          /* general registers by number, then RFLAGS */
        mov     %rcx, row + 72
        mov     %rdx, row + 80
        mov     %rbx, row + 88
        mov     %rsp, row + 96
        mov     %rbp, row + 104
        mov     %rsi, row + 112
        mov     %rdi, row + 120
        mov     %r8, row + 128
        mov     %r9, row + 136
        mov     %r10, row + 144
        mov     %r11, row + 152
        mov     %r12, row + 160
        mov     %r13, row + 168
        mov     %r14, row + 176
        mov     %r15, row + 184
        pushfq
        pop     %rax
        mov     %rax, row + 192
        pcmpeqb pattern, %xmm7
        pmovmskb %xmm7, %eax
        mov     %rax, row + 200
        stmxcsr row + 208
        cld
        mov     $PV_SHUTDOWN_POWEROFF, %edi
        mov     $42, %esi
        call    *row + 56
        ud2

raw:    mov     row + 48, %eax
        vmcall
        ret

        .section .rodata
        .balign 16
pattern: .quad  0x5a5a5a5aa5a5a5a5, 0x1122334455667788

        .data
        .balign 256
        .globl  row
row:    .skip   256                     /* target, 5 arguments, number for `raw`, SHUTDOWN's stub; then answers */

        .section .pages, "aw"
        .globl  pages
pages:  .skip   8192
        .section .const_page, "a"
        .fill   4096, 1, 'c'
        .section .note.GNU-stack, "", @progbits
