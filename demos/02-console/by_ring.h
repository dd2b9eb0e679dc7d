/* SPDX-License-Identifier: MIT */
/* The third way to the console, which only one of the two machines has. */
#ifndef BY_RING_H
#define BY_RING_H

#include <stddef.h>

/* Print SIZE bytes. */
void print_by_ring(const char *text, size_t size);

/* Wait for a line of input, and put it with a NUL in place of its end into LINE, cut if it is longer. */
void read_by_ring(char *line, size_t size);

#endif /* BY_RING_H */
