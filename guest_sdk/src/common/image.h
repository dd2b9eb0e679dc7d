/* SPDX-License-Identifier: MIT */
/* The kernel image's parts, as the linker script lays them out; each begins on a page boundary. */
#ifndef PV_SRC_IMAGE_H
#define PV_SRC_IMAGE_H

extern const char __image_start[];
extern const char __text_start[], __text_end[];     /* read-only, executable */
extern const char __rodata_start[], __rodata_end[]; /* read-only */
extern const char __data_start[], __data_end[];     /* writable: .data and .bss */
extern const char __image_end[];

/* Full only; in para the hypervisor provides the stack. */
extern const char __stack_guard[]; /* a page that is never mapped */
extern const char __stack_bottom[], __stack_top[];

#endif /* PV_SRC_IMAGE_H */
