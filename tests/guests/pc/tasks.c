/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Task switches by the CPU (SDM 3A chapter 7): JMP, CALL, INT and exceptions to tasks and back, what is saved where,
 * and each check with its error. The exceptions of this guest are tasks themselves, so that each is caught on a
 * stack of its own, whatever the task that it came from was like.
 */
#include "user.h"

enum { SECOND = 0x1c0, GATE = 0x1c8, SPARE = 0x1e0, CATCHERS = 0x180 };
enum { NT = 0x4000, TS = 8, LDT = 0x170 };

static volatile struct task_state second, catchers[5];
static uint8_t second_stack[4096], catcher_stacks[5][2048];
static uint64_t local_table[4];
volatile word inside_flags, inside_tr, inside_cr0, inside_bx, inside_sp, inside_cs, inside_ds, inside_gs, inside_link;
volatile word inside_ldt, caught, caught_error, caught_tr, caught_dr6, resume_ip;
void catch_all(void);
extern const char task[], jump_back[], after_return[], catch_1[], catch_8[], catch_10[], catch_11[], catch_12[], catch_13[];

__asm__(".text\n"
        ".macro look\n"
        "pushf; pop inside_flags; mov %ebx, inside_bx; mov %esp, inside_sp\n"
        "mov %cr0, %eax; mov %eax, inside_cr0; clts\n"
        "xor %eax, %eax; str %ax; mov %eax, inside_tr; sldt %ax; mov %eax, inside_ldt\n"
        "mov %cs, %eax; mov %eax, inside_cs; mov %ds, %eax; mov %eax, inside_ds; mov %gs, %eax; mov %eax, inside_gs\n"
        ".endm\n"
        "task: look\n"
        "iret\n"
        "after_return: incl inside_link; iret\n"
        "jump_back: look\n"
        "ljmp $0xb0, $0\n"
        ".macro catcher vector, pops=1\n"
        "catch_\\vector: movl $\\vector, caught\n"
        ".if \\pops; pop caught_error; .endif\n"
        "clts; call catch_all; ljmp $0xb0, $0; jmp catch_\\vector\n"
        ".endm\n"
        "catcher 8; catcher 10; catcher 11; catcher 12; catcher 13; catcher 1, 0\n"
        ".previous\n");

static const uint8_t catcher_vector[5] = {8, 10, 11, 12, 13};

static bool busy(unsigned selector)
{
    return gdt[selector >> 3] >> 41 & 1;
}

static void set_busy(unsigned selector, bool on)
{
    gdt[selector >> 3] = (gdt[selector >> 3] & ~(1ull << 41)) | (uint64_t)on << 41;
}

/* In a catcher: the main task goes on behind the instruction, whether it is the one that was left, or not. */
void catch_all(void)
{
    uint16_t tr;
    __asm__ volatile("str %0" : "=r"(tr));
    for (unsigned i = 0; i < 5; i++)
        if (tr == CATCHERS + 8 * i)
            caught_tr = catchers[i].link & 0xffff;
    task_state.ip = resume_ip;
    set_busy(TSS, false);
    __asm__ volatile("mov %%db6, %0" : "=r"(caught_dr6));
    __asm__ volatile("mov %0, %%db6" : : "r"(0xffff0ff0));
}

static void begin_task(volatile struct task_state *t, const void *ip, const void *stack_end, unsigned cs, unsigned data)
{
    t->ip = (word)ip;
    t->flags = 2;
    t->cr3 = read_cr3();
    t->registers[4] = (word)stack_end; /* AX CX DX BX SP BP SI DI */
    t->registers[3] = 0xb0b0b0b0;
    for (unsigned i = 0; i < 6; i++) /* ES CS SS DS FS GS */
        t->segments[i] = data;
    t->segments[1] = cs;
    t->table = 0;
    t->trap = 0;
    t->sp0 = (word)second_stack + 2048;
    t->ss0 = DATA;
    t->io_map_at = 104;
}

static void prepare(void)
{
    begin_task(&second, task, second_stack + sizeof second_stack, CODE, DATA);
    second.segments[5] = 0;
    set_segment(SECOND, (word)&second, 103, 0x89, 0);
    set_segment(GATE, 0, 0, 0, 0);
    gdt[GATE >> 3] = (uint64_t)SECOND << 16 | 0xe5ull << 40; /* DPL 3 */
    gdt_register.limit = 64 * 8 - 1;
    for (unsigned i = 0; i < 5; i++)
        set_busy(CATCHERS + 8 * i, false);
    task_state.cr3 = read_cr3();
}

/* Runs INSNS; what is in there may go to another task, which comes back, or fail. */
#define GO(name, insns, ...)                                                                                  \
    do {                                                                                                      \
        caught = caught_error = caught_tr = caught_dr6 = inside_tr = 0;                                       \
        __asm__ volatile("pusha; movl $9f, resume_ip; " insns "; 9: popa" : : __VA_ARGS__ : "memory", "cc");  \
        tell(name);                                                                                           \
    } while (0)

static void tell(const char *name)
{
    print(name);
    if (inside_tr) {
        print(": ran in ");
        print_hex(inside_tr);
    }
    if (caught) {
        print(": vector ");
        print_hex(caught);
        print(", error ");
        print_hex(caught_error);
        print(", in ");
        print_hex(caught_tr);
    }
    if (!inside_tr && !caught)
        print(": nothing");
    print("\n");
}

static void look_around(void)
{
    show("  NT", inside_flags & NT);
    show("  TS", inside_cr0 & TS);
    show("  BX", inside_bx);
    show("  SP from its end", (word)second_stack + sizeof second_stack - inside_sp);
    show("  CS", inside_cs);
    show("  DS", inside_ds);
    show("  GS", inside_gs);
    show("  back link", second.link & 0xffff);
    show("  now busy: the main task", busy(TSS));
    show("  the second task", busy(SECOND));
    uint16_t tr;
    __asm__ volatile("str %0" : "=r"(tr));
    show("  TR", tr);
    word flags;
    __asm__ volatile("pushf; pop %0" : "=r"(flags));
    show("  NT behind it", flags & NT);
    show("  NT in the TSS that was left", second.flags & NT);
    show("  it goes on behind its IRET", second.ip == (word)after_return);
}

static void ways(void)
{
    prepare();
    GO("CALL to a TSS", "lcall $0x1c0, $0x1234");
    look_around();
    prepare();
    second.ip = (word)jump_back;
    GO("JMP to a TSS", "ljmp $0x1c0, $0");
    look_around();
    show("  the main task has its BX", task_state.registers[3] != 0xb0b0b0b0);
    prepare();
    second.link = 0x999;
    GO("CALL by a task gate", "lcall $0x1c8, $0");
    look_around();
    prepare();
    second.ip = (word)jump_back;
    GO("JMP by a task gate", "ljmp $0x1c8, $0");
    prepare();
    set_gate(0x31, 0, SECOND, 0xe5, 0);
    GO("INT by a task gate", "int $0x31");
    look_around();
    GO("once more, where it was left", "int $0x31");
    prepare();
    RUN_USER("int $0x31");
    tell("INT from ring 3");
    show("  CS saved", task_state.segments[1] & 0xffff);
    prepare();
    inside_tr = 0;
    RUN_USER("lcall $0x1c8, $0");
    tell("CALL from ring 3, by a gate for it");
    prepare();
    begin_task(&second, task, user_stack + sizeof user_stack, USER_CODE, USER_DATA);
    second.ip = (word)after_return;
    GO("a task in ring 3", "lcall $0x1c0, $0");
    show("  its CS", second.segments[1] & 0xffff);
    show("  its SS", second.segments[2] & 0xffff);
    show("  it is left", second.ip == (word)after_return + 7);
    prepare();
    second.flags = 0x246;
    GO("flags of the new task", "stc; lcall $0x1c0, $0");
    show("  inside", inside_flags & 0xfd5);
    show("  saved", task_state.flags & 0x4fd5);
    __asm__ volatile("cli");
    prepare();
    second.table = LDT;
    set_local(local_table, 0xc, 0, 0xfffff, 0xf2, 0xc);
    set_segment(LDT, (word)local_table, sizeof local_table - 1, 0x82, 0);
    second.segments[5] = 0xc;
    GO("with an LDT", "lcall $0x1c0, $0");
    show("  LDTR", inside_ldt);
    show("  GS", inside_gs);
    __asm__ volatile("lldt %w0" : : "r"(0));
}

static void bad_target(void)
{
    prepare();
    GO("JMP to itself", "ljmp $0xb0, $0");
    set_busy(SECOND, true);
    GO("CALL to a busy task", "lcall $0x1c0, $0");
    GO("CALL to it by a gate", "lcall $0x1c8, $0");
    GO("INT to it", "int $0x31");
    prepare();
    set_segment(SECOND, (word)&second, 103, 0x09, 0);
    GO("not present: CALL", "lcall $0x1c0, $0");
    GO("  by a gate", "lcall $0x1c8, $0");
    GO("  INT", "int $0x31");
    prepare();
    set_segment(SECOND, (word)&second, 102, 0x89, 0);
    GO("too small: CALL", "lcall $0x1c0, $0");
    GO("  INT", "int $0x31");
    prepare();
    gdt[GATE >> 3] = (uint64_t)SECOND << 16 | 0x65ull << 40;
    GO("a gate that is not present", "lcall $0x1c8, $0");
    set_gate(0x31, 0, SECOND, 0x65, 0);
    GO("  INT", "int $0x31");
    set_gate(0x31, 0, 4 | SECOND, 0xe5, 0);
    GO("a gate to a local TSS: INT", "int $0x31");
    gdt[GATE >> 3] = (uint64_t)(SECOND | 4) << 16 | 0xe5ull << 40;
    set_gate(0x31, 0, 0x1000, 0xe5, 0);
    GO("a gate beyond the table: INT", "int $0x31");
    gdt[GATE >> 3] = (uint64_t)0x1000 << 16 | 0xe5ull << 40;
    GO("  CALL", "lcall $0x1c8, $0");
    set_gate(0x31, 0, DATA, 0xe5, 0);
    GO("a gate to data: INT", "int $0x31");
    set_gate(0x31, 0, SECOND, 0xe5, 0);
    prepare();
    caught = inside_tr = 0;
    RUN_USER("movl $1f, resume_ip; lcall $0x1c0, $0; 1:");
    tell("a TSS of ring 0 from ring 3: CALL");
    gdt[GATE >> 3] = (uint64_t)SECOND << 16 | 0x85ull << 40;
    caught = inside_tr = 0;
    RUN_USER("movl $1f, resume_ip; lcall $0x1c8, $0; 1:");
    tell("  by a gate");
    set_gate(0x31, 0, SECOND, 0x85, 0);
    caught = inside_tr = 0;
    RUN_USER("movl $1f, resume_ip; int $0x31; 1:");
    tell("  INT");
}

static void bad_state(void)
{
#define STATE(name, change)                       \
    do {                                          \
        prepare();                                \
        change;                                   \
        GO(name, "lcall $0x1c0, $0");             \
    } while (0)
    STATE("LDT: data", second.table = DATA);
    STATE("LDT: local", second.table = LDT | 4);
    STATE("LDT: beyond the table", second.table = 0x1000);
    STATE("LDT: not present", set_segment(LDT, 0, 15, 0x02, 0); second.table = LDT);
    STATE("CS: null", second.segments[1] = 0);
    STATE("CS: data", second.segments[1] = DATA);
    STATE("CS: beyond the table", second.segments[1] = 0x1000);
    STATE("CS: not present", set_segment(SPARE, 0, 0xfffff, 0x1a, 0xc); second.segments[1] = SPARE);
    STATE("CS: RPL 3, DPL 0", second.segments[1] = CODE | 3);
    STATE("CS: RPL 0, DPL 3", second.segments[1] = USER_CODE & ~3);
    STATE("SS: null", second.segments[2] = 0);
    STATE("SS: code", second.segments[2] = CODE);
    STATE("SS: read-only", set_segment(SPARE, 0, 0xfffff, 0x90, 0xc); second.segments[2] = SPARE);
    STATE("SS: DPL 3", second.segments[2] = USER_DATA);
    STATE("SS: RPL 3", second.segments[2] = DATA | 3);
    STATE("SS: not present", set_segment(SPARE, 0, 0xfffff, 0x12, 0xc); second.segments[2] = SPARE);
    STATE("DS: a TSS", second.segments[3] = TSS);
    STATE("DS: beyond the table", second.segments[3] = 0x1000);
    STATE("DS: code that cannot be read", set_segment(SPARE, 0, 0xfffff, 0x98, 0xc); second.segments[3] = SPARE);
    STATE("ES: not present", set_segment(SPARE, 0, 0xfffff, 0x12, 0xc); second.segments[0] = SPARE);
    STATE("FS: RPL 3", second.segments[4] = DATA | 3);
    STATE("GS: conforming code", set_segment(SPARE, 0, 0xfffff, 0x9e, 0xc); second.segments[5] = SPARE | 3);
    STATE("EIP beyond the limit", set_segment(SPARE, 0, 0xff, 0x9a, 0x4); second.segments[1] = SPARE);
    show("  it was the new one's", (second.segments[1] & 0xffff) == SPARE && second.ip == (word)task);
    STATE("the trap bit", second.trap = 1; set_gate(1, 0, CATCHERS, 0x85, 0); catchers[0].ip = (word)catch_1);
    show("  DR6.BT", caught_dr6 & 0x800f);
    show("  before its first instruction", second.ip == (word)task);
    catchers[0].ip = (word)catch_8;
}

static void returns(void)
{
#define NESTED "pushf; orl $0x4000, (%%esp); popf; iret; 9: pushf; andl $~0x4000, (%%esp); popf; "
#define RETURN(name)                                                                                          \
    do {                                                                                                      \
        caught = inside_tr = 0;                                                                               \
        __asm__ volatile("pusha; movl $9f, resume_ip; " NESTED "popa" : : : "memory", "cc");                  \
        tell(name);                                                                                           \
    } while (0)
    prepare();
    task_state.link = SECOND;
    RETURN("IRET to a task that is not busy");
    task_state.link = 0x1000;
    RETURN("IRET beyond the table");
    task_state.link = SECOND | 4;
    RETURN("IRET to a local task");
    task_state.link = DATA;
    RETURN("IRET to data");
    set_segment(SECOND, (word)&second, 103, 0x0b, 0);
    task_state.link = SECOND;
    RETURN("IRET to one that is not present");
    set_segment(SECOND, (word)&second, 103, 0x8b, 0);
    second.ip = (word)jump_back;
    RETURN("IRET to a busy one");
    show("  NT inside", inside_flags & NT);
    show("  main: NT saved", task_state.flags & NT);
    task_state.link = 0;
}

static void faults(void)
{
    prepare();
    GO("#GP with an error code", "mov $0x1000, %%eax; mov %%eax, %%es");
    GO("#NP with an error code", "mov $0x1e8, %%eax; mov %%eax, %%es");
    set_gate(6, 0, SECOND, 0x85, 0);
    set_segment(SECOND, (word)&second, 103, 0x09, 0);
    GO("#UD by a task gate to a task that is not present", "ud2");
    prepare();
    set_gate(14, 0, SECOND, 0x85, 0);
    second.segments[2] = 0;
    set_gate(13, 0, 0x1000, 0x85, 0);
    GO("#GP that leads nowhere: a double fault", "mov $0x1000, %%eax; mov %%eax, %%es");
    set_gate(13, 0, CATCHERS + 32, 0x85, 0);
}

int main(void)
{
    static const char *const entry[5] = {catch_8, catch_10, catch_11, catch_12, catch_13};
    user_set_up();
    for (unsigned i = 0; i < 5; i++) {
        begin_task(&catchers[i], entry[i], catcher_stacks[i] + sizeof catcher_stacks[i], CODE, DATA);
        set_segment((uint16_t)(CATCHERS + 8 * i), (word)&catchers[i], 103, 0x89, 0);
        set_gate(catcher_vector[i], 0, (uint16_t)(CATCHERS + 8 * i), 0x85, 0);
    }
    ways();
    bad_target();
    bad_state();
    returns();
    faults();
    return 0;
}
