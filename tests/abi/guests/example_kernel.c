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
_Alignas(16) unsigned char second_stack[PV_PAGE_BYTES];
uint64_t now_ns;
uint32_t reply_port;

__asm__("        .pushsection .text\n"
        "        .globl  _start, trap_entry, second_cpu\n"
        "_start: call    begin\n"
        "second_cpu:\n" /* entered like a C function: else it gives up */
        "        lea     8(%rsp), %rax\n"
        "        test    $15, %al\n"
        "        jz      trap_entry\n"
        "        and     $-16, %rsp\n"
        "        call    give_up\n"
        "trap_entry:\n"
        "        and     $-16, %rsp\n"
        "        xor     %edi, %edi\n"
        "        call    end\n"
        "        ud2\n"
        "        .popsection\n");

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
    struct pv_time time;
    if (pv_time_get(&time) == 0)
        now_ns = time.system_ns;
    if (info->features & PV_FEATURE_EVENTS) {
        reply_port = (uint32_t)pv_event_bind_ipi(0);
        pv_event_send(reply_port);
    }
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
