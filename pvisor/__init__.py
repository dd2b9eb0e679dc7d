# SPDX-License-Identifier: GPL-2.0-or-later
"""pvisor: a small hypervisor that runs one guest program fully virtualized and paravirtualized.

A house with two mirrored wings. In `pvisor.full` a guest believes that it owns a PC, and every
privileged act traps and is emulated; in `pvisor.para` it knows better, and asks by hypercall. Rooms
that have a counterpart in the other wing bear the same file name. Beside them, `pvisor.emu` runs the PC of
the left wing with no hypervisor in it, as a control.

Imports flow one way through the packages (`tests/arch/test_layers.py` holds them to it):

    abi -> machine -> cpu -> domain -> full | para | emu -> vmm -> observe -> cli

with `toolchain` beside `machine`, and `errors` and `paths` beneath them all.

The Python API can be imported from here (`from pvisor import DomainConfig, Hypervisor`). It is looked for
when it is asked for, so that `import pvisor` costs nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "DiskConfig": "pvisor.vmm.config", "DomainConfig": "pvisor.vmm.config", "RunResult": "pvisor.vmm.config",
    "HostedDomain": "pvisor.vmm.hypervisor", "Hypervisor": "pvisor.vmm.hypervisor",
    "GuestRefused": "pvisor.errors", "PvisorError": "pvisor.errors", "UsageError": "pvisor.errors",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """A name of the API (PEP 562). Raises AttributeError for any other."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """What can be had from here."""
    return sorted({*globals(), *_HOMES})
