# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls about the ABI itself."""

from __future__ import annotations

from pvisor.abi.errnos import EINVAL
from pvisor.abi.model import Constant, Hypercall, Struct, u32

CONSTANTS: tuple[Constant, ...] = ()

STRUCTS: tuple[Struct, ...] = ()

ABI_VERSION = Hypercall(
    nr=0x00,
    name="ABI_VERSION",
    summary="Which version of the ABI is this?",
    args=(),
    result="the ABI version, `PV_ABI_VERSION` or greater",
    replaces="`CPUID` (leaf 0x40000001), which traps or is intercepted",
    example="if (pv_abi_version() < PV_ABI_VERSION)\n    return 1;",
)

FEATURES = Hypercall(
    nr=0x01,
    name="FEATURES",
    summary="Which features are offered?",
    args=(u32("word", "which 64 feature bits: 0 for features 0 to 63, 1 for the next 64, and so on"),),
    result="the 64 bits of that word; 0 for a word that no feature has reached yet",
    errors={EINVAL: "`word` has bits above bit 31"},
    notes=(
        "The result is a bit set and uses all 64 bits, except that bit 63 of every word stays 0: a negative "
        "result is always an error.",
        "Word 0 is the same as CPUID leaf 0x40000002 and `pv_start_info.features`.",
    ),
    replaces="`CPUID` (leaf 0x40000002), which traps or is intercepted",
    example="if (pv_features(0) & PV_FEATURE_CONSOLE_INPUT)\n    puts_prompt();",
)

NOOP = Hypercall(
    nr=0x02,
    name="NOOP",
    summary="Do nothing, and return.",
    args=(),
    result="0",
    notes=("It exists to be measured: it is what entering and leaving the hypervisor costs.",),
    replaces="`CLI` or `STI`: the cheapest instruction that exits",
    example="for (int i = 0; i < 1000; i++)\n    pv_noop();",
)

CALLS: tuple[Hypercall, ...] = (ABI_VERSION, FEATURES, NOOP)
