/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes the steps that the host has put into `records`, one after the other, and writes down their results.
 *
 * A record is 12 words: what to do; a call's number, or a size in bytes; five arguments; and for each of these
 * 0, or 1 + the index of the record whose result is to be added to it. After the last record the guest asks for
 * its end; a host that has put more there may let it go on.
 */
#include <pv/abi.h>

#define RECORD_BYTES 96

        .section .note.pvisor, "a", @note
        .balign 4
        .long   7, 16, PV_ELF_NOTE_TYPE
        .asciz  PV_ELF_NOTE_NAME
        .balign 4
        .long   PV_ABI_VERSION, 0
        .quad   0

        .text
        .globl  _start
_start: mov     PV_START_INFO_HYPERCALL_PAGE(%rdi), %rbp

turn:   lea     records(%rip), %rbx
        lea     results(%rip), %r12
        movq    $0, n_done(%rip)
next:   lea     argument(%rip), %r13
        xor     %ecx, %ecx
value:  mov     16(%rbx,%rcx,8), %rax           /* argument = its word + the result that it names */
        mov     56(%rbx,%rcx,8), %rdx
        test    %rdx, %rdx
        jz      put
        add     -8(%r12,%rdx,8), %rax
put:    mov     %rax, (%r13,%rcx,8)
        inc     %ecx
        cmp     $5, %ecx
        jb      value

        mov     (%rbx), %eax
        cmp     $1, %eax
        je      hypercall
        cmp     $2, %eax
        je      poke
        cmp     $3, %eax
        je      peek
        xor     %edi, %edi                      /* PV_SHUTDOWN_POWEROFF */
        mov     $42, %esi
        lea     PV_HC_SHUTDOWN * PV_STUB_BYTES(%rbp), %rax
        call    *%rax
        jmp     turn

hypercall:
        mov     8(%rbx), %rax
        shl     $5, %rax                        /* PV_STUB_BYTES */
        add     %rbp, %rax
        mov     (%r13), %rdi
        mov     8(%r13), %rsi
        mov     16(%r13), %rdx
        mov     24(%r13), %r10
        mov     32(%r13), %r8
        call    *%rax
        jmp     done

poke:   mov     (%r13), %rdi
        mov     8(%r13), %rax
        mov     8(%rbx), %ecx
        cmp     $8, %ecx
        je      poke8
        cmp     $4, %ecx
        je      poke4
        cmp     $2, %ecx
        je      poke2
        mov     %al, (%rdi)
        jmp     done
poke2:  mov     %ax, (%rdi)
        jmp     done
poke4:  mov     %eax, (%rdi)
        jmp     done
poke8:  mov     %rax, (%rdi)
        jmp     done

peek:   mov     (%r13), %rsi
        mov     8(%rbx), %ecx
        cmp     $8, %ecx
        je      peek8
        cmp     $4, %ecx
        je      peek4
        cmp     $2, %ecx
        je      peek2
        movzbl  (%rsi), %eax
        jmp     done
peek2:  movzwl  (%rsi), %eax
        jmp     done
peek4:  mov     (%rsi), %eax
        jmp     done
peek8:  mov     (%rsi), %rax

done:   mov     n_done(%rip), %rdx
        mov     %rax, (%r12,%rdx,8)
        inc     %rdx
        mov     %rdx, n_done(%rip)
        add     $RECORD_BYTES, %rbx
        jmp     next

        .globl  asleep
asleep: mov     %rdi, %rbp                      /* another virtual CPU */
again:  lea     PV_HC_BLOCK * PV_STUB_BYTES(%rbp), %rax
        call    *%rax
        jmp     again

        .data
        .balign 64
        .globl  records, results, n_done, data
records: .skip  RECORD_BYTES * 96
results: .skip  8 * 96
argument: .skip 40
n_done: .quad   0
        .balign 4096
data:   .skip   32768

        .section .pages, "aw"
        .skip   8192
        .section .const_page, "a"
        .fill   4096, 1, 'c'
        .section .note.GNU-stack, "", @progbits
