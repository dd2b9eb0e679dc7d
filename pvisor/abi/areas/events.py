# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls about event channels."""

from __future__ import annotations

from pvisor.abi.model import Constant, Hypercall, Struct

DOMAINS = "Domains"

DOMID_HOST = Constant("PV_DOMID_HOST", 0, "the host, whose backends serve devices", DOMAINS)
DOMID_SELF = Constant("PV_DOMID_SELF", 0x7FF0, "the calling domain", DOMAINS, is_hex=True)

CONSTANTS: tuple[Constant, ...] = (DOMID_HOST, DOMID_SELF)

STRUCTS: tuple[Struct, ...] = ()

CALLS: tuple[Hypercall, ...] = ()
