/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From 32-bit protected mode, as PVH or Multiboot hand over, to C at -2 GiB. */
	.section .multiboot, "a"
#ifdef MULTIBOOT
	.align 4
	.long 0x1BADB002, 3, -(0x1BADB002 + 3)
#endif
	.section .note.pvh, "a", @note
	.long 4, 4, 18
	.asciz "Xen"
	.long entry

	.section .boot, "awx"
	.code32
	.global entry
entry:
	cld
	mov $boot_stack_low, %esp
	mov %eax, %ebp			/* Multiboot's magic, if it is that */
	mov $0x80000001, %eax
	push %ebx
	cpuid
	pop %ebx
	test $(1 << 29), %edx		/* long mode */
	jz stop
	mov %cr4, %eax
	or $0x20, %eax			/* PAE */
	mov %eax, %cr4
	mov $boot_pml4, %eax
	mov %eax, %cr3
	mov $0xC0000080, %ecx
	rdmsr
	or $0x901, %eax			/* EFER: SCE, LME, NXE */
	wrmsr
	mov %cr0, %eax
	or $0x80010000, %eax
	mov %eax, %cr0
	lgdt boot_gdt_pointer
	ljmp $8, $long_mode
stop:	hlt
	jmp stop

	.code64
long_mode:
	mov %ebp, %edi
	mov %ebx, %esi
	xor %eax, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov %eax, %fs
	mov %eax, %gs
	mov $boot_stack, %rsp
	xor %ebp, %ebp
	movabs $kernel_main, %rax
	call *%rax

	.align 8
boot_gdt:
	.quad 0, 0x00209A0000000000
boot_gdt_pointer:
	.word 15
	.long boot_gdt

	.align 4096
boot_pml4:
	.quad boot_pdpt_low + 3
	.fill 255, 8, 0
	.quad boot_pdpt_low + 3		/* 0xFFFF800000000000 */
	.fill 254, 8, 0
	.quad boot_pdpt_high + 3
boot_pdpt_low:
	.quad boot_pd + 3
	.fill 511, 8, 0
boot_pdpt_high:
	.fill 510, 8, 0
	.quad boot_pd + 3		/* 0xFFFFFFFF80000000 */
	.quad 0
boot_pd:				/* the first GiB by 2 MiB */
	.set at, 0
	.rept 512
	.quad at + 0x83
	.set at, at + 0x200000
	.endr
	.fill 64, 8, 0
boot_stack_low:

	.bss
	.align 16
	.skip 16384
	.global boot_stack
boot_stack:
	.section .note.GNU-stack, "", @progbits
