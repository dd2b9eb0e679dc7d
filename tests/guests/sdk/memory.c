/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages and address spaces by pv/memory.h. */
#include <pv/error.h>
#include <pv/interrupt.h>
#include <pv/memory.h>
#include <pv/printf.h>

#define HERE  PV_SPACE_START
#define THERE (PV_SPACE_START + 0x40000000)

static volatile uint64_t *const here = (uint64_t *)HERE;
static uint64_t last_error, n_faults;

/* A fault is noted and its instruction, which is always `mov` of three bytes, left out. */
static void fault(struct pv_trap_frame *frame)
{
    n_faults++;
    last_error = frame->error;
    frame->rip += 3;
}

static uint64_t read(uint64_t address)
{
    uint64_t value = 0xdead;
    __asm__ volatile("movq (%1), %0" : "+a"(value) : "b"(address) : "memory");
    return value;
}

static void write(uint64_t address, uint64_t value)
{
    __asm__ volatile("movq %0, (%1)" : : "a"(value), "b"(address) : "memory");
}

static void show(const char *what, uint64_t value)
{
    pv_printf("%s: %lx, faults %lu, error %lx\n", what, value, n_faults, last_error);
    n_faults = last_error = 0;
}

static void pages(void)
{
    size_t left = pv_pages_left();
    uint64_t *a = pv_page_alloc(), *b = pv_page_alloc();
    pv_printf("two pages: %d, %lu fewer, apart %d, zero %lu\n", a != b, left - pv_pages_left(),
              (uintptr_t)a % 4096 == 0 && (uintptr_t)b % 4096 == 0, a[0] | b[511]);
    a[0] = a[511] = ~0ull;
    pv_page_free(a);
    a = pv_page_alloc();
    pv_printf("zero again: %lx\n", a[0] | a[511]);
    pv_page_free(a);
    pv_page_free(b);
    pv_page_free(NULL);
    pv_printf("left: %d\n", left == pv_pages_left());
    void **list = NULL;
    size_t n = 0;
    for (void **page; (page = pv_page_alloc()) != NULL; n++) {
        *page = list;
        list = page;
    }
    pv_printf("all of them: %d, then %lu\n", n == left, pv_pages_left());
    pv_printf("no space: %d\n", pv_space_create() == NULL);
    pv_printf("no table: %d\n", pv_page_map(pv_space_kernel(), HERE, (uintptr_t)list, 0));
    while (list != NULL) {
        void **page = list;
        list = *list;
        pv_page_free(page);
    }
    pv_printf("given back: %d\n", left == pv_pages_left());
}

static void refusals(struct pv_space *space, uint64_t page)
{
    pv_printf("refused: %d %d %d %d %d %d\n", pv_page_map(space, HERE + 1, page, 0), pv_page_map(space, HERE, page + 8, 0),
              pv_page_map(space, HERE - 4096, page, 0), pv_page_map(space, PV_SPACE_END, page, 0),
              pv_page_map(space, 0xffff800000000000, page, 0), pv_page_map(space, HERE, page, 0x40));
    pv_printf("not mapped: %d %d %d\n", pv_page_unmap(space, THERE, 0), pv_page_protect(space, THERE, 0),
              pv_page_lookup(space, THERE, NULL, NULL));
    pv_printf("flags: %d\n", pv_page_unmap(space, HERE, PV_MAP_WRITE));
}

static void flags_of(struct pv_space *space, const char *what)
{
    uint64_t physical = 0;
    unsigned flags = 0;
    int error = pv_page_lookup(space, HERE, &physical, &flags);
    pv_printf("%s: %d, flags %x\n", what, error, flags);
}

static void one_space(void)
{
    struct pv_space *space = pv_space_kernel();
    uint64_t *a = pv_page_alloc(), *b = pv_page_alloc();
    pv_printf("current: %d\n", pv_space_current() == space);
    show("before", read(HERE));
    a[3] = 0xa;
    b[3] = 0xb;
    refusals(space, (uintptr_t)a);
    pv_printf("map: %d\n", pv_page_map(space, HERE, (uintptr_t)a, 0));
    pv_printf("again: %d\n", pv_page_map(space, HERE, (uintptr_t)b, 0));
    flags_of(space, "fresh");
    show("read", read(HERE + 24));
    flags_of(space, "accessed");
    write(HERE + 24, 1);
    show("write to a page that can be read", a[3]);
    pv_printf("protect: %d\n", pv_page_protect(space, HERE, PV_MAP_WRITE));
    write(HERE + 24, 2);
    show("write", a[3]);
    flags_of(space, "dirty");
    pv_printf("protect: %d\n", pv_page_protect(space, HERE, 0));
    write(HERE + 24, 3);
    show("write after protection", a[3]);
    pv_printf("unmap: %d\n", pv_page_unmap(space, HERE, 0));
    show("after", read(HERE + 24));
    pv_printf("map the other: %d\n", pv_page_map(space, HERE, (uintptr_t)b, PV_MAP_WRITE));
    show("read", read(HERE + 24));
    pv_page_unmap(space, HERE, PV_MAP_LATER);
    pv_page_map(space, HERE, (uintptr_t)a, PV_MAP_LATER);
    pv_space_flush(space);
    show("later", read(HERE + 24));
    pv_page_unmap(space, HERE, 0);
    pv_page_free(a);
    pv_page_free(b);
}

static void run_code(void)
{
    uint8_t *page = pv_page_alloc();
    page[0] = 0xb8, page[1] = 42, page[5] = 0xc3; /* mov $42, %eax; ret */
    pv_page_map(pv_space_kernel(), THERE, (uintptr_t)page, PV_MAP_EXECUTE);
    pv_printf("code in a page: %d\n", ((int (*)(void))THERE)());
    pv_page_unmap(pv_space_kernel(), THERE, 0);
    pv_page_free(page);
}

static void two_spaces(void)
{
    size_t left = pv_pages_left();
    struct pv_space *one = pv_space_create(), *two = pv_space_create();
    uint64_t *a = pv_page_alloc(), *b = pv_page_alloc();
    a[0] = 1, b[0] = 2;
    pv_page_map(one, HERE, (uintptr_t)a, PV_MAP_WRITE);
    pv_page_map(two, HERE, (uintptr_t)b, PV_MAP_WRITE);
    pv_space_switch(one);
    show("one", read(HERE));
    here[1] = 11;
    pv_space_switch(two);
    show("two", read(HERE));
    pv_printf("the other's: %lu, its own: %lu\n", a[1], b[1]);
    pv_page_unmap(one, HERE, 0);
    show("two, when one is unmapped", read(HERE));
    pv_printf("destroy the current one: %d, the kernel's: %d\n", pv_space_destroy(two),
              pv_space_destroy(pv_space_kernel()));
    pv_space_switch(one);
    show("one, unmapped", read(HERE));
    pv_space_switch(pv_space_kernel());
    pv_printf("destroyed: %d %d\n", pv_space_destroy(one), pv_space_destroy(two));
    pv_page_free(a);
    pv_page_free(b);
    pv_printf("left: %d\n", left == pv_pages_left());
}

int main(void)
{
    if (pv_pages_left() == 0 || pv_trap_set(PV_TRAP_PAGE, fault) != 0)
        return 1;
    pages();
    one_space();
    run_code();
    two_spaces();
    return 0;
}
