# SPDX-License-Identifier: GPL-2.0-or-later
"""From C sources to a guest that runs: finds a C compiler, builds guests with the SDK, knows the demos.

Stands beside `machine` in the layers: it makes ELF files and never looks at a running guest. Import what
you need from its modules; this one imports nothing, because the build backend comes through here.
"""
