# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls about event channels."""

from __future__ import annotations

from pvisor.abi.model import Constant, Hypercall, Struct

CONSTANTS: tuple[Constant, ...] = ()

STRUCTS: tuple[Struct, ...] = ()

CALLS: tuple[Hypercall, ...] = ()
