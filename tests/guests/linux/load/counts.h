/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many checks there were; one page that all processes share. */
#ifndef LOAD_COUNTS_H
#define LOAD_COUNTS_H

struct counts {
    unsigned n_checks, n_failed;
};

void counts_start(void);
struct counts counts_now(void);

#endif /* LOAD_COUNTS_H */
