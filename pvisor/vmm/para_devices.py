# SPDX-License-Identifier: GPL-2.0-or-later
"""The devices of a paravirtual domain: backends in the host, behind rings."""

from __future__ import annotations

from collections.abc import Callable

from pvisor.domain.domain import Domain
from pvisor.machine.disk import DiskImage
from pvisor.machine.switch import Receive, Switch, default_mac
from pvisor.para.backend import Backend, Host
from pvisor.para.block import Block
from pvisor.para.console import ConsoleRing
from pvisor.para.entropy import Entropy
from pvisor.para.net import Net, Plug
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
        backends.append(Net(host, domain, default_mac(domain.domid - 1), _plug(parts, domain)))
    for backend in backends:
        backend.start()
        parts.owned.callback(backend.close)


def _plug(parts: Parts, domain: Domain) -> Plug:
    """The cable to the switch; it is pulled when the domain goes."""
    switch = parts.switch or Switch()

    def plug(receive: Receive) -> Callable[[bytes], object]:
        port = switch.attach(domain.timers, receive)
        parts.owned.callback(switch.detach, port)
        return port.send

    return plug
