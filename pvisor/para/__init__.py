# SPDX-License-Identifier: GPL-2.0-or-later
"""The right wing: the guest knows that it is virtualized, and asks by hypercall (hypercalls.md)."""
