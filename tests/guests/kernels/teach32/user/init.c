/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first process: tries what the kernel promises, one fact a line, and turns the machine off. */
#include "user.h"

static int data = 7;
static char large[3 * 4096];

static void in_child(void (*what)(void), const char *name)
{
	int status = 0;
	if (fork() == 0) {
		what();
		exit(0);
	}
	wait(&status);
	say("%s: status %d", name, status);
}

static void processes(void)
{
	int status = 0, pid = fork();
	if (pid == 0) {
		data = 8;
		exit(getpid() == 1 ? 0 : 42);
	}
	say("fork: child %d", pid);
	say("wait: %d", wait(&status));
	say("  status %d; data of the parent: %d", status, data);
	char *arguments[] = {"hello", "a b", "", "last", NULL};
	say("exec: status %d", run("hello", arguments));
	say("exec of nothing: status %d", run("nothing", arguments));
	say("exec of no program: status %d", run("text", arguments));

	int sum = 0, n = 0;
	for (int i = 0; i < 40; i++) {
		pid = fork();
		if (pid == 0) {
			yield();
			exit(i);
		}
		n += pid > 0;
	}
	for (int i = 0; i < n; i++) {
		wait(&status);
		sum += status;
	}
	say("forks until the table is full: %d, sum of their statuses %d", n, sum);
	say("no more to wait for: %d", wait(&status));
}

static void grandchild(void)
{
	if (fork() == 0) {
		sleep(2);
		exit(5);
	}
}

static void too_much(void) { exit((int)sbrk(0x7fffffff)); }

static void memory(void)
{
	int status = 0, pid = fork();
	if (pid == 0) {
		int before = ask(ASK_COPIES);
		for (size_t i = 0; i < sizeof large; i += 4096)
			large[i] = 1;
		exit(ask(ASK_COPIES) - before);
	}
	wait(&status);
	say("copy on write: %d copies, here %d", status, large[4096]);

	char *at = sbrk(10000);
	int zeros = 0;
	for (int i = 0; i < 10000; i++)
		zeros += at[i] == 0;
	at[9999] = 1;
	say("sbrk: %d zeros, then at +%d", zeros, (char *)sbrk(-10000) - at);
	in_child(too_much, "sbrk of all");
	say("bad pointers: %d %d %d", write(1, (void *)0xc0100000, 4), write(1, (void *)0xbffffffe, 8),
	    read(0, (void *)0x10, 1));
	say("write to text: %d", read(open("text"), (void *)main, 1) < 0 ? -1 : 1);
}

static int deep(int n)
{
	volatile char room[1000];
	room[0] = n;
	return n ? deep(n - 1) + room[0] : 0;
}
static void stack_grows(void) { exit(deep(40)); }
static void stack_ends(void) { exit(deep(100)); }
static void read_null(void) { asm volatile("movl 0, %%eax" ::: "eax"); }
static void read_kernel(void) { asm volatile("movl 0xc0100000, %%eax" ::: "eax"); }
static void write_kernel(void) { asm volatile("movl %eax, 0xc0100000"); }
static void jump_kernel(void) { ((void (*)(void))0xc0100010)(); }
static void do_cli(void) { asm volatile("cli"); }
static void do_hlt(void) { asm volatile("hlt"); }
static void do_in(void) { asm volatile("inb $0x64, %%al" ::: "eax"); }
static void do_cr3(void) { asm volatile("movl %%cr3, %%eax" ::: "eax"); }
static void do_lidt(void) { asm volatile("lidt (%esp)"); }
static void do_ud2(void) { asm volatile("ud2"); }
static void do_divide(void) { asm volatile("xorl %%ecx, %%ecx; divl %%ecx" ::: "eax", "ecx", "edx"); }
static void do_int3(void) { asm volatile("int3"); }
static void do_int_irq(void) { asm volatile("int $0x20"); }
static void do_int_page(void) { asm volatile("int $14"); }
static void do_segment(void) { asm volatile("mov %0, %%fs" ::"r"(0x10)); }
static void do_far_jump(void) { asm volatile("ljmp $0x08, $0xc0100000"); }
static void do_iret(void) { asm volatile("pushl $0x202; pushl $0x08; pushl $0xc0100000; iret"); }
static void do_bound(void)
{
	int bounds[2] = {1, 3};
	asm volatile("bound %0, %1" ::"r"(4), "m"(bounds));
}
static void do_into(void) { asm volatile("movb $127, %%al; addb $1, %%al; into" ::: "eax"); }

static void privileges(void)
{
	in_child(stack_grows, "stack grows");
	in_child(stack_ends, "stack ends");
	in_child(read_null, "null");
	in_child(read_kernel, "read of the kernel");
	in_child(write_kernel, "write to the kernel");
	in_child(jump_kernel, "call of the kernel");
	in_child(do_cli, "cli");
	in_child(do_hlt, "hlt");
	in_child(do_in, "in");
	in_child(do_cr3, "mov from cr3");
	in_child(do_lidt, "lidt");
	in_child(do_ud2, "ud2");
	in_child(do_divide, "division by zero");
	in_child(do_int3, "int3");
	in_child(do_int_irq, "int 0x20");
	in_child(do_int_page, "int 14");
	in_child(do_segment, "kernel's segment");
	in_child(do_far_jump, "far jump into ring 0");
	in_child(do_iret, "iret into ring 0");
	in_child(do_bound, "bound");
	in_child(do_into, "into");
	say("no such system call: %d", call(N_SYSTEM_CALLS, 0, 0, 0));
}

/* What of the kernel's state a program can see without a fault. */
static void sensitive(void)
{
	uint32_t flags, word, limit;
	struct { uint16_t limit; uint32_t base; } __attribute__((packed)) table;
	asm volatile("pushfl; popl %0" : "=r"(flags));
	say("IF and IOPL: 0x%x", flags & 0x3200);
	asm volatile("pushl %1; popfl; pushfl; popl %0" : "=r"(flags) : "r"((flags & ~0x200u) | 0x3000) : "cc");
	say("after popf: 0x%x", flags & 0x3200);
	asm volatile("sgdt %0" : "=m"(table));
	say("GDT: limit 0x%x, in the kernel: %d", table.limit, table.base >= 0xc0000000);
	asm volatile("sidt %0" : "=m"(table));
	say("IDT: limit 0x%x, in the kernel: %d", table.limit, table.base >= 0xc0000000);
	asm volatile("smsw %0" : "=r"(word));
	say("SMSW: 0x%x", word & 0xffff);
	asm volatile("str %w0" : "=r"(word));
	say("TR: 0x%x", word & 0xffff);
	asm volatile("sldt %w0" : "=r"(word));
	say("LDT: 0x%x", word & 0xffff);
	asm volatile("mov %%cs, %0" : "=r"(word));
	asm volatile("mov %%ss, %0" : "=r"(limit));
	say("CS 0x%x, SS 0x%x", word & 0xffff, limit & 0xffff);
	asm volatile("mov %%gs, %0" : "=r"(word));
	say("GS: 0x%x", word & 0xffff);
	asm volatile("lsl %1, %0" : "=r"(limit) : "r"(0x1b) : "cc");
	asm volatile("lar %1, %0" : "=r"(word) : "r"(0x23) : "cc");
	say("limit of CS 0x%x, rights of DS 0x%x", limit, word & 0xf0fe00);
	uint8_t is_readable, is_kernels;
	asm volatile("verr %w1; setz %0" : "=q"(is_readable) : "r"(0x23) : "cc");
	asm volatile("verr %w1; setz %0" : "=q"(is_kernels) : "r"(0x10) : "cc");
	say("VERR: own %d, kernel's %d", is_readable, is_kernels);
}

static void time_passes(void)
{
	int status = 0, from = uptime();
	sleep(3);
	say("sleep: long enough: %d", uptime() - from >= 3);
	int pid = fork();
	if (pid == 0) {
		char *arguments[] = {"count", "endless", NULL};
		exec("count", arguments);
		exit(127);
	}
	sleep(2);
	say("a busy child does not stop us; kill: %d", kill(pid));
	say("it is gone: %d", wait(&status) == pid && status == -1);
	pid = fork();
	if (pid == 0) {
		sleep(1000000);
		exit(1);
	}
	sleep(1);
	kill(pid);
	say("one asleep, too: %d", wait(&status) == pid && status == -1);
	char *names[] = {"a", "b", "c"};
	uint32_t sum = 0;
	for (int i = 0; i < 3; i++)
		if (fork() == 0) {
			char *arguments[] = {"count", names[i], NULL};
			exec("count", arguments);
			exit(127);
		}
	for (int i = 0; i < 3; i++) {
		wait(&status);
		sum += status;
	}
	say("three that count: sum 0x%x", sum);
}

static void disk(void)
{
	char part[700];
	uint32_t sum = 0, size = 0, before = ask(ASK_DISK_INTERRUPTS);
	int n, file = open("large");
	while ((n = read(file, part, sizeof part)) > 0)
		for (int i = 0; i < n; i++, size++)
			sum = sum * 31 + (uint8_t)part[i];
	close(file);
	say("large file: %d bytes, sum 0x%x", size, sum);
	say("  each sector once, by interrupt: %d", ask(ASK_DISK_INTERRUPTS) - before == (size + 511) / 512);
	say("read when closed: %d, no such file: %d", read(file, part, 1), open("nothing"));
	file = open("log");
	for (int i = 0; i < 30; i++) {
		memset(part, 'a' + i % 26, 79);
		part[79] = '\n';
		n = write(file, part, 80);
	}
	say("log: last write %d", n);
	while ((n = read(file, part, sizeof part)) > 0)
		sum += n + part[n - 2];
	say("read back: 0x%x; too much: %d", sum, write(file, large, sizeof large));
	say("sync: %d", sync());
}

static void console(void)
{
	char line[64];
	int n;
	for (int lines = 0; lines < 3;) {
		n = read(0, line, sizeof line - 1);
		line[n - 1] = 0;
		if (n > 1) { /* an empty line may come before the serial line is ready */
			say("line: %s", line);
			lines++;
		}
	}
}

int main(int argc, char **argv)
{
	say("init: pid %d, %d arguments, %s to %s", getpid(), argc, argv[0], argv[argc - 1]);
	int status = 0, before;
	fork() == 0 ? exit(0) : (void)wait(&status); /* so that all pages of ours exist */
	before = ask(ASK_FREE_FRAMES);
	processes();
	memory();
	in_child(grandchild, "grandchild");
	say("an orphan came to us: %d", wait(&status) > 0 ? status : -1);
	privileges();
	sensitive();
	time_passes();
	disk();
	console();
	say("the kernel's frames can be followed: %d", ask(ASK_DEPTH) > 2);
	say("frames lost: %d", before - ask(ASK_FREE_FRAMES));
	if (open("panic") >= 0)
		call(SYS_PANIC, 0, 0, 0);
	call(SYS_OFF, 0, 0, 0);
	return 0;
}
