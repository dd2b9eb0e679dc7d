# SPDX-License-Identifier: GPL-2.0-or-later
"""The demos: finds one by its name, its folder's name or a path. What it is *about* stands in its README."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pvisor.errors import UsageError
from pvisor.paths import demos_dir
from pvisor.toolchain.build import SUFFIXES


@dataclass(frozen=True, slots=True)
class Demo:
    """A guest program with its lab sheet."""

    name: str
    """Without the number in front: `hello` for the folder 01-hello."""
    folder: Path
    sources: tuple[Path, ...]
    expected: Path | None
    """The console output that every mode must give, byte for byte."""

    def title(self) -> str:
        """The README's first heading, else the name."""
        readme = self.folder / "README.md"
        for line in readme.read_text("utf-8").splitlines() if readme.is_file() else []:
            if line.startswith("# "):
                return line[2:].strip()
        return self.name


def list_demos() -> list[Demo]:
    """All demos that come with pvisor, in the order of their numbers."""
    folders = sorted(path for path in demos_dir().iterdir() if path.is_dir())
    return [demo for demo in map(_read, folders) if demo is not None]


def find_demo(name: str | Path) -> Demo:
    """A demo by `hello`, `01-hello` or the path of its folder; UsageError when there is none."""
    demos = list_demos()
    for demo in demos:
        if str(name) in (demo.name, demo.folder.name):
            return demo
    folder = Path(name)
    if folder.is_dir():
        found = _read(folder.resolve())
        if found is None:
            raise UsageError(f"{name}: holds no C (.c) or assembly (.S) source file")
        return found
    known = ", ".join(demo.name for demo in demos) or "none"
    raise UsageError(f"{name}: neither a demo (there is: {known}) nor a folder")


def _read(folder: Path) -> Demo | None:
    sources = tuple(sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES))
    if not sources:
        return None
    expected = folder / "expected.txt"
    name = re.sub(r"^\d+-", "", folder.name)
    return Demo(name, folder, sources, expected if expected.is_file() else None)
