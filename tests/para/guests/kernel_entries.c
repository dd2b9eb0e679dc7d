/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ways into a paravirtual kernel and back: frames, masks, upcalls and their races, TS, descriptors. */
#include <stddef.h>

#include <pv/hypercall.h>
#include <pv/printf.h>
#include <pv/string.h>

#define IF 0x200

_Static_assert(offsetof(struct pv_shared_info, vcpu) == 512, "the code below has this number");

extern struct pv_shared_info *pv_shared;
extern const char raw_entry[], raw_plain[], pend_and_return[];

/* What raw_entry has found: the frame, and RSP before it was entered. */
struct {
    struct pv_trap_stack frame;
    uint64_t rsp, rflags, cs, ss, rax, n;
} raw;

__asm__(".text\n"
        "raw_entry: incq raw + 88(%rip)\n movq %rax, raw + 80(%rip)\n movq %rsp, raw + 48(%rip)\n"
        " pushfq\n popq raw + 56(%rip)\n movl %cs, %eax\n movq %rax, raw + 64(%rip)\n movl %ss, %eax\n"
        " movq %rax, raw + 72(%rip)\n"
        " pushq %rsi\n pushq %rcx\n leaq 16(%rsp), %rsi\n pushq %rdi\n leaq raw(%rip), %rdi\n movl $6, %ecx\n"
        " rep movsq\n popq %rdi\n popq %rcx\n popq %rsi\n movq raw + 80(%rip), %rax\n"
        "raw_skip: addq $2, 8(%rsp)\n"   /* every instruction that traps here has two bytes */
        "raw_plain: movq %rdi, (%rsp)\n pushq %r11\n pushq %rcx\n pushq %rax\n movq %rsp, %rdi\n"
        " movq pv_hypercall_page(%rip), %rax\n addq $0x44 * 32, %rax\n call *%rax\n ud2\n"
        "count_upcall: incq raw + 88(%rip)\n pushq %rax\n movq pv_shared(%rip), %rax\n"
        " movb $0, 512(%rax)\n popq %rax\n jmp raw_plain\n" /* upcall_pending of virtual CPU 0 */
        "pend_and_return: pushq %rax\n movq pv_shared(%rip), %rax\n movb $1, 512(%rax)\n popq %rax\n jmp raw_skip\n"
        "raw_iretq: addq $10, 8(%rsp)\n addq $8, %rsp\n iretq\n"
        ".globl raw_iretq\n");
extern const char raw_iretq[];

static struct pv_vcpu_info *vcpu(void)
{
    return &pv_shared->vcpu[0];
}

static void set(unsigned vector, const char *handler, unsigned flags)
{
    const struct pv_trap_entry entry = {(uint64_t)handler, (uint8_t)vector, (uint8_t)flags, 0, 0};
    pv_trap_table(&entry, 1);
}

static void show(const char *what)
{
    pv_printf("%s: %lu entries, error %lx, cs %lx and %lx, ss %lx and %lx, IF %d, flags %lx, aligned %d, below %d, masked %d\n",
              what, raw.n, raw.frame.error_code, raw.frame.cs, raw.cs, raw.frame.ss, raw.ss,
              (raw.frame.rflags & IF) != 0, raw.rflags, raw.rsp % 16 == 0, raw.frame.rsp - raw.rsp < 64,
              vcpu()->upcall_mask);
    raw.n = 0;
}

static void traps(void)
{
    set(6, raw_entry, 0);
    __asm__ volatile("ud2");
    show("ud2");
    vcpu()->upcall_mask = 0;
    __asm__ volatile("ud2");
    show("ud2, unmasked");
    set(6, raw_entry, PV_TRAP_MASK);
    __asm__ volatile("std; stc; pushq $0; ud2; popq %%rax; cld" : : : "rax");
    show("ud2, masks, the stack odd");
    uint64_t a, b, c, d;
    __asm__ volatile("ud2" : "=a"(a), "=c"(b), "=D"(c), "=S"(d) : "a"(1l), "c"(2l), "D"(3l), "S"(4l) : "r11");
    pv_printf("registers kept: %lu %lu %lu %lu\n", a, b, c, d);
    show("once more");
    set(6, raw_iretq, PV_TRAP_MASK);
    vcpu()->upcall_mask = 0;
    __asm__ volatile("ud2; .skip 8, 0x90");
    pv_printf("by IRETQ: masked %d\n", vcpu()->upcall_mask);
    set(6, NULL, 0);
    set(0x77, raw_plain, 0);
    __asm__ volatile("int $0x77");
    pv_printf("int 0x77 and back\n");
    set(13, raw_entry, 0);
    __asm__ volatile("int $0x78");
    show("int 0x78, which nobody has set");
    __asm__ volatile("movl %0, %%ds" : : "r"(0x48));
    show("a segment that is not there");
}

/* Nothing is printed while TS is set: that may use SSE. */
static void no_fpu(void)
{
    set(7, raw_entry, 0);
    int64_t on = pv_fpu_ts(1);
    __asm__ volatile("fnop; emms; .byte 0x66, 0x90");
    int64_t off = pv_fpu_ts(0);
    pv_printf("TS: %ld, %ld\n", on, off);
    show("two uses");
    __asm__ volatile("fnop; emms");
    pv_printf("without TS: %lu\n", raw.n);
}

static void descriptors(void)
{
    uint16_t limit_ok;
    uint32_t limit = 0, value;
    static const uint32_t words[] = {11, 22, 33};
    pv_printf("descriptor: %ld\n", pv_descriptor_set(9, 0x0040f20000000007 | ((uint64_t)words & 0xffffff) << 16));
    __asm__ volatile("movl %2, %%ds; lsl %2, %0; setz %1" : "+r"(limit), "=q"(*(uint8_t *)&limit_ok) : "r"(0x4b));
    __asm__ volatile("movl %1, %%gs; movl %%gs:4, %0" : "=r"(value) : "r"(0x4b));
    pv_printf("limit %x, word %u\n", limit, value);
    pv_printf("base: %ld\n", pv_segment_base_set(PV_SEGMENT_FS, (uint64_t)words));
    __asm__ volatile("movl %%fs:8, %0" : "=r"(value));
    pv_printf("word %u\n", value);
}

static void upcalls(void)
{
    extern const char count_upcall[];
    vcpu()->upcall_mask = 1;
    vcpu()->upcall_pending = 1;
    raw.n = 0;
    pv_printf("upcall: %ld", pv_upcall_set((uint64_t)count_upcall));
    pv_printf(", masked: %lu\n", raw.n);
    vcpu()->upcall_mask = 0;
    for (volatile int i = 0; i < 3; i++)
        ;
    pv_printf("unmasked by hand: %lu\n", raw.n);
    pv_upcall_set((uint64_t)count_upcall);
    pv_printf("asked for: %lu, pending %d, masked %d\n", raw.n, vcpu()->upcall_pending, vcpu()->upcall_mask);
    vcpu()->upcall_mask = 1;
    vcpu()->upcall_pending = 1;
    set(6, raw_entry, PV_TRAP_MASK);
    __asm__ volatile("ud2");
    pv_printf("IRET with IF clear: %lu entries", raw.n);
    vcpu()->upcall_pending = 0;
    vcpu()->upcall_mask = 0;
    set(6, pend_and_return, PV_TRAP_MASK);
    __asm__ volatile("ud2");
    pv_printf(", with IF set: %lu entries, pending %d\n", raw.n, vcpu()->upcall_pending);
    pv_printf("no handler any more: %ld\n", pv_upcall_set(0));
    vcpu()->upcall_pending = 1;
    pv_printf("and none comes: %ld, %lu\n", pv_upcall_set(0), raw.n);
}

static void moved(void)
{
    static uint8_t page[4096] __attribute__((aligned(4096)));
    memset(page, 77, sizeof page);
    pv_printf("moved: %ld\n", pv_shared_set((uint64_t)page));
    pv_shared = (struct pv_shared_info *)page;
    pv_printf("pending %lx, masked %lx, upcalls masked %d, virtual CPUs %u\n", pv_shared->pending[0],
              pv_shared->mask[15], vcpu()->upcall_mask, pv_shared->n_vcpus);
    set(14, raw_entry, 0);
    __asm__ volatile("movb (%0), %%al" : : "a"(0x7f0000000000));
    pv_printf("cr2 %lx, %lu\n", vcpu()->cr2, raw.n);
}

int main(void)
{
    traps();
    no_fpu();
    descriptors();
    moved();
    upcalls();
    return 0;
}
