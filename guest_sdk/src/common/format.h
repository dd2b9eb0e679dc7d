/* SPDX-License-Identifier: MIT */
/* Formatting without a destination: what pv_printf and pv_snprintf share. */
#ifndef PV_SRC_FORMAT_H
#define PV_SRC_FORMAT_H

#include <stdarg.h>
#include <stddef.h>

/* Takes SIZE characters of text; STATE is whatever the taker needs. */
typedef void pv_taker(void *state, const char *text, size_t size);

/* Hand the formatted text to TAKE, piece by piece. Returns its whole length. */
int pv_format(pv_taker *take, void *state, const char *format, va_list arguments);

#endif /* PV_SRC_FORMAT_H */
