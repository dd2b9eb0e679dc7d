/* SPDX-License-Identifier: MIT */
/* User programs: their memory, and running one. How a program is entered and comes back is the wing's (user_ring.h). */
#include <pv/error.h>
#include <pv/string.h>
#include <pv/user.h>

#include "interrupt.h"
#include "user_ring.h"

#define STACK_PAGES   16
#define MAX_CODE      (1u << 30)
#define RETURN_STRIDE 16

/* A program lies at the start of a page of its own. */
struct pv_user {
    struct pv_space *space;
    size_t code_bytes; /* what follows the code, for its return, included */
    uint64_t entry;
    uint64_t stack; /* its stack at the start: the return address is there */
    pv_call_handler *handler;
    void *context;
};

extern const char __user_start[], __user_end[]; /* what PV_USER_TEXT has declared */

/* Machine code that makes of a function's result the system call PV_USER_RETURN. */
extern const char pv_user_return_code[], pv_user_return_code_end[];
__asm__(".pushsection .rodata\n"
        "pv_user_return_code:\n"
        "    movq %rax, %rdi\n"
        "    movq $-1, %rax\n"
        "    syscall\n"
        "pv_user_return_code_end:\n"
        ".popsection");

static struct pv_user *running;
static struct pv_trap_frame *fault_of_run;

static void faulted(const struct pv_trap_frame *frame)
{
    if (fault_of_run != NULL)
        *fault_of_run = *frame;
    pv_user_leave(-PV_EFAULT);
}

static void start(void)
{
    static bool is_started;
    if (is_started)
        return;
    is_started = true;
    pv_interrupt_start();
    pv_user_faulted = faulted;
    pv_user_ring_start();
}

/* Map a fresh page; NULL when there is none. */
static uint8_t *add_page(struct pv_space *space, uint64_t address, unsigned flags)
{
    uint8_t *page = pv_page_alloc();
    if (page != NULL && pv_page_map(space, address, (uintptr_t)page, flags | PV_MAP_USER) != 0) {
        pv_page_free(page);
        return NULL;
    }
    return page;
}

/* Copy bytes to ADDRESS of the program, into pages that are there or made now. */
static bool load(struct pv_space *space, uint64_t address, const char *from, size_t size_bytes)
{
    while (size_bytes > 0) {
        uint64_t page_at = address & ~(uint64_t)(PV_PAGE_SIZE - 1), physical;
        uint8_t *page = pv_page_lookup(space, page_at, &physical, NULL) == 0
                            ? (uint8_t *)physical
                            : add_page(space, page_at, PV_MAP_EXECUTE);
        if (page == NULL)
            return false;
        size_t n = PV_PAGE_SIZE - (address - page_at);
        n = n < size_bytes ? n : size_bytes;
        memcpy(page + (address - page_at), from, n);
        address += n, from += n, size_bytes -= n;
    }
    return true;
}

static bool fill(struct pv_user *user, const char *code, size_t size_bytes)
{
    uint64_t back = PV_USER_CODE + (size_bytes + RETURN_STRIDE - 1) / RETURN_STRIDE * RETURN_STRIDE;
    size_t back_bytes = (size_t)(pv_user_return_code_end - pv_user_return_code);
    uint8_t *top = NULL;

    user->code_bytes = back - PV_USER_CODE + back_bytes;
    if (!load(user->space, PV_USER_CODE, code, size_bytes) || !load(user->space, back, pv_user_return_code, back_bytes))
        return false;
    for (uint64_t i = STACK_PAGES; i > 0; i--) {
        top = add_page(user->space, PV_USER_STACK_END - i * PV_PAGE_SIZE, PV_MAP_WRITE);
        if (top == NULL)
            return false;
    }
    user->stack = PV_USER_STACK_END - 24; /* after a call: a multiple of 16, plus 8 */
    memcpy(top + PV_PAGE_SIZE - 24, &back, sizeof back);
    return true;
}

struct pv_user *pv_user_create(const void *code, size_t size_bytes, pv_call_handler *handler, void *context)
{
    if (size_bytes == 0 || size_bytes > MAX_CODE)
        return NULL;
    start();
    struct pv_user *user = pv_page_alloc();
    if (user == NULL)
        return NULL;
    *user = (struct pv_user){
        .space = pv_space_create(), .entry = PV_USER_CODE, .handler = handler, .context = context};
    if (user->space == NULL || !fill(user, code, size_bytes)) {
        pv_user_destroy(user);
        return NULL;
    }
    return user;
}

struct pv_user *pv_user_create_function(pv_user_function *function, pv_call_handler *handler, void *context)
{
    uint64_t at = (uintptr_t)function, first = (uintptr_t)__user_start;
    if (at < first || at >= (uintptr_t)__user_end)
        return NULL;
    struct pv_user *user = pv_user_create(__user_start, (size_t)(__user_end - __user_start), handler, context);
    if (user != NULL)
        user->entry = PV_USER_CODE + (at - first);
    return user;
}

struct pv_space *pv_user_space(struct pv_user *user)
{
    return user->space;
}

/* Give back the program's own pages in [FIRST, LAST), as far as they are there from the start. */
static void unload(struct pv_space *space, uint64_t first, uint64_t last)
{
    uint64_t physical;
    for (uint64_t at = first; at < last && pv_page_lookup(space, at, &physical, NULL) == 0; at += PV_PAGE_SIZE) {
        pv_page_unmap(space, at, 0);
        pv_page_free((void *)physical);
    }
}

void pv_user_destroy(struct pv_user *user)
{
    if (user == NULL)
        return;
    if (user->space != NULL) {
        unload(user->space, PV_USER_CODE, PV_USER_CODE + user->code_bytes);
        unload(user->space, PV_USER_STACK_END - STACK_PAGES * PV_PAGE_SIZE, PV_USER_STACK_END);
        pv_space_destroy(user->space);
    }
    pv_page_free(user);
}

int64_t pv_user_run(struct pv_user *user, uint64_t argument, struct pv_trap_frame *fault)
{
    if (running != NULL)
        return -PV_EBUSY;
    bool were_enabled = pv_interrupts_enabled();
    struct pv_space *before = pv_space_current();
    running = user;
    fault_of_run = fault;
    pv_space_switch(user->space);
    int64_t result = pv_user_enter(user->entry, user->stack, argument);
    pv_space_switch(before);
    running = NULL;
    pv_interrupts_restore(were_enabled);
    return result;
}

_Noreturn void pv_user_leave(int64_t result)
{
    pv_user_come_back(result);
}

int64_t pv_user_called(uint64_t number, const uint64_t arguments[6])
{
    if (number == PV_USER_RETURN)
        pv_user_leave((int64_t)arguments[0]);
    return running->handler(running->context, number, arguments);
}
