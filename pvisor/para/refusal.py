# SPDX-License-Identifier: GPL-2.0-or-later
"""How a hypercall is refused: the guest asked wrong, gets a negative errno, and goes on."""

from __future__ import annotations

from pvisor.abi import errnos
from pvisor.abi.model import Errno
from pvisor.cpu.vcpu import Vcpu
from pvisor.domain.domain import Domain


class GuestError(Exception):
    """Ends a hypercall with `-errno`; nothing else has happened."""

    def __init__(self, errno: Errno) -> None:
        super().__init__(errno.name)
        self.result = -errno.number


def refused(errno: Errno) -> GuestError:
    """Any error, by its row."""
    return GuestError(errno)


def copy_in(domain: Domain, vcpu: Vcpu, gva: int, n_bytes: int) -> bytes:
    """A copy of the guest kernel's memory. Raises GuestError (EFAULT) unless it may read all of it."""
    data = domain.pointers.copy_in(vcpu, gva, n_bytes)
    if data is None:
        raise fault()
    return data


def copy_out(domain: Domain, vcpu: Vcpu, gva: int, data: bytes) -> None:
    """Write the guest kernel's memory. Raises GuestError (EFAULT), with nothing written, unless it may."""
    if not domain.pointers.copy_out(vcpu, gva, data):
        raise fault()


def fault() -> GuestError:
    """A pointer names memory that the guest may not use so."""
    return GuestError(errnos.EFAULT)


def invalid() -> GuestError:
    """An argument has a value outside its meaning."""
    return GuestError(errnos.EINVAL)
