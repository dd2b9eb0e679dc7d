/* SPDX-License-Identifier: MIT */
/*
 * Formatted output, as C's own printf has it:
 *
 *   %[-+ #0][width][.precision][hh h l ll z t j]conversion       width and precision may be *
 *
 * with the conversions d i u o x X c s p %. There is no floating point and no %n. A conversion that is not known is
 * printed as it was written and takes no argument. It is the same in every mode.
 */
#ifndef PV_PRINTF_H
#define PV_PRINTF_H

#include <stdarg.h>
#include <stddef.h>

#ifdef __GNUC__
#define PV_FORMAT(format_index, first_index) __attribute__((format(printf, format_index, first_index)))
#else
#define PV_FORMAT(format_index, first_index)
#endif

/*
 * Print to the console, as pv_write does: it may block for as long, and be called where that may. Returns the number of
 * characters, or a negative error of the console.
 */
int pv_printf(const char *format, ...) PV_FORMAT(1, 2);
int pv_vprintf(const char *format, va_list arguments) PV_FORMAT(1, 0);

/*
 * Print into BUF: at most SIZE - 1 characters and always a NUL, unless SIZE is 0, when BUF is not touched. Returns the
 * length that the whole text has, so a result of SIZE or more says that it was cut. Never waits.
 */
int pv_snprintf(char *buf, size_t size, const char *format, ...) PV_FORMAT(3, 4);
int pv_vsnprintf(char *buf, size_t size, const char *format, va_list arguments) PV_FORMAT(3, 0);

#endif /* PV_PRINTF_H */
