/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads in one address space, and what each has for itself: FS and the FPU. */
#include "user.h"

enum { N = 4, ROUNDS = 3000 };

static volatile u32 guard, n_done, counter, spinning, stop, results[N];
static u64 private[N];

static void finish(void)
{
	__atomic_add_fetch(&n_done, 1, __ATOMIC_SEQ_CST);
	call(SYS_FUTEX_WAKE, (u64)&n_done, 0, 0);
}

static void count(u64 number)
{
	private[number] = 100 + number;
	call(SYS_SET_FS, (u64)&private[number], 0, 0);
	for (u32 i = 0; i < ROUNDS; i++) {
		lock(&guard);
		u32 seen = counter;
		if (i % 512 == 0)
			call(SYS_YIELD, 0, 0, 0);
		counter = seen + 1;
		unlock(&guard);
	}
	u64 mine;
	asm volatile("mov %%fs:0, %0" : "=r"(mine));
	results[number] = mine;
	finish();
}

static void spin(u64 unused)
{
	(void)unused;
	spinning = 1;
	while (!stop)
		;
	finish();
}

void try_threads(void)
{
	for (u64 i = 0; i < N; i++)
		thread_start(count, i);
	await(&n_done, N);
	say("threads: counter %d, FS of each: %d %d %d %d", counter, results[0], results[1], results[2], results[3]);
	n_done = 0;
	thread_start(spin, 0);
	call(SYS_SLEEP, 2, 0, 0);
	say("a busy thread has run: %d", spinning);
	stop = 1;
	await(&n_done, 1);
	say("and ended");
}

/* A sum that is right only if nobody else's registers get in between. */
static u32 sum_of(u64 seed, u32 rounds)
{
	double x = seed, step = 0.5 * (seed + 1), sum = 0;
	long double slow = 1.0L;
	for (u32 i = 0; i < rounds; i++) {
		sum += x * step - i;
		x = x * 0.999 + step;
		slow = slow * 1.0000001L + 1e-9L;
		if (i % 1000 == 0)
			call(SYS_YIELD, 0, 0, 0);
	}
	return (u32)((u64)(long long)sum ^ (u64)(slow * 1e12L));
}

static void compute(u64 number)
{
	u32 mxcsr = 0x1F80 | number << 13;
	uint16_t word = 0x37F;
	asm volatile("ldmxcsr %0; fldcw %1" ::"m"(mxcsr), "m"(word));
	results[number] = sum_of(number, 5000);
	asm volatile("stmxcsr %0" : "=m"(mxcsr));
	results[number] ^= (mxcsr >> 13 & 3) << 28;
	finish();
}

static void divide_x87(u64 unused)
{
	(void)unused;
	uint16_t word = 0x37F & ~4;
	asm volatile("fninit; fldcw %0; fldz; fld1; fdivp; fwait" ::"m"(word));
}

void try_fpu(void)
{
	u32 alone[N];
	for (u64 i = 0; i < N; i++) {
		compute(i);
		alone[i] = results[i];
	}
	u32 mxcsr = 0x1F80;
	asm volatile("ldmxcsr %0" ::"m"(mxcsr));
	u64 before = ask(ASK_FPU_TRAPS);
	n_done = 0;
	for (u64 i = 0; i < N; i++)
		thread_start(compute, i);
	await(&n_done, N);
	u32 same = 0;
	for (u32 i = 0; i < N; i++)
		same += results[i] == alone[i];
	say("FPU: 0x%x 0x%x 0x%x 0x%x; with others between: %d of %d", alone[0], alone[1], alone[2], alone[3], same, N);
	say("taken by #NM: %d", ask(ASK_FPU_TRAPS) - before > 10);
	asm volatile("stmxcsr %0" : "=m"(mxcsr));
	say("MXCSR of this one: 0x%x", mxcsr & 0xFFC0);
	int status;
	asm volatile("movd %0, %%xmm7" ::"r"(0x1234) : "xmm7");
	if (fork() == 0) {
		u32 inherited;
		asm volatile("movd %%xmm7, %0" : "=r"(inherited));
		exit(inherited);
	}
	wait(&status);
	say("a child inherits: 0x%x", status);
	catch_faults(true);
	faults("x87 division by zero", divide_x87, 0);
	asm volatile("fninit; ldmxcsr %0" ::"m"((u32){0x1F80}));
	catch_faults(false);
}
