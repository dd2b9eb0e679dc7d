/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pieces of user code at CPL 3, each run until it comes back to the kernel, and how it came: the vector, the error code,
 * where it was, and what else a kernel sees. The test that builds this lets user code have the pages user_code and
 * user_data; the kernel could not, with the calls that it uses.
 */
#include <pv/hypercall.h>
#include <pv/printf.h>

#define SYSCALL 256 /* in place of a vector */
#define UPCALL  257
#define N_STUBS 258
#define STUB_BYTES 16
#define IF 0x200

extern struct pv_shared_info *pv_shared;
extern const char stubs[], user_code[], pieces_end[];
extern char user_data[];

struct piece {
    const char *start, *name;
};
extern const struct piece pieces[];

/* What came back: the registers that stub and frame keep. */
struct came {
    uint64_t rax, rcx, rdx, rbx, r11, number;
    struct pv_trap_stack frame;
};
struct came came;

static char kernel_stack[8192] __attribute__((aligned(16)));
static struct pv_iret_frame to;

int64_t enter(struct pv_iret_frame *frame);

__asm__(".text\n.balign 16\n"
        "stubs:\n.set n, 0\n.rept 258\n.balign 16\npushq $n\njmp back\n.set n, n + 1\n.endr\n"
        "back: cld\n pushq %r11\n pushq %rbx\n pushq %rdx\n pushq %rcx\n pushq %rax\n"
        " movq %rsp, %rsi\n leaq came(%rip), %rdi\n movl $12, %ecx\n rep movsq\n"
        " movq kept(%rip), %rsp\n xorl %eax, %eax\n jmp out\n"
        "enter: pushq %rbx\n pushq %rbp\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
        " movq %rsp, kept(%rip)\n"
        " movq pv_hypercall_page(%rip), %rax\n movq %rax, %rsi\n addq $0x44 * 32, %rax\n"
        " xorl %ebx, %ebx\n xorl %edx, %edx\n"
        " call *%rax\n"
        "out: popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbp\n popq %rbx\n ret\n"
        ".bss\n.balign 8\nkept: .skip 8\n");

/* Each begins 64 bytes after the one before; user_data is at RDI, the hypercall page at RSI. */
#define PIECE(name, code) ".balign 64\n1: " code "\n ud2\n.pushsection .rodata.pieces\n.quad 1b, 2f\n.popsection\n" \
                          ".pushsection .rodata.names\n2: .asciz \"" name "\"\n.popsection\n"
__asm__(".section .rodata.pieces, \"a\"\n.balign 8\n.globl pieces\npieces:\n"
        ".section .text.user, \"ax\"\n.balign 4096\n.globl user_code\nuser_code:\n"
        PIECE("ud2", "nop")
        PIECE("gs of the user", "movl %gs:0, %eax\n int $0x80")
        PIECE("fs of the user", "movl %fs:8, %eax\n int $0x80")
        PIECE("in al, dx", "movl $0x3f8, %edx\n inb %dx, %al")
        PIECE("in eax, imm", "inl $0x80, %eax")
        PIECE("out dx, ax", "movl $0x604, %edx\n movl $0x2000, %eax\n outw %ax, %dx")
        PIECE("out imm, al", "xorl %eax, %eax\n outb %al, $0xf4")
        PIECE("out behind a loop", "movl $3, %ecx\n 3: decl %ecx\n jnz 3b\n pushq %rdi\n outb %al, $0xf4")
        PIECE("insb", "movl $0x3f8, %edx\n insb")
        PIECE("rep insl", "movl $5, %ecx\n rep insl")
        PIECE("insb no times", "xorl %ecx, %ecx\n stc\n rep insb")
        PIECE("insb with lock", "cmpl %eax, %esp\n .byte 0xf0\n insb")
        PIECE("outsb of nothing", "movl $0x7000, %esi\n cmpb $6, %al\n outsb")
        PIECE("rep outsw", "movq %rdi, %rsi\n movl $5, %ecx\n rep outsw")
        PIECE("cli", "cli")
        PIECE("sti", "sti")
        PIECE("hlt", "hlt")
        PIECE("mov rax, cr3", "movq %cr3, %rax")
        PIECE("mov dr7, rax", "movq %rax, %dr7")
        PIECE("clts", "clts")
        PIECE("lgdt", "lgdt (%rdi)")
        PIECE("ltr", "ltr %ax")
        PIECE("rdmsr", "rdmsr")
        PIECE("wrmsr", "wrmsr")
        PIECE("rdpmc", "rdpmc")
        PIECE("swapgs", "swapgs")
        PIECE("invlpg", "invlpg (%rdi)")
        PIECE("wbinvd", "wbinvd")
        PIECE("xsetbv", "xsetbv")
        PIECE("sysret", "sysretq")
        PIECE("sysenter", "sysenter")
        PIECE("sysexit", "sysexitq")
        PIECE("vmcall", "movl $0x32, %eax\n xorl %edi, %edi\n xorl %esi, %esi\n vmcall")
        PIECE("int 0x82", "movl $0x32, %eax\n int $0x82")
        PIECE("a stub", "leaq 0x640(%rsi), %rax\n call *%rax")
        PIECE("the hole, read", "movq -4096(%rsi), %rax")
        PIECE("the hole, written", "movq %rax, -4096(%rsi)")
        PIECE("kernel memory", "movq stubs, %rax")
        PIECE("kernel memory, written", "movq %rax, came")
        PIECE("own code, written", "movq %rax, user_code")
        PIECE("nothing", "movq 0x7f0000000000, %rax")
        PIECE("not canonical", "movq $1, %rax\n rolq $50, %rax\n movq (%rax), %rax")
        PIECE("divide", "xorl %ecx, %ecx\n divl %ecx")
        PIECE("int3", "int3")
        PIECE("int1", ".byte 0xf1")
        PIECE("int 3 in two bytes", ".byte 0xcd, 3")
        PIECE("int 13", "int $13")
        PIECE("int 14", "int $14")
        PIECE("int 0x80", "movl $7, %eax\n int $0x80")
        PIECE("int 0x81", "int $0x81")
        PIECE("int 0xff", "int $0xff")
        PIECE("syscall", "stc\n movl $7, %eax\n movl $9, %edx\n syscall")
        PIECE("single step", "pushfq\n orl $0x100, (%rsp)\n popfq\n nop\n nop")
        PIECE("kernel data segment", "movl $0x11, %eax\n movl %eax, %ds")
        PIECE("null ss", "xorl %eax, %eax\n movl %eax, %ss")
        PIECE("far jump to the kernel", "pushq $9\n leaq user_code(%rip), %rax\n pushq %rax\n lretq")
        PIECE("iret to the kernel",
              "pushq $0x11\n pushq %rsp\n pushq $2\n pushq $9\n leaq user_code(%rip), %rax\n pushq %rax\n iretq")
        PIECE("iret within", "movq %rsp, %rax\n pushq $0x1b\n pushq %rax\n pushq $0x3246\n pushq $0x23\n"
                             " leaq 4f(%rip), %rax\n pushq %rax\n iretq\n 4: ud2")
        PIECE("iret to virtual-8086 mode",
              "pushq $0\n movl $0x20002, %eax\n subq $16, %rsp\n movl $0x1000, (%rsp)\n movl $0x100, 4(%rsp)\n"
              " movl %eax, 8(%rsp)\n iretl")
        PIECE("32-bit code", "pushq $0x2b\n leaq 4f(%rip), %rax\n pushq %rax\n lretq\n .code32\n 4: movl $6, %eax\n .byte 0x40\n"
                             " int $0x80\n .code64\n")
        PIECE("32-bit syscall", "pushq $0x2b\n leaq 4f(%rip), %rax\n pushq %rax\n lretq\n 4: syscall")
        PIECE("32-bit out", "pushq $0x2b\n leaq 4f(%rip), %rax\n pushq %rax\n lretq\n 4: outb %al, $0x80")
        PIECE("popf", "pushq $0x3ed7\n popfq\n pushfq\n popq %rax\n int $0x80")
        ".balign 4096\n"
        ".section .rodata.pieces, \"a\"\n.quad 0, 0\n"
        ".data\n.balign 4096\n.globl user_data\nuser_data: .quad 0x1111, 0x2222\n.skip 4080\n"
        ".text\n");

static void set_up(void)
{
    static struct pv_trap_entry entries[256];
    for (unsigned i = 0; i < 256; i++)
        entries[i] = (struct pv_trap_entry){
            .handler = i < 32 || i == 0x80 || i == 0x81 ? (uint64_t)(stubs + i * STUB_BYTES) : 0,
            .vector = (uint8_t)i,
            .flags = (uint8_t)(PV_TRAP_MASK | (i == 3 || i == 0x80 ? PV_TRAP_USER_INT : 0)),
        };
    pv_printf("trap table %ld, system calls %ld, stack %ld, upcall %ld\n", pv_trap_table(entries, 256),
              pv_syscall_set((uint64_t)(stubs + SYSCALL * STUB_BYTES), PV_TRAP_MASK),
              pv_stack_set((uint64_t)(kernel_stack + sizeof kernel_stack)),
              pv_upcall_set((uint64_t)(stubs + UPCALL * STUB_BYTES)));
    pv_printf("bases %ld, %ld, %ld\n", pv_segment_base_set(PV_SEGMENT_FS, (uint64_t)user_data),
              pv_segment_base_set(PV_SEGMENT_GS, (uint64_t)&came),
              pv_segment_base_set(PV_SEGMENT_USER_GS, (uint64_t)user_data));
}

static uint64_t gs_word(void)
{
    uint64_t word;
    __asm__ volatile("movq %%gs:%c1, %0" : "=r"(word) : "i"(__builtin_offsetof(struct came, number)));
    return word;
}

static void place(const char *what, uint64_t address, const struct piece *piece)
{
    if (address - (uint64_t)piece->start < 64)
        pv_printf(", %s +%lu", what, address - (uint64_t)piece->start);
    else if (address - (uint64_t)user_code < 8192)
        pv_printf(", %s in user code", what);
    else if (address >= 0x200000 && address < 0x300000)
        pv_printf(", %s in the kernel", what);
    else
        pv_printf(", %s %lx", what, address);
}

static void run(const struct piece *piece)
{
    to = (struct pv_iret_frame){.rdi = (uint64_t)user_data, .rip = (uint64_t)piece->start, .cs = PV_USER_CS,
                                .rflags = IF | 2, .rsp = (uint64_t)user_data + 4096, .ss = PV_USER_SS, .rax = 7};
    pv_shared->vcpu[0].upcall_mask = 0;
    uint64_t first = *(uint64_t *)user_data;
    int64_t result = enter(&to);
    if (result != 0) {
        pv_printf("%s: IRET gives %ld\n", piece->name, result);
        return;
    }
    pv_printf("%s: vector %lu, error %lx, cs %lx, ss %lx, rflags %lx, masked %d", piece->name, came.number,
              came.frame.error_code, came.frame.cs, came.frame.ss, came.frame.rflags & ~0x8d4ul,
              pv_shared->vcpu[0].upcall_mask);
    place("rip", came.frame.rip, piece);
    if (came.number == 14)
        place("cr2", pv_shared->vcpu[0].cr2, piece);
    if (came.number >= 0x80)
        pv_printf(", rax %lx, rdx %lx", came.rax, came.rdx);
    if (came.number == SYSCALL)
        pv_printf(", rcx and r11 %d", came.rcx == came.frame.rip && came.r11 == came.frame.rflags);
    if (*(uint64_t *)user_data != first)
        pv_printf(", memory changed");
    pv_printf(gs_word() == came.number ? "\n" : ", GS is wrong\n");
    *(uint64_t *)user_data = 0x1111;
}

int main(void)
{
    set_up();
    for (const struct piece *piece = pieces; piece->name != NULL; piece++)
        run(piece);
    return 0;
}
