/* SPDX-License-Identifier: MIT */
/*
 * The end of a run. Full and hybrid: I/O ports 0x604 (power-off) and 0xf4 (status). Para: SHUTDOWN. Either way pvisor
 * ends with the same exit status, and full keeps it on a stock QEMU with
 * `-device isa-debug-exit,iobase=0xf4,iosize=4`. Both functions may be called anywhere, and neither returns.
 */
#ifndef PV_POWER_H
#define PV_POWER_H

/*
 * Switch off. What main() returns is given to it. The exit status is 0 for STATUS 0, and ((STATUS << 1) | 1) & 255 for
 * any other.
 */
_Noreturn void pv_exit(int status);

/*
 * Give up: print WHY on a line of its own, and end as a crash, which pvisor reports with registers and a backtrace
 * (exit status 134). On a PC this is a triple fault, the only way a PC has to say so.
 */
_Noreturn void pv_crash(const char *why);

#endif /* PV_POWER_H */
