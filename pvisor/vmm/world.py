# SPDX-License-Identifier: GPL-2.0-or-later
"""What the domains of one hypervisor have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

from pvisor.para.grants import GrantHub


@dataclass(slots=True)
class World:
    """The hubs by which domains reach one another."""

    grants: GrantHub = field(default_factory=GrantHub)
