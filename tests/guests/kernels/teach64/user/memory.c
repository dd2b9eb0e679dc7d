/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes, pages that come when they are touched, copies that come when they are written; code made here. */
#include "user.h"

static u32 data = 7;

__attribute__((noinline)) static void touch(u64 at) { *(volatile u8 *)at = 1; }
static void look(u64 at) { (void)*(volatile u8 *)at; }

void try_processes(void)
{
	int status = 0, pid = fork();
	if (pid == 0) {
		data = 8;
		exit(data + (int)call(SYS_PID, 0, 0, 0));
	}
	say("fork: %d", pid);
	say("wait: %d", wait(&status));
	say("  status %d, data here %d", status, data);
	if (fork() == 0) {
		touch(0x123);
		exit(0);
	}
	wait(&status);
	say("killed: %d", status);
	u32 sum = 0, n = 0;
	for (u32 i = 0; i < 20; i++) {
		pid = fork();
		if (pid == 0) {
			call(SYS_YIELD, 0, 0, 0);
			exit(i + 1);
		}
		n += pid > 0;
	}
	for (u32 i = 0; i < n; i++) {
		wait(&status);
		sum += status;
	}
	say("forks: %d, sum %d", n, sum);
	say("no child: %d", wait(&status));
}

void try_memory(void)
{
	u64 n = 64 * PAGE, lazy = ask(ASK_LAZY);
	u8 *at = map(n, CAN_READ | CAN_WRITE);
	say("map: at 0x%lx, pages yet: %lu", (u64)at, ask(ASK_LAZY) - lazy);
	u32 zeros = 0;
	for (u64 i = 0; i < n; i += PAGE)
		zeros += at[i + i / PAGE] == 0;
	say("touched: %d zeros, pages: %lu", zeros, ask(ASK_LAZY) - lazy);

	int status;
	if (fork() == 0) {
		u64 before = ask(ASK_COPIED);
		for (u64 i = 0; i < n; i += 2 * PAGE)
			at[i] = 1;
		exit(ask(ASK_COPIED) - before);
	}
	wait(&status);
	say("a child writes to half of them: %d copies, here %d", status, at[0]);
	u64 before = ask(ASK_COPIED);
	at[0] = 5;
	say("then ours are not copied: %lu", ask(ASK_COPIED) - before);

	catch_faults(true);
	protect(at, n, CAN_READ);
	faults("read-only: read", look, (u64)at);
	faults("read-only: write", touch, (u64)at);
	protect(at, n, 0);
	faults("nothing: read", look, (u64)at);
	protect(at, n, CAN_READ | CAN_WRITE);
	faults("all again: write", touch, (u64)at);
	unmap(at, n);
	faults("unmapped: read", look, (u64)at);
	say("system call with a bad pointer: %d", (int)call(SYS_WRITE, (u64)at, 4, 0));

	/* protection a thousand times: no stale entry may live */
	u32 wrong = 0;
	at = map(PAGE, CAN_READ | CAN_WRITE);
	for (u32 i = 0; i < 500; i++) {
		wrong += faults(NULL, touch, (u64)at);
		protect(at, PAGE, CAN_READ);
		wrong += !faults(NULL, touch, (u64)at);
		protect(at, PAGE, CAN_READ | CAN_WRITE);
	}
	say("500 times off and on: %d wrong", wrong);
	unmap(at, PAGE);
	catch_faults(false);
}

static void run_at(u64 at) { ((int (*)(void))at)(); }

static void emit(u8 *at, u32 value)
{
	u8 code[] = {0xB8, value, value >> 8, value >> 16, value >> 24, 0xC3}; /* mov $value, %eax; ret */
	for (u32 i = 0; i < sizeof code; i++)
		((volatile u8 *)at)[i] = code[i];
}

void try_code(void)
{
	u8 *at = map(2 * PAGE, CAN_READ | CAN_WRITE);
	int (*function)(void) = (int (*)(void))at;
	emit(at, 42);
	catch_faults(true);
	faults("code without the right to run", run_at, (u64)at);
	protect(at, 2 * PAGE, CAN_READ | CAN_RUN);
	say("with it: %d", function());
	faults("write to it", touch, (u64)at);
	protect(at, 2 * PAGE, CAN_READ | CAN_WRITE | CAN_RUN);
	u32 sum = 0;
	for (u32 i = 0; i < 1000; i++) {
		emit(at, i);
		sum += function();
	}
	say("rewritten 1000 times: sum %d", sum);
	sum = 0;
	for (u32 i = 0; i < 200; i++) { /* the page's end, so that the function lies across two */
		emit(at + PAGE - 3, 3 * i);
		sum += ((int (*)(void))(at + PAGE - 3))();
	}
	say("across two pages: sum %d", sum);
	emit(at, 1);
	int status, mine;
	if (fork() == 0) {
		emit(at, 2);
		exit(function());
	}
	wait(&status);
	mine = function();
	say("after fork: the child's %d, ours %d", status, mine);
	/* code that writes into itself, the very next instruction: 200 times */
	static const u8 self[] = {
		0x31, 0xC0,				  /* xor %eax, %eax */
		0xB9, 0xC8, 0, 0, 0,			  /* mov $200, %ecx */
		0x88, 0x0D, 0x01, 0, 0, 0,		  /* mov %cl, the immediate of the add */
		0x05, 0, 0, 0, 0,			  /* add $0, %eax */
		0xFF, 0xC9, 0x75, 0xF1, 0xC3,		  /* dec %ecx; jnz the mov; ret */
	};
	memcpy(at, self, sizeof self);
	say("code that writes to itself: %d", function());
	unmap(at, 2 * PAGE);
	catch_faults(false);
}
