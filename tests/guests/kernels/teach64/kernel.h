/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the kernel know of each other. */
#pragma once
#include "cpu.h"

#define PAGE 4096ull
#define DIRECT 0xFFFF800000000000ull
#define KERNEL 0xFFFFFFFF80000000ull
#define USER_END 0x0000800000000000ull
#define USER_MAP 0x0000100000000000ull /* where map() begins */
#define USER_STACK 0x00007FFFFFFF0000ull

enum { KERNEL_CODE = 0x08, KERNEL_DATA = 0x10, USER_DATA = 0x1B, USER_CODE = 0x23, TASK_STATE = 0x28 };
enum { VECTOR_TIMER = 0x40, VECTOR_IRQ = 0x50, VECTOR_SPURIOUS = 0xFF };
enum { N_THREADS = 16, N_PROCESSES = 12, N_REGIONS = 12, STACK = 8192, HZ = 100 };
enum { CAN_READ = 1, CAN_WRITE = 2, CAN_RUN = 4 };

struct frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error, rip, cs, rflags, rsp, ss;
};
struct region {
	u64 from, to;
	u32 access;
};
struct process {
	int pid, status, n_threads;
	bool is_zombie;
	struct process *parent;
	u64 *pml4;
	struct region regions[N_REGIONS];
	u64 next_map, fault_handler;
};
enum thread_state { UNUSED, READY, BLOCKED };
struct thread {
	enum thread_state state;
	struct process *process;
	void *channel;
	u64 kernel_sp, fs_base, wake_at;
	bool has_fpu_state;
	u8 *stack_top;
	u8 fpu_state[512] __attribute__((aligned(16)));
};
struct cpu { /* at GS in the kernel */
	struct cpu *self;
	u64 user_sp, kernel_sp;
	struct thread *thread, *fpu_owner;
};
struct boot {
	struct { u64 from, to; } ram[32];
	u32 n_ram;
	u64 module, module_end, rsdp;
};

static inline struct cpu *this_cpu(void)
{
	struct cpu *cpu;
	asm volatile("mov %%gs:0, %0" : "=r"(cpu));
	return cpu;
}
static inline struct thread *thread(void) { return this_cpu()->thread; }
static inline void *direct(u64 physical) { return (void *)(physical + DIRECT); }
static inline u64 physical(const void *address) { return (u64)address - DIRECT; }

/* boot_info.c */
void boot_read(struct boot *boot, u32 magic, u32 info);
/* console.c */
void console_init(void);
void put_text(const char *text, u64 n);
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
void panic(const char *text) __attribute__((noreturn));
void power_off(u8 status) __attribute__((noreturn));
/* descriptors.c */
void descriptors_init(void);
void kernel_stack_set(u64 top);
void port_allow(u16 port, bool on);
bool is_on_ist(u32 n, u64 sp);
/* memory.c */
void memory_init(const struct boot *boot);
extern u64 n_free, n_frames;
u64 page_new(void);
void page_share(u64 page);
void page_drop(u64 page);
u32 page_users(u64 page);
void *memset(void *to, int value, size_t n);
void *memcpy(void *to, const void *from, size_t n);
/* paging.c */
void paging_init(void);
u64 space_new(void);
void space_free(struct process *process);
bool space_fork(struct process *from, struct process *to);
bool page_fault(u64 address, u64 error);
bool user_may(u64 address, u64 n, bool to_write);
bool region_add(struct process *process, u64 from, u64 to, u32 access);
bool region_protect(struct process *process, u64 from, u64 to, u32 access);
void region_remove(struct process *process, u64 from, u64 to);
extern u64 n_lazy, n_copied;
/* acpi.c, apic.c */
struct madt {
	u64 local_apic, io_apic;
	u32 gsi[16], flags[16];
};
bool madt_read(struct madt *madt, u64 rsdp);
void apic_init(const struct madt *madt);
void apic_end(void);
void irq_enable(u32 irq, bool on);
void pit_periodic(void);
/* trap.c */
extern volatile u64 ticks, irq_counts[16], n_breakpoints, n_fpu_traps;
void trap(struct frame *frame);
u64 attempt(void (*what)(u64), u64 argument);
/* thread.c */
struct thread *thread_new(struct process *process, const struct frame *frame);
struct process *process_new(struct process *parent);
void schedule(void);
void block(void *channel);
void wake(void *channel);
void exit_thread(void) __attribute__((noreturn));
void exit_process(int status) __attribute__((noreturn));
int process_wait(int *status);
void process_start(u64 elf, u64 end);
/* system_call.c */
bool system_call(struct frame *frame);
bool upcall(struct frame *frame, u64 address);
/* disk.c, net.c, rtc.c */
bool disk_read(u32 sector, u32 n, void *to);
bool net_init(u8 *address);
int net_ask(u32 size, u8 number);
void net_interrupt(void);
void date_read(u32 *date);
