# SPDX-License-Identifier: GPL-2.0-or-later
"""pvisor: a small hypervisor that runs one guest program fully virtualized and paravirtualized.

A house with two mirrored wings. In `pvisor.full` a guest believes that it owns a PC, and every
privileged act traps and is emulated; in `pvisor.para` it knows better, and asks by hypercall. Rooms
that have a counterpart in the other wing bear the same file name. Beside them, `pvisor.emu` runs the PC of
the left wing with no hypervisor in it, as a control.

Imports flow one way through the packages (`tests/arch/test_layers.py` holds them to it):

    abi -> machine -> cpu -> domain -> full | para | emu -> vmm -> observe -> cli

with `toolchain` beside `machine`, and `errors` and `paths` beneath them all. This module imports
nothing, so that `import pvisor` costs nothing.
"""

__version__ = "0.1.0"
