# SPDX-License-Identifier: GPL-2.0-or-later
"""The local APIC's registers and messages by name: offsets and bits of SDM 3A chapter 10.

This room has no twin: event channels have no registers.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

ID, VERSION, TPR, APR, PPR, EOI, RRD, LDR, DFR, SVR = (
    0x20, 0x30, 0x80, 0x90, 0xA0, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0,
)  # fmt: skip
ISR, TMR, IRR, ESR, ICR_LOW, ICR_HIGH = 0x100, 0x180, 0x200, 0x280, 0x300, 0x310
LVT, INITIAL_COUNT, CURRENT_COUNT, DIVIDE = 0x320, 0x380, 0x390, 0x3E0
LVT_TIMER, LVT_THERMAL, LVT_PERFORMANCE, LVT_LINT0, LVT_LINT1, LVT_ERROR = range(6)
"""Indices into the local vector table; entry i is at 0x320 + 16 * i."""

VERSION_VALUE = 0x0005_0014
"""Version 0x14, and 5 as the highest index of the local vector table."""
PLAIN = MappingProxyType({
    ID: "id", TPR: "tpr", LDR: "ldr", DFR: "dfr", SVR: "svr", ESR: "esr", ICR_LOW: "icr_low",
    ICR_HIGH: "icr_high", INITIAL_COUNT: "initial_count", DIVIDE: "divide",
})  # fmt: skip
"""Registers that read as they were kept, by their names in pv_apic."""
LVT_WRITABLE = (0x3_00FF, 0x1_07FF, 0x1_07FF, 0x1_A7FF, 0x1_A7FF, 0x1_00FF)
ICR_WRITABLE = 0x000C_CFFF
MASKED, PERIODIC, LEVEL, REMOTE_IRR = 1 << 16, 1 << 17, 1 << 15, 1 << 14
SVR_ENABLE, SVR_WRITABLE = 1 << 8, 0x1FF
FIXED, LOWEST_PRIORITY, SMI, NMI, INIT, START_UP, EXTINT = 0, 1, 2, 4, 5, 6, 7
TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS = range(4)
SEND_ILLEGAL_VECTOR, RECEIVE_ILLEGAL_VECTOR, ILLEGAL_ADDRESS = 1 << 5, 1 << 6, 1 << 7


@dataclass(frozen=True, slots=True)
class Message:
    """An interrupt on its way to local APICs, from an I/O APIC or another CPU."""

    vector: int
    delivery_mode: int = FIXED
    is_level: bool = False
    destination: int = 0
    is_logical: bool = False
