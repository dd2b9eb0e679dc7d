# SPDX-License-Identifier: GPL-2.0-or-later
"""How a hypercall is refused: the guest asked wrong, gets a negative errno, and goes on."""

from __future__ import annotations

from pvisor.abi import errnos
from pvisor.abi.model import Errno


class GuestError(Exception):
    """Ends a hypercall with `-errno`; nothing else has happened."""

    def __init__(self, errno: Errno) -> None:
        super().__init__(errno.name)
        self.result = -errno.number


def fault() -> GuestError:
    """A pointer names memory that the guest may not use so."""
    return GuestError(errnos.EFAULT)


def invalid() -> GuestError:
    """An argument has a value outside its meaning."""
    return GuestError(errnos.EINVAL)
