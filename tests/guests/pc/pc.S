/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Entry by PVH, 32-bit and unpaged; for a 64-bit kernel the way into long mode; the entries of the IDT. */
        .section .note.pvh, "a", @note
        .balign 4
        .long   4, 4, 18                    /* XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz  "Xen"
        .long   start

#ifdef MULTIBOOT                            /* a Multiboot header with these flags */
        .section .text.header, "ax", @progbits
        .balign 4
header: .long   0x1badb002, MULTIBOOT, -(0x1badb002 + MULTIBOOT)
        .long   header, 0x100000, data_end, image_end, start /* the address fields, used if flag 16 is set */
#endif

        .section .note.GNU-stack, "", @progbits

        .text
        .code32
        .globl  start
start:  mov     %eax, boot_eax
        mov     %ebx, boot_ebx
        cli
        cld
        lgdt    gdt_register
        ljmp    $0x08, $1f
1:      mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        xor     %eax, %eax
        mov     %eax, %fs
        mov     %eax, %gs
        mov     $stack_top, %esp
        mov     $table4 + 3, %eax           /* a first page table for 64-bit kernels: 64 MiB, one to one */
#ifdef __x86_64__
        movl    $table3 + 3, table4
        movl    $table2 + 3, table3
        mov     $table2, %edi
        mov     $0x83, %eax
2:      mov     %eax, (%edi)
        add     $8, %edi
        add     $0x200000, %eax
        cmp     $0x4000083, %eax
        jne     2b
        mov     %cr4, %eax
        or      $0x20, %eax
        mov     %eax, %cr4
        mov     $table4, %eax
        mov     %eax, %cr3
        mov     $0xc0000080, %ecx
        rdmsr
        or      $0x900, %eax                /* LME, NXE */
        wrmsr
        mov     %cr0, %eax
        or      $0x80010000, %eax           /* PG, WP */
        mov     %eax, %cr0
        movl    $0x00af9a00, gdt + 0x08 + 4 /* the code segments become 64-bit ones */
        movl    $0x00af9a00, gdt + 0x18 + 4
        ljmp    $0x08, $3f
        .code64
3:      mov     $0x10, %eax
        mov     %eax, %ss
#endif
        call    set_up
        call    main
#ifdef __x86_64__
        mov     %eax, %edi
#else
        push    %eax
#endif
        call    quit

        .balign 16
        .globl  entries
entries:                                    /* of all vectors, 16 bytes each */
        .set    vector, 0
        .rept   256
        .balign 16
        .if     vector != 8 && (vector < 10 || vector > 14) && vector != 17
        push    $0                          /* no error code */
        .endif
        push    $vector
        jmp     common
        .set    vector, vector + 1
        .endr

common:
#ifdef __x86_64__
        push    %r15
        push    %r14
        push    %r13
        push    %r12
        push    %r11
        push    %r10
        push    %r9
        push    %r8
        push    %rdi
        push    %rsi
        push    %rbp
        push    %rbx
        push    %rdx
        push    %rcx
        push    %rax
        mov     %rsp, %rdi
        mov     %rsp, %rbx
        sub     $1024, %rsp
        and     $-16, %rsp
        call    on_exception
        mov     %rbx, %rsp
        pop     %rax
        pop     %rcx
        pop     %rdx
        pop     %rbx
        pop     %rbp
        pop     %rsi
        pop     %rdi
        pop     %r8
        pop     %r9
        pop     %r10
        pop     %r11
        pop     %r12
        pop     %r13
        pop     %r14
        pop     %r15
        add     $16, %rsp
        iretq
#else
        push    %ds
        push    %es
        push    %edi
        push    %esi
        push    %ebp
        push    %ebx
        push    %edx
        push    %ecx
        push    %eax
        testb   $3, 48(%esp)                /* from ring 3: its data segments may be anything */
        jz      1f
        mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
1:      mov     %esp, %eax
        push    %eax
        call    on_exception
        pop     %eax
        testb   $3, 48(%esp)                /* and back to it */
        jz      1f
        mov     28(%esp), %es
        mov     32(%esp), %ds
1:      pop     %eax
        pop     %ecx
        pop     %edx
        pop     %ebx
        pop     %ebp
        pop     %esi
        pop     %edi
        add     $16, %esp
        iret
#endif

        .data
        .balign 16
        .globl  gdt, gdt_register, boot_eax, boot_ebx
boot_eax:                                   /* as the kernel was entered */
        .long   0
boot_ebx:
        .long   0
gdt:    .quad   0
        .quad   0x00cf9a000000ffff          /* 0x08 code */
        .quad   0x00cf92000000ffff          /* 0x10 data */
        .quad   0x00cf9a000000ffff          /* 0x18 code again */
        .fill   60, 8, 0
gdt_register:
        .word   64 * 8 - 1
        .long   gdt, 0

        .bss
        .balign 4096
        .globl  table4, table3, table2, stack_top
table4: .skip   4096
table3: .skip   4096
table2: .skip   4096
        .skip   16384
stack_top:
