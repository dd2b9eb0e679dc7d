# SPDX-License-Identifier: GPL-2.0-or-later
"""The repository as the house rules see it: which files it has, and what each module imports.

Standard library alone, so the rules are checked everywhere and never skipped.
"""

from __future__ import annotations

import ast
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_NOT_OURS = {".git", ".venv", "build", "dist", "__pycache__", ".hypothesis"}


@dataclass(frozen=True, slots=True)
class Import:
    """One import: where it stands, and the full name of what it loads."""

    file: str
    line: int
    target: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.target}"


def files() -> list[str]:
    """Each file that git tracks or would track; of an unpacked sdist, each file."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed: list[str] = []
    if (ROOT / ".git").exists():
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        listed = [name for name in done.stdout.split("\0") if name]
    if not listed:
        listed = list(_walk())
    return sorted(name for name in listed if (ROOT / name).is_file())


def text(name: str) -> str:
    """The content of a file of the repository."""
    return (ROOT / name).read_text("utf-8")


def imports_of(name: str, source: str) -> list[Import]:
    """Every import in SOURCE, those inside functions and for type checkers only included."""
    package = name.removesuffix(".py").split("/")[:-1]
    found: list[Import] = []
    for node in ast.walk(ast.parse(source, name)):
        if isinstance(node, ast.Import):
            found += [Import(name, node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from pvisor import vmm` loads pvisor.vmm, so the names count as part of the target here.
            found += [Import(name, node.lineno, f"{module}.{alias.name}") for alias in node.names]
    return found


def package_imports() -> list[Import]:
    """Every import of every module of the package."""
    modules = [name for name in files() if name.startswith("pvisor/") and name.endswith(".py")]
    return [found for name in modules for found in imports_of(name, text(name))]


def _walk() -> Iterator[str]:
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in _NOT_OURS and not name.endswith(".egg-info")]
        for name in names:
            yield (Path(folder) / name).relative_to(ROOT).as_posix()
