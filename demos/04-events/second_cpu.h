/* SPDX-License-Identifier: MIT */
#ifndef SECOND_CPU_H
#define SECOND_CPU_H

/* Start a second virtual CPU, and send signals to and fro; without a word where there is none. */
void second_cpu(void);

#endif /* SECOND_CPU_H */
