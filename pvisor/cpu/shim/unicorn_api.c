/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loads libunicorn from the wheel: no link-time dependency, so no rpath and no version of our own. */
#include "api.h"
#include "shim.h"

#include <dlfcn.h>

struct unicorn_api unicorn;
static void *library;

int pv_load_unicorn(const char *path, char *error, size_t error_size)
{
    if (unicorn.open)
        return 0;
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        snprintf(error, error_size, "%s", dlerror());
        return -1;
    }
    const struct { const char *name; void **slot; } symbols[] = {
        {"uc_version", (void **)&unicorn.version},
        {"uc_close", (void **)&unicorn.close},
        {"uc_strerror", (void **)&unicorn.strerror},
        {"uc_mem_map_ptr", (void **)&unicorn.mem_map_ptr},
        {"uc_mem_unmap", (void **)&unicorn.mem_unmap},
        {"uc_mmio_map", (void **)&unicorn.mmio_map},
        {"uc_hook_add", (void **)&unicorn.hook_add},
        {"uc_hook_del", (void **)&unicorn.hook_del},
        {"uc_reg_read", (void **)&unicorn.reg_read},
        {"uc_reg_write", (void **)&unicorn.reg_write},
        {"uc_emu_start", (void **)&unicorn.emu_start},
        {"uc_emu_stop", (void **)&unicorn.emu_stop},
        {"uc_ctl", (void **)&unicorn.ctl},
        {"uc_context_alloc", (void **)&unicorn.context_alloc},
        {"uc_context_free", (void **)&unicorn.context_free},
        {"uc_context_save", (void **)&unicorn.context_save},
        {"uc_context_restore", (void **)&unicorn.context_restore},
        {"uc_context_size", (void **)&unicorn.context_size},
        {"uc_open", (void **)&unicorn.open},
    };
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        *symbols[i].slot = dlsym(lib, symbols[i].name);
        if (!*symbols[i].slot) {
            snprintf(error, error_size, "%s has no symbol %s", path, symbols[i].name);
            unicorn.open = NULL;
            return -1;
        }
    }
    library = lib;
    return 0;
}

void *unicorn_symbol(const char *name)
{
    return library ? dlsym(library, name) : NULL;
}

uint32_t pv_unicorn_version(void)
{
    unsigned int major, minor;
    return unicorn.version(&major, &minor);
}
