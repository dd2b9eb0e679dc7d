# SPDX-License-Identifier: GPL-2.0-or-later
"""The optional parts of the ABI, one bit each.

What is not advertised does not work: a call gives -ENOSYS, an instruction #UD.
"""

from __future__ import annotations

from pvisor.abi.model import Feature

RAW_VMCALL = Feature(
    "RAW_VMCALL",
    0,
    "VMCALL works outside the hypercall page as well, with the call's number in EAX. Offered with "
    "`--transport vmcall`.",
)
CONSOLE_INPUT = Feature("CONSOLE_INPUT", 1, "CONSOLE_READ works. Today's pvisor always offers it.")

FEATURES: tuple[Feature, ...] = (RAW_VMCALL, CONSOLE_INPUT)
