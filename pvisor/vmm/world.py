# SPDX-License-Identifier: GPL-2.0-or-later
"""What the domains of one hypervisor have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

from pvisor.para.events import EventHub
from pvisor.para.grants import GrantHub
from pvisor.para.store import Store


@dataclass(slots=True)
class World:
    """The hubs by which domains reach one another."""

    events: EventHub = field(default_factory=EventHub)
    grants: GrantHub = field(default_factory=GrantHub)
    store: Store = field(default_factory=Store)
