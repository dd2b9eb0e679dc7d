# SPDX-License-Identifier: GPL-2.0-or-later
"""The devices of a paravirtual domain: backends in the host, behind rings."""

from __future__ import annotations

from pvisor.domain.domain import Domain
from pvisor.machine.disk import DiskImage
from pvisor.machine.switch import Switch, default_mac
from pvisor.para.backend import Backend, Host
from pvisor.para.block import Block
from pvisor.para.console import ConsoleRing
from pvisor.para.entropy import Entropy
from pvisor.para.net import Net
from pvisor.vmm.builder import Parts


def attach_devices(parts: Parts, domain: Domain) -> None:
    """Give the domain, which is in the hubs already, what its configuration says. Raises UsageError."""
    world, config = parts.world, parts.config
    host = Host(world.store, world.events, world.grants)
    backends: list[Backend] = [ConsoleRing(host, domain), Entropy(host, domain, config.seed)]
    for index, disk in enumerate(config.disks):
        image = DiskImage(disk.path, read_only=disk.read_only)
        parts.owned.callback(image.close)
        backends.append(Block(host, domain, image, index))
    if config.net:
        switch = parts.switch or Switch()
        mac = default_mac(domain.domid - 1)
        backends.append(Net(host, domain, mac, lambda receive: switch.attach(domain.timers, receive).send))
    for backend in backends:
        backend.start()
        parts.owned.callback(backend.close)
