/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Faults that the program itself handles: a way out of the instruction, and a note of what it was. */
#include "user.h"

enum { DEBUG = 1 };

volatile u64 n_faults, last_vector, last_error, last_address, n_steps;
static u64 way_out[3]; /* RIP, RSP, RBP */

__attribute__((used)) static void handle(u64 vector, u64 error, u64 address, struct frame *frame)
{
	if (vector == DEBUG) {
		n_steps++;
	} else {
		n_faults++;
		last_vector = vector;
		last_error = error;
		last_address = address;
		frame->rip = way_out[0];
		frame->rsp = way_out[1];
		frame->rbp = way_out[2];
	}
	call(SYS_FAULT_RETURN, (u64)frame, 0, 0);
}

void catch_faults(bool on) { call(SYS_ON_FAULT, on ? (u64)handle : 0, 0, 0); }

/* True if it raised something, which is told unless there is no name. */
__attribute__((noinline)) bool faults(const char *name, void (*what)(u64), u64 argument)
{
	u64 before = n_faults;
	u64 *out = way_out;
	asm volatile("lea 1f(%%rip), %%rcx; mov %%rcx, (%0); mov %%rsp, 8(%0); mov %%rbp, 16(%0); call *%1; 1:"
		     : "+S"(out), "+a"(what), "+D"(argument)::"rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13",
		       "r14", "r15", "memory", "cc");
	if (!name)
		return n_faults != before;
	if (n_faults == before)
		say("%s: fine", name);
	else if (last_vector == 14)
		say("%s: page fault, error 0x%lx at 0x%lx", name, last_error, last_address);
	else
		say("%s: vector %lu, error 0x%lx", name, last_vector, last_error);
	return n_faults != before;
}

static void read_at(u64 at) { (void)*(volatile u8 *)at; }
static void write_at(u64 at) { *(volatile u8 *)at = 1; }
static void run_at(u64 at) { ((void (*)(void))at)(); }
static void do_cli(u64 unused) { (void)unused; asm volatile("cli; sti"); }
static void do_hlt(u64 unused) { (void)unused; asm volatile("hlt"); }
static void do_swapgs(u64 unused) { (void)unused; asm volatile("swapgs"); }
static void do_sysret(u64 unused) { (void)unused; asm volatile("sysretq"); }
static void do_rdmsr(u64 msr) { asm volatile("rdmsr" ::"c"(msr) : "rax", "rdx"); }
static void do_ud2(u64 unused) { (void)unused; asm volatile("ud2"); }
static void do_int(u64 unused) { (void)unused; asm volatile("int $0x40"); }
static void do_int3(u64 unused) { (void)unused; asm volatile("int3"); }
static void do_clts(u64 unused) { (void)unused; asm volatile("clts"); }
static void do_cr8(u64 value) { asm volatile("mov %0, %%cr8" ::"r"(value)); }
static void do_invlpg(u64 at) { asm volatile("invlpg (%0)" ::"r"(at)); }
static void do_out(u64 port) { asm volatile("outb %b0, %w1" ::"a"(0x55), "d"(port)); }
static void do_segment(u64 selector) { asm volatile("mov %0, %%es" ::"r"(selector)); }
static void do_iretq(u64 selector)
{
	asm volatile("mov %%rsp, %%rcx; push $0x1b; push %%rcx; pushf; push %0; lea 1f(%%rip), %%rcx; push %%rcx; iretq; 1:"
		     ::"r"(selector) : "rcx", "memory");
}
static void do_divide(u64 by) { asm volatile("xor %%edx, %%edx; div %0" : "+r"(by)::"rax", "rdx", "cc"); }

static u64 flags(void)
{
	u64 value;
	asm volatile("pushfq; pop %0" : "=r"(value));
	return value;
}

static void step(u64 unused)
{
	(void)unused;
	asm volatile("pushfq; orl $0x100, (%%rsp); popfq; nop; nop; mov $5, %%eax; pushfq; andl $~0x100, (%%rsp); popfq; nop"
		     ::: "rax", "memory", "cc");
}

void try_faults(void)
{
	catch_faults(true);
	faults("read at 0x10", read_at, 0x10);
	faults("read of the kernel", read_at, 0xFFFFFFFF80200000);
	faults("read of the direct map", read_at, 0xFFFF800000100000);
	faults("write to the direct map", write_at, 0xFFFF800000100000);
	faults("run there", run_at, 0xFFFF800000100000);
	faults("write to text", write_at, 0x400000);
	faults("not canonical", read_at, 0x8000000000000000);
	faults("cli", do_cli, 0);
	faults("hlt", do_hlt, 0);
	faults("swapgs", do_swapgs, 0);
	faults("sysret", do_sysret, 0);
	faults("rdmsr", do_rdmsr, 0xC0000080);
	faults("clts", do_clts, 0);
	faults("mov to cr8", do_cr8, 1);
	faults("invlpg", do_invlpg, 0);
	faults("ud2", do_ud2, 0);
	faults("int3", do_int3, 0);
	faults("division by zero", do_divide, 0);
	faults("kernel's data segment", do_segment, 0x10);
	faults("user's data segment", do_segment, 0x1B);
	faults("iretq to this ring", do_iretq, 0x23);
	faults("iretq to ring 0", do_iretq, 8);
	(void)do_int;
	faults("out", do_out, 0x80);
	call(SYS_PORT, 0x80, 1, 0);
	faults("out, allowed by the map", do_out, 0x80);
	faults("out beside it", do_out, 0x81);
	call(SYS_PORT, 0x80, 0, 0);
	call(SYS_IOPL, 3, 0, 0);
	faults("out with IOPL 3", do_out, 0x80);
	faults("cli and sti with IOPL 3", do_cli, 0);
	say("flags with IOPL 3: 0x%lx", flags() & 0x3200);
	call(SYS_IOPL, 0, 0, 0);
	faults("out with IOPL 0", do_out, 0x80);
	say("flags: 0x%lx", flags() & 0x3200);
	faults("single steps", step, 0);
	say("  steps: %lu", n_steps);
	u64 rcx, r11, here;
	asm volatile("lea 1f(%%rip), %2; std; syscall; 1: cld; mov %%rcx, %0; mov %%r11, %1"
		     : "=r"(rcx), "=r"(r11), "=&r"(here) : "a"(SYS_PID) : "rcx", "r11", "memory", "cc");
	say("SYSCALL: RCX is the return address: %d, R11 has DF and IF: 0x%lx", rcx == here, r11 & 0x600);
	catch_faults(false);
}
