/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel around an example, out of nothing but the generated headers: a note, a way to C, an end. */
#include "example.h"

__attribute__((section(".note.pvisor"), used, aligned(4))) static const struct {
    uint32_t name_bytes, body_bytes, type;
    char name[8];
    uint32_t abi_version, reserved, needed_features[2];
} note = {7, sizeof(struct pv_elf_note), PV_ELF_NOTE_TYPE, PV_ELF_NOTE_NAME, PV_ABI_VERSION, 0, {0, 0}};

const unsigned char *pv_hypercall_page;
const struct pv_start_info *start;
struct pv_shared_info *shared;
volatile int done = 1;

__asm__("        .pushsection .text\n"
        "        .globl  _start, trap_entry, other_vcpu_entry\n"
        "_start: call    begin\n"
        "trap_entry:\n"
        "other_vcpu_entry:\n"
        "        and     $-16, %rsp\n"
        "        xor     %edi, %edi\n"
        "        call    end\n"
        "        ud2\n"
        "        .popsection\n"
        "        .local  spare_stack\n"
        "        .comm   spare_stack, 4096, 16\n"
        "        .globl  spare_stack_end\n"
        "        .set    spare_stack_end, spare_stack + 4096\n");

void begin(const struct pv_start_info *info);
void end(int status);

void end(int status)
{
    pv_shutdown(PV_SHUTDOWN_POWEROFF, (uint32_t)status);
}

void begin(const struct pv_start_info *info)
{
    pv_hypercall_page = (const unsigned char *)info->hypercall_page;
    start = info;
    shared = (struct pv_shared_info *)info->shared_info;
    end(example());
}

uint64_t frame(unsigned index)
{
    return start->first_free + (uint64_t)index * PV_PAGE_BYTES;
}

void give_up(void)
{
    end(1);
}

void use(uint64_t number)
{
    (void)number;
}

void handle(unsigned char byte)
{
    (void)byte;
}

void puts_prompt(void)
{
}
