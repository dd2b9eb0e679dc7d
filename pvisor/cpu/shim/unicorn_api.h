/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The part of Unicorn's C API that the shim uses, resolved from the wheel's library at run time. */
#ifndef PV_UNICORN_API_H
#define PV_UNICORN_API_H
#include <unicorn/unicorn.h>

struct unicorn_api {
    unsigned int (*version)(unsigned int *major, unsigned int *minor);
    uc_err (*open)(uc_arch arch, uc_mode mode, uc_engine **uc);
    uc_err (*close)(uc_engine *uc);
    const char *(*strerror)(uc_err code);
    uc_err (*mem_map_ptr)(uc_engine *uc, uint64_t address, uint64_t size, uint32_t perms, void *ptr);
    uc_err (*mem_unmap)(uc_engine *uc, uint64_t address, uint64_t size);
    uc_err (*mmio_map)(uc_engine *uc, uint64_t address, uint64_t size, uc_cb_mmio_read_t read_cb, void *read_user,
                       uc_cb_mmio_write_t write_cb, void *write_user);
    uc_err (*hook_add)(uc_engine *uc, uc_hook *hh, int type, void *callback, void *user_data,
                       uint64_t begin, uint64_t end, ...);
    uc_err (*hook_del)(uc_engine *uc, uc_hook hh);
    uc_err (*reg_read)(uc_engine *uc, int regid, void *value);
    uc_err (*reg_write)(uc_engine *uc, int regid, const void *value);
    uc_err (*emu_start)(uc_engine *uc, uint64_t begin, uint64_t until, uint64_t timeout, size_t count);
    uc_err (*emu_stop)(uc_engine *uc);
    uc_err (*ctl)(uc_engine *uc, uc_control_type control, ...);
    uc_err (*context_alloc)(uc_engine *uc, uc_context **context);
    uc_err (*context_free)(uc_context *context);
    uc_err (*context_save)(uc_engine *uc, uc_context *context);
    uc_err (*context_restore)(uc_engine *uc, uc_context *context);
    size_t (*context_size)(uc_engine *uc);
};

/* Filled once by pv_load_unicorn, constant afterwards. */
extern struct unicorn_api unicorn;

/* A symbol of the loaded library that its headers do not name, or NULL. */
void *unicorn_symbol(const char *name);
#endif
