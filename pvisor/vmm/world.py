# SPDX-License-Identifier: GPL-2.0-or-later
"""What the domains of one hypervisor have in common."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class World:
    """The hubs by which domains reach one another."""

    def remove(self, domid: int) -> None:
        """A domain has ended: nothing of it is left here."""
