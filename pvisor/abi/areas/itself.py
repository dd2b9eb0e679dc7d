# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls about the ABI itself."""

from __future__ import annotations

from pvisor.abi.errnos import EFAULT, EINVAL
from pvisor.abi.features import MULTICALL as MULTICALL_FEATURE
from pvisor.abi.model import Constant, CType, Field, Hypercall, Struct, gva_inout, u32

MSRS = "Model-specific registers of a hybrid guest"

MULTICALL_MAX = Constant("PV_MULTICALL_MAX", 64, "most calls that one MULTICALL makes", "Multicall")

MSR_HYPERCALL_PAGE = Constant(
    "PV_MSR_HYPERCALL_PAGE",
    0x4000_0000,
    "write the GPA of a page, plus which: stubs are put there",
    MSRS,
    is_hex=True,
)
MSR_UPCALL_VECTOR = Constant(
    "PV_MSR_UPCALL_VECTOR",
    0x4000_0001,
    "write a vector of the IDT: upcalls are its interrupts",
    MSRS,
    is_hex=True,
)

CONSTANTS: tuple[Constant, ...] = (MULTICALL_MAX, MSR_HYPERCALL_PAGE, MSR_UPCALL_VECTOR)

MULTICALL_ENTRY = Struct(
    "pv_multicall_entry",
    "One call of a MULTICALL.",
    (
        Field("number", CType.U64, "which call"),
        Field("args", CType.U64, "its arguments, as in RDI, RSI, RDX, R10, R8", 5),
        Field("result", CType.U64, "what it would have left in RAX; written by the hypervisor"),
    ),
    grows=False,
)

STRUCTS: tuple[Struct, ...] = (MULTICALL_ENTRY,)

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

MULTICALL = Hypercall(
    nr=0x03,
    name="MULTICALL",
    summary="Make several calls at once.",
    args=(
        gva_inout("calls", "an array of calls", struct="pv_multicall_entry"),
        u32("n_calls", "how many, at most `PV_MULTICALL_MAX`"),
    ),
    result="how many calls were made: those have their result, the others are untouched",
    errors={
        EFAULT: "the array is not all readable and writable; no call has been made",
        EINVAL: "`n_calls` is greater than `PV_MULTICALL_MAX`",
    },
    feature=MULTICALL_FEATURE,
    blocks="as the call that ends it does",
    notes=(
        "The calls are made in their order, and each sees what those before it did. A call that fails does "
        "not "
        "end the batch: it has its error as result.",
        "The array is read once, before the first call; results are written one by one. Where a call takes "
        "away "
        "the page that a result belongs in, that result is lost.",
        "YIELD, BLOCK and SHUTDOWN end the batch: their result is written, they count, and nothing behind "
        "them is "
        "done. Compare the result with `n_calls`.",
        "Calls that may be long count as several: ROOT_SET, TABLE_PIN, GRANT_COPY and those about the store "
        "as 4, TABLE_UPDATE, MEMORY_POPULATE and MEMORY_RELEASE as 16, STORE_END as `PV_MULTICALL_MAX`. The "
        "batch ends behind the call with which the sum comes to `PV_MULTICALL_MAX`.",
        "MULTICALL itself, POLL, IRET and VCPU_DOWN cannot be in a batch: their result is `-PV_EINVAL`, and "
        "the "
        "batch goes on.",
    ),
    replaces="nothing: each of a PC's privileged instructions traps by itself",
    example="struct pv_multicall_entry calls[2] = {{PV_HC_NOOP, {0}, 0}, {PV_HC_FEATURES, {0}, 0}};\n"
    "if (pv_multicall(calls, 2) == 2)\n    use(calls[1].result);",
)

CALLS: tuple[Hypercall, ...] = (ABI_VERSION, FEATURES, NOOP, MULTICALL)
