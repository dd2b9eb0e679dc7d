/* SPDX-License-Identifier: MIT */
/*
 * The way of a PC kernel from 32-bit protected mode without paging, as PVH starts it, to 64-bit C. Every MOV to a
 * control register, WRMSR and LGDT here is privileged: a hypervisor that virtualizes fully has to trap and emulate
 * each. The para wing's crt.S shows what is left when the hypervisor starts a guest in 64-bit mode.
 *
 * The first page tables map the lowest 4 GiB one to one, all of it writable and executable. They last until start.c
 * has looked at the memory map and made better ones.
 */
#define CR0_PROTECTED   0x00000001 /* PE */
#define CR0_FPU         0x00000032 /* MP, ET, NE: a floating-point unit that reports errors by exception */
#define CR0_WP          0x00010000 /* read-only holds for the kernel too */
#define CR0_PG          0x80000000
#define CR4_PAE         0x020
#define CR4_SSE         0x600      /* OSFXSR, OSXMMEXCPT */
#define MSR_EFER        0xc0000080
#define EFER_LME        0x100
#define EFER_NXE        0x800

#define PAGE_BYTES      4096
#define LARGE_BYTES     0x200000
#define P_W             0x003      /* present, writable */
#define P_W_LARGE       0x083

#define CODE64          0x08
#define DATA            0x10

    .section .text.start, "ax", @progbits
    .code32
    .globl _start
    .type _start, @function
_start:
    cld
    movl %ebx, %esi             /* hvm_start_info: kept for pv_start */

    movl $first_directories, %edi
    movl $P_W_LARGE, %eax
1:  movl %eax, (%edi)           /* the upper half of each entry is 0 already */
    addl $8, %edi
    addl $LARGE_BYTES, %eax
    jnc 1b                      /* 4 GiB are reached when the address wraps round */

    movl $(CR4_PAE | CR4_SSE), %eax
    movl %eax, %cr4
    movl $first_pml4, %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    rdmsr
    orl $(EFER_LME | EFER_NXE), %eax
    wrmsr
    lgdt gdt_pointer
    movl $(CR0_PG | CR0_WP | CR0_FPU | CR0_PROTECTED), %eax
    movl %eax, %cr0
    ljmp $CODE64, $start64
    .size _start, . - _start

    .code64
    .type start64, @function
start64:
    movl $DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    fninit
    ldmxcsr pv_first_mxcsr(%rip)
    leaq __stack_top(%rip), %rsp
    xorl %ebp, %ebp             /* the outermost frame: a backtrace ends here */
    movl %esi, %edi
    call pv_start               /* does not return */
    ud2
    .size start64, . - start64

    .section .rodata
    .balign 8
gdt:
    .quad 0
    .quad 0x00af9b000000ffff    /* CODE64: 64-bit code, DPL 0, already marked as accessed */
    .quad 0x00cf93000000ffff    /* DATA: writable data, DPL 0, already marked as accessed */
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long gdt

    .data
    .balign PAGE_BYTES
first_pml4:
    .quad first_pdpt + P_W
    .fill 511, 8, 0
first_pdpt:
    .quad first_directories + 0 * PAGE_BYTES + P_W
    .quad first_directories + 1 * PAGE_BYTES + P_W
    .quad first_directories + 2 * PAGE_BYTES + P_W
    .quad first_directories + 3 * PAGE_BYTES + P_W
    .fill 508, 8, 0

    .bss
    .balign PAGE_BYTES
first_directories:
    .skip 4 * PAGE_BYTES

    .section .note.GNU-stack, "", @progbits
