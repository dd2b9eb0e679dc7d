# SPDX-License-Identifier: GPL-2.0-or-later
"""Imports flow one way, and each dependency has one door.

    abi -> machine -> cpu -> domain -> full | para | emu -> vmm -> observe -> cli

An import for type checkers only counts too: what a reader must know to understand a module is the same.
"""

from __future__ import annotations

import pytest

from tests.arch.tree import Import, imports_of, package_imports

# A package imports its own modules and packages of a lower number; equals do not know each other.
LAYERS = {
    "errors": 0, "paths": 1,
    "abi": 2,
    "machine": 3, "toolchain": 3,
    "cpu": 4,
    "domain": 5,
    "full": 6, "para": 6, "emu": 6,
    "vmm": 7,
    "observe": 8,
    "cli": 9,
    "__main__": 10,
}

# The build runs before anything is installed: it may use what finds a compiler, and is used by nobody.
BUILD = {"build_backend": ("pvisor.toolchain.compilers",), "build_zigcc": ()}

# The control lane borrows full's devices, never its CPU, segments or paging.
EMU_BORROWS = (
    "pic", "apic", "ioapic", "timer", "rtc", "console", "block", "net", "power", "keyboard", "screen", "pci",
    "platform", "firmware", "start", "multiboot", "diagnostics",
)  # fmt: skip

# dependency: the files (or folders, with a slash at the end) that may import it
DOORS: dict[str, tuple[str, ...]] = {
    "unicorn": ("pvisor/cpu/unicorn_engine.py", "pvisor/cpu/unicorn_binding.py"),
    "cffi": ("pvisor/abi/layout.py", "pvisor/cpu/shim/"),
    "msgpack": ("pvisor/observe/trace_file.py", "pvisor/vmm/snapshot.py"),
    "rich": ("pvisor/cli/",),
    "click": ("pvisor/cli/",),
    "elftools": ("pvisor/machine/elf.py",),
    "lz4": ("pvisor/full/linux_payload.py",),
    "zstandard": ("pvisor/full/linux_payload.py",),
    "capstone": ("pvisor/cpu/decode.py",),
    "setuptools": ("pvisor/build_backend.py",),
}


def part_of(dotted: str) -> str | None:
    """Which part of pvisor a dotted name lies in; None for other packages, "" for the bare package."""
    names = dotted.split(".")
    if names[0] != "pvisor":
        return None
    return names[1] if len(names) > 1 else ""


def layer_violation(found: Import) -> str | None:
    """Why FOUND breaks the layering, or None."""
    source = part_of(found.file.removesuffix(".py").replace("/", "."))
    target = part_of(found.target)
    if target in (None, "", source) or target.startswith("__version__"):
        return None
    assert target is not None
    if source in BUILD:
        allowed = any(found.target.startswith(name) for name in BUILD[source])
        return None if allowed else f"{found}: the build may use {BUILD[source] or 'nothing'} only"
    if source not in LAYERS:
        return f"{found}: {source!r} is not in the table of layers"
    if target not in LAYERS:
        return f"{found}: {target!r} is not in the table of layers"
    if source == "emu" and target == "full" and any(room in found.target for room in EMU_BORROWS):
        return None
    if LAYERS[target] >= LAYERS[source]:
        return f"{found}: {source} may not know {target}"
    return None


def door_violation(found: Import) -> str | None:
    """Why FOUND does not come through the dependency's door, or None."""
    doors = DOORS.get(found.target.split(".")[0])
    if doors is None:
        return None
    if any(found.file == door or (door.endswith("/") and found.file.startswith(door)) for door in doors):
        return None
    return f"{found}: only {', '.join(doors)} may"


def test_imports_flow_one_way() -> None:
    violations = [why for found in package_imports() if (why := layer_violation(found))]
    assert not violations, "\n".join(violations)


def test_each_dependency_has_its_door() -> None:
    violations = [why for found in package_imports() if (why := door_violation(found))]
    assert not violations, "\n".join(violations)


def test_the_shim_is_loaded_in_one_place() -> None:
    loaders = {found.file for found in package_imports() if found.target.startswith("pvisor.cpu._shim")}
    assert len(loaders) <= 1 and all(name.startswith("pvisor/cpu/") for name in loaders), loaders


def test_the_package_itself_imports_nothing_of_its_own() -> None:
    """So `import pvisor` costs nothing; what it offers is looked for when it is asked for."""
    found = [one for one in package_imports() if one.file == "pvisor/__init__.py"]
    assert {one.target for one in found} <= {"importlib.import_module", "typing.Any"}


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("pvisor/cpu/x.py", "from pvisor.abi import calls", True),
        ("pvisor/cpu/x.py", "from ..vmm import loop", False),
        ("pvisor/cpu/x.py", "def f():\n    import pvisor.domain.sink", False),
        ("pvisor/full/x.py", "from pvisor.para import timer", False),
        ("pvisor/full/x.py", "from pvisor import para", False),
        ("pvisor/emu/x.py", "from pvisor.full.timer import Pit", True),
        ("pvisor/emu/x.py", "from pvisor.full.paging import Shadow", False),
        ("pvisor/vmm/x.py", "from pvisor.para.console import write", True),
        ("pvisor/vmm/x.py", "from . import loop", True),
        ("pvisor/new/x.py", "import pvisor.abi", False),
        ("pvisor/build_backend.py", "from pvisor.cpu.exits import Exit", False),
    ],
)
def test_the_layer_rule_itself(file: str, source: str, expected: bool) -> None:
    assert all(layer_violation(found) is None for found in imports_of(file, source)) is expected


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("pvisor/cpu/unicorn_engine.py", "from unicorn import Uc", True),
        ("pvisor/cpu/unicorn_binding.py", "import unicorn", True),
        ("pvisor/vmm/builder.py", "import unicorn.x86_const", False),
        ("pvisor/cpu/shim/build.py", "def f():\n    from cffi import FFI", True),
        ("pvisor/cli/run.py", "import click", True),
        ("pvisor/observe/compare.py", "import rich.table", False),
    ],
)
def test_the_door_rule_itself(file: str, source: str, expected: bool) -> None:
    assert all(door_violation(found) is None for found in imports_of(file, source)) is expected
