/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Multiboot header, the way to the higher half, trap entries and the context switch. */
#define KERNEL_BASE 0xC0000000
#define SEG_KDATA 0x10
#define SEG_CPU 0x30

	.section .multiboot, "a"
	.align 4
	.long 0x1BADB002, 3, -(0x1BADB002 + 3)

	.text
	.global entry
entry:				/* unpaged, linked high: addresses by hand until the jump */
	cmp $0x2BADB002, %eax
	jne 2f
	mov %cr4, %ecx
	or $0x10, %ecx		/* PSE */
	mov %ecx, %cr4
	mov $(boot_directory - KERNEL_BASE), %ecx
	mov %ecx, %cr3
	mov %cr0, %ecx
	or $0x80010000, %ecx	/* PG, WP */
	mov %ecx, %cr0
	mov $1f, %ecx
	jmp *%ecx
1:	mov $boot_stack_top, %esp
	xor %ebp, %ebp
	push %ebp		/* a frame chain that ends */
	push %ebx
	call kmain
2:	cli
	hlt
	jmp 2b

	.global context_switch	/* context_switch(struct context **old, struct context *new) */
context_switch:
	mov 4(%esp), %eax
	mov 8(%esp), %edx
	push %ebp
	push %ebx
	push %esi
	push %edi
	mov %esp, (%eax)
	mov %edx, %esp
	pop %edi
	pop %esi
	pop %ebx
	pop %ebp
	ret

	.global probe_write, probe_write_at, probe_write_failed
probe_write:			/* int probe_write(volatile int *address): 0, or 1 if it faults */
	mov 4(%esp), %edx
probe_write_at:
	mov %edx, (%edx)
	xor %eax, %eax
	ret
probe_write_failed:
	mov $1, %eax
	ret

all_traps:
	push %ds
	push %es
	push %fs
	push %gs
	pushal
	mov $SEG_KDATA, %ax
	mov %ax, %ds
	mov %ax, %es
	mov $SEG_CPU, %ax
	mov %ax, %gs
	cld
	push %esp
	call trap
	add $4, %esp
	.global trap_return
trap_return:
	popal
	pop %gs
	pop %fs
	pop %es
	pop %ds
	add $8, %esp
	iret

	.macro entry_of n
	.align 16
	.if !(\n == 8 || (\n >= 10 && \n <= 14) || \n == 17)
	push $0
	.endif
	push $\n
	jmp all_traps
	.endm

	.align 16
	.global vectors
vectors:
	.set n, 0
	.rept 256
	entry_of n
	.set n, n + 1
	.endr

	.data
	.align 4096
boot_directory:			/* 16 MiB, at 0 and at KERNEL_BASE */
	.long 0x83, 0x400083, 0x800083, 0xC00083
	.fill 764, 4, 0
	.long 0x83, 0x400083, 0x800083, 0xC00083
	.fill 252, 4, 0

	.bss
	.align 4096
	.skip 8192
boot_stack_top:
	.section .note.GNU-stack, "", @progbits
