/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The doors: traps, SYSCALL; and the switch between kernel stacks. */
	.text
	.macro save
	push %rax
	push %rcx
	push %rdx
	push %rbx
	push %rbp
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	.endm
	.macro restore
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rbp
	pop %rbx
	pop %rdx
	pop %rcx
	pop %rax
	.endm

all_traps:
	save
	testb $3, 144(%rsp)	/* CS */
	jz 1f
	swapgs
1:	cld
	mov %rsp, %rdi
	call trap
	.global trap_return
trap_return:
	testb $3, 144(%rsp)
	jz 1f
	swapgs
1:	restore
	add $16, %rsp
	iretq

	.set n, 0
	.align 16
	.global vectors
vectors:
	.rept 256
	.align 16
	.if !(n == 8 || (n >= 10 && n <= 14) || n == 17)
	push $0
	.endif
	push $n
	jmp all_traps
	.set n, n + 1
	.endr

	.global syscall_entry
syscall_entry:
	swapgs
	mov %rsp, %gs:8
	mov %gs:16, %rsp
	push $0x1B
	push %gs:8
	push %r11
	push $0x23
	push %rcx
	push $0
	push $0x100
	save
	mov %rsp, %rdi
	call system_call
	test %eax, %eax		/* may RCX and R11 be lost? */
	jz trap_return
	restore
	mov 16(%rsp), %rcx
	mov 32(%rsp), %r11
	mov 40(%rsp), %rsp
	swapgs
	sysretq

	.global stack_switch	/* stack_switch(u64 *old, u64 new) */
stack_switch:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, (%rdi)
	mov %rsi, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	.global attempt, attempt_failed	/* u64 attempt(void (*what)(u64), u64 argument): 0, or what it raised */
attempt:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	sub $8, %rsp
	mov %rsp, attempt_stack(%rip)
	mov %rdi, %rax
	mov %rsi, %rdi
	call *%rax
	xor %eax, %eax
attempt_failed:
	movq $0, attempt_stack(%rip)
	add $8, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret
	.section .note.GNU-stack, "", @progbits
