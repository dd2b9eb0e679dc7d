# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls about the state of a virtual CPU, and the shared page."""

from __future__ import annotations

from pvisor.abi.model import Constant, CType, Field, Hypercall, Struct

SELECTORS = "Selectors"
SHARED = "Shared page"

KERNEL_CS = Constant("PV_KERNEL_CS", 0x09, "the kernel's code, at CPL 1", SELECTORS, is_hex=True)
KERNEL_SS = Constant("PV_KERNEL_SS", 0x11, "the kernel's stack and data", SELECTORS, is_hex=True)
USER_SS = Constant("PV_USER_SS", 0x1B, "the user's stack and data, at CPL 3", SELECTORS, is_hex=True)
USER_CS = Constant("PV_USER_CS", 0x23, "the user's 64-bit code", SELECTORS, is_hex=True)
USER_CS32 = Constant("PV_USER_CS32", 0x2B, "the user's 32-bit code", SELECTORS, is_hex=True)
FIRST_DESCRIPTOR = Constant("PV_FIRST_DESCRIPTOR", 8, "the first descriptor that is the guest's", SELECTORS)
N_DESCRIPTORS = Constant("PV_N_DESCRIPTORS", 32, "descriptors in the table; those after it fault", SELECTORS)

MAX_VCPUS = Constant("PV_MAX_VCPUS", 16, "most virtual CPUs of a domain", SHARED)
EVENT_PORTS = Constant("PV_EVENT_PORTS", 1024, "event ports of a domain: 0 (never used) to 1023", SHARED)

CONSTANTS: tuple[Constant, ...] = (
    KERNEL_CS, KERNEL_SS, USER_SS, USER_CS, USER_CS32, FIRST_DESCRIPTOR, N_DESCRIPTORS,
    MAX_VCPUS, EVENT_PORTS,
)  # fmt: skip

_GUEST, _HYPERVISOR, _BOTH = "guest", "hypervisor", "both"

VCPU_INFO = Struct(
    "pv_vcpu_info",
    "A virtual CPU's part of the shared page.",
    (
        Field("upcall_pending", CType.U8, "1: an unmasked event is pending; the guest clears it",
              writer=_BOTH),
        Field("upcall_mask", CType.U8, "1: no upcall, as with IF clear; an upcall sets it", writer=_BOTH),
        Field("reserved0", CType.U16, "0"),
        Field("time_version", CType.U32, "odd while the time below is being written", writer=_HYPERVISOR),
        Field("pending_words", CType.U64, "bit i: look at pending[i]; the guest clears it before it looks",
              writer=_BOTH),
        Field("cr2", CType.U64, "the address of the latest page fault", writer=_HYPERVISOR),
        Field("tsc_at", CType.U64, "the TSC when system_ns was written", writer=_HYPERVISOR),
        Field("system_ns", CType.U64, "system time then", writer=_HYPERVISOR),
        Field("tsc_mul", CType.U32, "nanoseconds per shifted tick, times 2^32", writer=_HYPERVISOR),
        Field("tsc_shift", CType.U8, "shift the TSC's difference left by this", writer=_HYPERVISOR),
        Field("reserved1", CType.U8, "0", 3),
        Field("steal_ns", CType.U64, "time for which it could have run, and another ran", writer=_HYPERVISOR),
        Field("reserved2", CType.U64, "0", 9),
    ),
    grows=False,
)  # fmt: skip

SHARED_INFO = Struct(
    "pv_shared_info",
    "The shared page: written by guest and hypervisor at the same time, without a call.",
    (
        Field("pending", CType.U64, "bit p % 64 of word p / 64: port p was signalled", 16,
              writer=_BOTH),
        Field("mask", CType.U64, "likewise: port p is masked; all are at the start", 16, writer=_GUEST),
        Field("wall_s", CType.U64, "UTC at system time 0: seconds since 1970", writer=_HYPERVISOR),
        Field("wall_ns", CType.U32, "and nanoseconds", writer=_HYPERVISOR),
        Field("n_vcpus", CType.U32, "virtual CPUs of this domain", writer=_HYPERVISOR),
        Field("reserved", CType.U64, "0", 30),
        Field("vcpu", VCPU_INFO, "one for each virtual CPU", 16),
    ),
    grows=True,
)  # fmt: skip

STRUCTS: tuple[Struct, ...] = (VCPU_INFO, SHARED_INFO)

CALLS: tuple[Hypercall, ...] = ()
