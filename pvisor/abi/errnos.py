# SPDX-License-Identifier: GPL-2.0-or-later
"""The errors of the ABI. The numbers are Linux's, so that nobody has to learn others."""

from __future__ import annotations

from pvisor.abi.model import Errno

EFAULT = Errno(
    "EFAULT",
    14,
    "a pointer names memory that the guest kernel may not use in that way: not mapped, not writable, not "
    "canonical, or in the hypervisor's hole",
)
EINVAL = Errno(
    "EINVAL", 22, "an argument has a value outside its meaning, or a 32-bit one has bits above bit 31"
)
ENOSYS = Errno("ENOSYS", 38, "there is no such call, or it belongs to a feature that is not offered")

ERRNOS: tuple[Errno, ...] = (EFAULT, EINVAL, ENOSYS)
