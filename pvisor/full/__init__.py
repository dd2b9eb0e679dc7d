# SPDX-License-Identifier: GPL-2.0-or-later
"""The left wing: the guest believes that it owns a PC. What is privileged traps, and is emulated."""
