/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The C side of the decoder door: capstone's library from its wheel, loaded when a length is first wanted. */
#include "api.h"
#include "shim.h"

#include <dlfcn.h>
#include <pthread.h>

/* From capstone's stable C API (capstone.h); cs_insn stays opaque, so no version of its header matters. */
enum { CS_ARCH_X86 = 3, CS_MODE_16 = 1 << 1, CS_MODE_32 = 1 << 2, CS_MODE_64 = 1 << 3 };

static struct {
    int (*open)(int arch, int mode, size_t *handle);
    void *(*malloc)(size_t handle);
    bool (*disasm_iter)(size_t handle, const uint8_t **code, size_t *size, uint64_t *address, void *insn);
    size_t handle[3]; /* of 16, 32 and 64 bits */
    void *insn[3];
} capstone;

/* A handle of capstone serves one caller at a time; domains may run on several threads. */
static pthread_mutex_t one_caller = PTHREAD_MUTEX_INITIALIZER;

int pv_load_capstone(const char *path, char *error, size_t error_size)
{
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        snprintf(error, error_size, "%s", dlerror());
        return -1;
    }
    *(void **)&capstone.open = dlsym(lib, "cs_open");
    *(void **)&capstone.malloc = dlsym(lib, "cs_malloc");
    *(void **)&capstone.disasm_iter = dlsym(lib, "cs_disasm_iter");
    if (!capstone.open || !capstone.malloc || !capstone.disasm_iter) {
        snprintf(error, error_size, "%s lacks cs_open, cs_malloc or cs_disasm_iter", path);
        return -1;
    }
    for (int i = 0; i < 3; i++) {
        if (capstone.open(CS_ARCH_X86, CS_MODE_16 << i, &capstone.handle[i])) {
            snprintf(error, error_size, "%s cannot decode x86", path);
            return -1;
        }
        capstone.insn[i] = capstone.malloc(capstone.handle[i]);
    }
    return 0;
}

/* How many whole instructions `code` holds, or -1 where it cannot be decoded. */
int count_instructions(const uint8_t *code, size_t n_bytes, uint32_t width)
{
    uint64_t address = 0;
    int n = 0;
    if (!capstone.disasm_iter)
        return -1;
    pthread_mutex_lock(&one_caller);
    while (n_bytes && n >= 0)
        n = capstone.disasm_iter(capstone.handle[width], &code, &n_bytes, &address, capstone.insn[width]) ? n + 1 : -1;
    pthread_mutex_unlock(&one_caller);
    return n;
}

/* Length of the first instruction in bytes, or 0 where there is none. */
uint32_t instruction_length(const uint8_t *code, size_t n_bytes, uint32_t width)
{
    uint64_t address = 0;
    const uint8_t *begin = code;
    if (!capstone.disasm_iter)
        return 0;
    pthread_mutex_lock(&one_caller);
    bool found = capstone.disasm_iter(capstone.handle[width], &code, &n_bytes, &address, capstone.insn[width]);
    pthread_mutex_unlock(&one_caller);
    return found ? (uint32_t)(code - begin) : 0;
}
