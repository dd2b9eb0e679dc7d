/* SPDX-License-Identifier: GPL-2.0-or-later */
/* User programs by pv/user.h: calls, returns, faults, interrupts, isolation. */
#include <pv/error.h>
#include <pv/printf.h>
#include <pv/string.h>
#include <pv/timer.h>
#include <pv/user.h>

enum { ADD, LEAVE, PUT, NEST };

static int64_t calls(void *context, uint64_t number, const uint64_t a[6])
{
    if (number == ADD)
        return (int64_t)(a[0] + a[1] + a[2]);
    if (number == LEAVE)
        pv_user_leave((int64_t)a[0]);
    if (number == NEST)
        return pv_user_run(context != NULL ? *(struct pv_user **)context : NULL, 0, NULL);
    pv_printf("  user says %lx, interrupts %d\n", a[0], pv_interrupts_enabled());
    return -PV_EINVAL;
}

PV_USER_TEXT static int64_t doubled(int64_t value)
{
    return 2 * value;
}

PV_USER_TEXT static int64_t asks(uint64_t argument)
{
    int64_t sum = 0;
    for (uint64_t i = 0; i < argument; i++)
        sum = pv_user_call(ADD, (uint64_t)sum, i, 1);
    return doubled(sum);
}

PV_USER_TEXT static int64_t leaves(uint64_t argument)
{
    pv_user_call(LEAVE, argument, 0, 0);
    return 0;
}

PV_USER_TEXT static int64_t says(uint64_t argument)
{
    return pv_user_call(PUT, argument, 0, 0);
}

PV_USER_TEXT static int64_t reads(uint64_t argument)
{
    return *(volatile int64_t *)argument;
}

PV_USER_TEXT static int64_t writes(uint64_t argument)
{
    *(volatile int64_t *)argument = 1;
    return 0;
}

PV_USER_TEXT static int64_t forbidden(uint64_t argument)
{
    (void)argument;
    __asm__ volatile("cli");
    return 0;
}

PV_USER_TEXT static int64_t spins(uint64_t argument)
{
    for (;;)
        __asm__ volatile("" : "+r"(argument));
    return 0;
}

PV_USER_TEXT static int64_t nests(uint64_t argument)
{
    (void)argument;
    return pv_user_call(NEST, 0, 0, 0);
}

PV_USER_TEXT static int64_t breaks(uint64_t argument)
{
    uint64_t rbx = argument;
    __asm__ volatile("int3" : "+b"(rbx));
    return (int64_t)rbx;
}

static struct pv_user *function(pv_user_function *f)
{
    return pv_user_create_function(f, calls, NULL);
}

static void run(const char *name, pv_user_function *f, uint64_t argument)
{
    struct pv_trap_frame fault = {0};
    struct pv_user *user = function(f);
    int64_t result = pv_user_run(user, argument, &fault);
    pv_printf("%s: %ld", name, result);
    if (result == -PV_EFAULT)
        pv_printf(", trap %lu, error %lx, address %lx, user %d", fault.trap, fault.error, fault.address,
                  pv_trap_is_user(&fault));
    pv_printf("\n");
    pv_user_destroy(user);
}

static void interrupts_of_user(void *context, struct pv_trap_frame *frame)
{
    if (++*(int *)context == 3 && pv_trap_is_user(frame))
        pv_user_leave(3);
}

static void on_breakpoint(struct pv_trap_frame *frame)
{
    pv_printf("  breakpoint, user %d\n", pv_trap_is_user(frame));
    frame->rbx++;
}

static void map_in(struct pv_trap_frame *frame)
{
    pv_printf("  mapped at %lx\n", frame->address);
    pv_page_map(pv_space_current(), frame->address, (uintptr_t)pv_page_alloc(), PV_MAP_USER | PV_MAP_WRITE);
}

static int64_t not_users(uint64_t argument)
{
    return (int64_t)argument;
}

static void blob(void)
{
    static const uint8_t code[] = {0x48, 0x8d, 0x47, 0x01, 0xc3}; /* lea 1(%rdi), %rax; ret */
    struct pv_user *user = pv_user_create(code, sizeof code, calls, NULL);
    pv_printf("blob: %ld, %ld\n", pv_user_run(user, 41, NULL), pv_user_run(user, 1, NULL));
    pv_user_destroy(user);
    pv_printf("no code: %d, too much: %d, not a user's: %d\n", pv_user_create(code, 0, calls, NULL) == NULL,
              pv_user_create(code, (1u << 30) + 1, calls, NULL) == NULL, function(not_users) == NULL);
}

static void own_page(void)
{
    struct pv_user *user = function(reads);
    int64_t *page = pv_page_alloc();
    page[0] = 1234;
    pv_page_map(pv_user_space(user), PV_USER_CODE + 0x10000000, (uintptr_t)page, PV_MAP_USER);
    pv_printf("a page given: %ld\n", pv_user_run(user, PV_USER_CODE + 0x10000000, NULL));
    pv_page_unmap(pv_user_space(user), PV_USER_CODE + 0x10000000, 0);
    pv_printf("and taken: %ld\n", pv_user_run(user, PV_USER_CODE + 0x10000000, NULL));
    pv_page_map(pv_user_space(user), PV_USER_CODE + 0x10000000, (uintptr_t)page, 0);
    pv_printf("the kernel's: %ld\n", pv_user_run(user, PV_USER_CODE + 0x10000000, NULL));
    pv_user_destroy(user);
    pv_page_free(page);
}

int main(void)
{
    run("asks", asks, 10); /* sets up what stays */
    size_t left = pv_pages_left();
    int n = 0;
    run("asks", asks, 1000);
    run("leaves", leaves, 77);
    run("says", says, 0xbeef);
    run("reads the kernel", reads, 0x200000);
    run("reads nothing", reads, 0);
    run("writes its code", writes, PV_USER_CODE);
    run("reads its stack's end", reads, PV_USER_STACK_END - 8);
    run("reads behind it", reads, PV_USER_STACK_END);
    run("forbidden", forbidden, 0);
    run("breaks", breaks, 1);
    pv_trap_set(PV_TRAP_BREAKPOINT, on_breakpoint);
    run("breaks, handled", breaks, 1);
    pv_timer_set_periodic(1000000, interrupts_of_user, &n);
    run("spins", spins, 0);
    pv_timer_cancel();
    pv_printf("interrupts still disabled: %d\n", !pv_interrupts_enabled());
    struct pv_user *user = NULL;
    user = pv_user_create_function(nests, calls, &user);
    pv_printf("runs already: %ld\n", pv_user_run(user, 0, NULL));
    pv_user_destroy(user);
    blob();
    own_page();
    pv_printf("pages left: %d\n", left == pv_pages_left());
    pv_trap_set(PV_TRAP_PAGE, map_in);
    run("grows", writes, PV_USER_CODE + 0x20000000);
    return 0;
}
