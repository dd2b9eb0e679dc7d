# SPDX-License-Identifier: GPL-2.0-or-later
"""What can end a pvisor command, as one tree of exceptions.

Each class knows the exit status that `pvisor` gives for it, so the command line needs no table of its own,
and its message is one line (or the compiler's own words) that makes sense without a traceback. What is
*not* here: an error that a guest is told about (a negative result of its hypercall) ends nothing, and a
mistake of ours stays an ordinary Python exception.
"""

from __future__ import annotations


class PvisorError(Exception):
    """Anything that ends a command in an orderly way; `status` becomes the exit status."""

    status: int = 125


class UsageError(PvisorError):
    """The command cannot be carried out as given: a wrong option, a missing file, too little memory."""

    status = 125


class BuildError(PvisorError):
    """A guest could not be built; the message is the compiler's own words."""

    status = 125


class GuestRefused(PvisorError):  # noqa: N818 - the name says what happened to whom
    """The guest's file cannot run here: a damaged ELF, another machine's, a newer ABI, a missing feature."""

    status = 126


class DomainCrash(PvisorError):  # noqa: N818 - the name says what happened to whom
    """The guest broke the contract, so its domain ends; other domains live on."""

    status = 134
