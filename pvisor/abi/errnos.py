# SPDX-License-Identifier: GPL-2.0-or-later
"""The errors of the ABI. The numbers are Linux's, so that nobody has to learn others."""

from __future__ import annotations

from pvisor.abi.model import Errno

EPERM = Errno("EPERM", 1, "the other domain has not allowed it")
ENOENT = Errno("ENOENT", 2, "what the arguments name is not there")
EIO = Errno("EIO", 5, "the host failed to do it")
E2BIG = Errno("E2BIG", 7, "the answer does not fit into the room that was given")
EAGAIN = Errno("EAGAIN", 11, "something came in between: try again")
ENOMEM = Errno("ENOMEM", 12, "the domain has no frame for it")
EFAULT = Errno(
    "EFAULT",
    14,
    "a pointer names memory that the guest kernel may not use in that way: not mapped, not writable, not "
    "canonical, or in the hypervisor's hole",
)
EBUSY = Errno("EBUSY", 16, "it is in use; try again when it is not")
EEXIST = Errno("EEXIST", 17, "something is there already")
EINVAL = Errno(
    "EINVAL", 22, "an argument has a value outside its meaning, or a 32-bit one has bits above bit 31"
)
ENOSPC = Errno("ENOSPC", 28, "a table of the hypervisor is full; free something first")
ENOSYS = Errno("ENOSYS", 38, "there is no such call, or it belongs to a feature that is not offered")

ETIME = Errno("ETIME", 62, "the time was over first")

ERRNOS: tuple[Errno, ...] = (
    EPERM, ENOENT, EIO, E2BIG, EAGAIN, ENOMEM, EFAULT, EBUSY, EEXIST, EINVAL, ENOSPC, ENOSYS, ETIME,
)  # fmt: skip
