/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the kernel know of each other. */
#pragma once
#include "cpu.h"

#define KERNEL_BASE 0xC0000000u
#define PAGE 4096u
#define USER_TEXT 0x00400000u
#define USER_STACK_TOP 0xBFFFF000u
#define USER_STACK_LIMIT (USER_STACK_TOP - 16 * PAGE)

enum { SEG_KCODE = 0x08, SEG_KDATA = 0x10, SEG_UCODE = 0x1B, SEG_UDATA = 0x23, SEG_TSS = 0x28, SEG_CPU = 0x30 };
enum { IRQ_BASE = 0x20, IRQ_TIMER = 0, IRQ_KEYBOARD = 1, IRQ_SERIAL = 4, IRQ_DISK = 14, TRAP_SYSCALL = 0x80 };
enum { N_PROCESSES = 32, N_FILES = 8, N_BUFFERS = 16, SECTOR = 512, MAX_ARGS = 8, HZ = 100 };

struct trap_frame {
	u32 edi, esi, ebp, unused_esp, ebx, edx, ecx, eax;
	u32 gs, fs, es, ds;
	u32 vector, error;
	u32 eip, cs, eflags, esp, ss;
};
struct context {
	u32 edi, esi, ebx, ebp, eip;
};
struct spinlock {
	volatile u32 locked;
	const char *name;
};
struct sleeplock {
	bool locked;
	struct spinlock guard;
};
struct file {
	int inode; /* -1: closed; the first three are the console */
	u32 offset;
};
enum state { UNUSED, EMBRYO, SLEEPING, RUNNABLE, RUNNING, ZOMBIE };
struct process {
	enum state state;
	int pid, status;
	bool killed;
	struct process *parent;
	void *channel;
	u32 *directory; /* by its kernel address */
	u32 brk;
	u8 *kernel_stack;
	struct trap_frame *frame;
	struct context *context;
	struct file files[N_FILES];
	char name[16];
};
struct cpu { /* reached by GS, whose segment begins here */
	struct cpu *self;
	struct process *process;
	struct context *scheduler;
	u32 cli_depth;
	bool interrupts_were_on;
};
struct buffer {
	u32 sector, n_users;
	bool valid, dirty;
	struct sleeplock lock;
	struct buffer *next_in_queue;
	u8 data[SECTOR] __attribute__((aligned(4)));
};

static inline struct cpu *this_cpu(void)
{
	struct cpu *cpu;
	asm volatile("movl %%gs:0, %0" : "=r"(cpu));
	return cpu;
}
static inline struct process *current(void)
{
	struct process *process;
	asm volatile("movl %%gs:4, %0" : "=r"(process));
	return process;
}
static inline void *high(u32 physical) { return (void *)(physical + KERNEL_BASE); }
static inline u32 low(const void *address) { return (u32)address - KERNEL_BASE; }

/* console.c */
void console_init(void);
void console_receive(bool on);
void console_interrupt(void);
void console_input(char c);
void console_flush(void);
int console_read(char *to, u32 n);
int console_write(const char *from, u32 n);
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
void panic(const char *text) __attribute__((noreturn));
u32 backtrace(u32 *addresses, u32 max);
void power_off(void) __attribute__((noreturn));

/* keyboard.c */
void keyboard_init(void);
void keyboard_interrupt(void);
void keyboard_type(const char *codes);
extern volatile u32 keyboard_echoes;

/* descriptors.c */
void descriptors_init(void);
void interrupts_init(void);
bool interrupt_is_spurious(u32 irq);
void interrupt_end(u32 irq);
void unmask(u32 irq);
void set_kernel_stack(u32 top);

/* memory.c */
void frames_init(u32 multiboot);
u32 frames_free(void);
u32 frames_all(void);
void *page_new(void); /* zeroed; NULL if there is none */
void page_share(void *page);
void page_release(void *page);
u32 page_users(void *page);

/* paging.c */
void paging_init(u32 memory_bytes);
u32 *directory_new(void);
void directory_free(u32 *directory);
u32 *directory_copy(u32 *directory);
void directory_use(u32 *directory);
bool page_fault(u32 address, u32 error);
bool user_map(u32 *directory, u32 address, u32 n_bytes);
void user_protect(u32 *directory, u32 address, u32 n_bytes);
void user_unmap(u32 *directory, u32 from, u32 to);
bool user_may(u32 address, u32 n_bytes, bool to_write);
void *user_page(u32 *directory, u32 address);
extern u32 n_copies;

/* lock.c */
void push_cli(void);
void pop_cli(void);
void acquire(struct spinlock *lock);
void release(struct spinlock *lock);
void sleep_acquire(struct sleeplock *lock);
void sleep_release(struct sleeplock *lock);

/* process.c */
extern struct spinlock table_lock;
void first_process(void);
void scheduler(void) __attribute__((noreturn));
void yield(void);
void sleep(void *channel, struct spinlock *lock);
void wake_up(void *channel);
int fork(void);
void exit(int status) __attribute__((noreturn));
int wait(int *status);
int kill(int pid);
int exec(const char *path, char *const *arguments);

/* trap.c, system_call.c */
void trap(struct trap_frame *frame);
void system_call(struct trap_frame *frame);
extern volatile u32 ticks;
extern struct spinlock ticks_lock;

/* disk.c, files.c */
void disk_init(void);
void disk_interrupt(void);
void disk_transfer(struct buffer *buffer);
void disk_flush(void);
extern u32 disk_sectors, n_disk_interrupts;
void files_init(void);
int file_find(const char *name);
u32 file_size(int inode);
int file_read(int inode, u32 offset, void *to, u32 n);
int file_append(int inode, const void *from, u32 n);
void files_sync(void);

/* text.c */
void *memset(void *to, int value, size_t n);
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
int strcmp(const char *a, const char *b);
void copy_string(char *to, const char *from, u32 n);
