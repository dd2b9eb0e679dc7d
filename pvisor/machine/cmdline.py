# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line on its way to a guest: bytes, as the user's shell gave them."""

from __future__ import annotations

import os

from pvisor.errors import UsageError


def cmdline_bytes(cmdline: str, max_bytes: int) -> bytes:
    """The bytes for the guest, without the NUL that ends them. Raises UsageError when they are too many."""
    words = os.fsencode(cmdline)
    if len(words) > max_bytes or b"\0" in words:
        raise UsageError(f"--cmdline: {len(words)} bytes; at most {max_bytes}, none of them NUL")
    return words
