# SPDX-License-Identifier: GPL-2.0-or-later
"""Parts of any computer, paravirtual or not: memory, I/O ports, clock, console, input, ELF files."""
