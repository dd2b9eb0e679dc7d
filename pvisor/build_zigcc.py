# SPDX-License-Identifier: GPL-2.0-or-later
"""The ziglang wheel's C compiler as a command that takes gcc's arguments: `python build_zigcc.py ARGS...`.

setuptools passes on the flags that Python itself was compiled with. Some distributions put flags of gcc
and GNU ld among them that neither clang nor zig's linker know; none of those matters for our extension,
so they are left out. Used only while pvisor is being built, and only where no other compiler is found.
"""

from __future__ import annotations

import os
import sys

_DROPPED = (
    "-specs=", "-flto", "-ffat-lto-objects", "-fno-semantic-interposition", "-fstack-clash-protection",
    "-fcf-protection", "-grecord-gcc-switches", "-fdebug-prefix-map=", "-ffile-prefix-map=", "-Wl,",
)


def zig_command(arguments: list[str]) -> list[str]:
    """The command line for `zig cc`. Without -mcpu it would compile for this very machine's CPU."""
    kept = [argument for argument in arguments if not argument.startswith(_DROPPED)]
    return [sys.executable, "-m", "ziglang", "cc", "-mcpu=baseline", *kept]


if __name__ == "__main__":
    command = zig_command(sys.argv[1:])
    os.execv(command[0], command)
