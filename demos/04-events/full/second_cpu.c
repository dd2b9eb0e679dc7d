/* SPDX-License-Identifier: MIT */
/* A PC here has one CPU: a second one would be started by INIT and STARTUP interrupts of the local APIC. */
#include "../second_cpu.h"

void second_cpu(void)
{
}
