# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine monitor: the builder wires a domain's parts, the loop runs it."""
