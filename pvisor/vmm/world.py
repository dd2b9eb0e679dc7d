# SPDX-License-Identifier: GPL-2.0-or-later
"""What the domains of one hypervisor have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

from pvisor.domain.meeting import Meeting
from pvisor.para.events import EventHub
from pvisor.para.grants import GrantHub
from pvisor.para.store import Store


@dataclass(slots=True)
class World:
    """The hubs by which domains reach one another."""

    meeting: Meeting = field(default_factory=Meeting)
    events: EventHub = field(init=False)
    grants: GrantHub = field(init=False)
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        """All three go by one rule when domains do not run on one physical CPU."""
        self.events = EventHub(self.meeting)
        self.grants = GrantHub(self.meeting)
        self.store = Store(self.meeting)
