/* SPDX-License-Identifier: MIT */
/* The local APIC, of which the SDK uses one thing: a CPU can interrupt itself. */
#ifndef PV_SRC_APIC_H
#define PV_SRC_APIC_H

#include <stdbool.h>
#include <stdint.h>

/* Switch it on; NOISE_VECTOR is what it gives for a request that has gone. False: the CPU has none. */
bool pv_apic_start(uint8_t noise_vector);

/* Request the interrupt VECTOR of this CPU. */
void pv_apic_raise(uint8_t vector);

/* The end of an interrupt that pv_apic_raise requested. */
void pv_apic_end(void);

#endif /* PV_SRC_APIC_H */
