# SPDX-License-Identifier: GPL-2.0-or-later
"""What is known of one guest, Linux: its symbols, its log, its stacks, and the phases of its boot.

All of it is read from the guest's memory, which the guest may have filled with anything: each address, length
and count is checked, and each search has an end.
"""
