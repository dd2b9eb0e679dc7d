# SPDX-License-Identifier: GPL-2.0-or-later
"""The control lane: the PC of the left wing, but the engine's CPU is the guest's own (docs/emulation.md)."""
