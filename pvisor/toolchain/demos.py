# SPDX-License-Identifier: GPL-2.0-or-later
"""The demos: finds one by its name, its folder's name or a path. What it is *about* stands in its README.

Sources that lie in a demo's folder are of every mode; those in its folders `full` and `para` of that mode
alone, as in the SDK. A demo whose sources all lie in one of them is a demo of one mode; its README says why.

Beside the sources may lie:

    demo.toml     what it needs and shows, see Demo: disk_bytes, net, watch
    input.txt     what it reads from its console
    expected.txt  what every mode prints
    up*.toml      files for `pvisor up`, for a demo of several domains. A kernel `NAME-MODE.elf` in there is
                  the demo NAME, built for MODE.
    expected-DOMAIN.txt
                  what that domain of such a file prints
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pvisor.errors import UsageError
from pvisor.paths import demos_dir
from pvisor.toolchain.build import MODES, SUFFIXES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True, slots=True)
class Demo:
    """A guest program with its lab sheet."""

    name: str
    """Without the number in front: `hello` for the folder 01-hello."""
    folder: Path
    sources: tuple[Path, ...]
    """Those of every mode."""
    own_sources: Mapping[str, tuple[Path, ...]]
    """By mode, those of that mode alone."""
    expected: Path | None
    """The console output that every mode must give, byte for byte."""
    input: Path | None = None
    """What it reads from its console."""
    setups: tuple[Path, ...] = ()
    """Files for `pvisor up`."""
    disk_bytes: int = 0
    """It needs a disk of this size, full of zeros."""
    net: bool = False
    """It needs a network card."""
    watch: tuple[str, ...] = ()
    """Functions of its own that a comparison has a row for, if they are not static."""

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes it can be built for."""
        return MODES if self.sources else tuple(mode for mode in MODES if self.own_sources[mode])

    def sources_for(self, mode: str) -> tuple[Path, ...]:
        """What is built for a mode. Raises UsageError where the demo has nothing for it."""
        if mode not in self.modes:
            only = " and ".join(self.modes)
            raise UsageError(f"{self.folder}: a demo for mode {only} only; its README.md says why")
        return self.sources + self.own_sources[mode]

    def expected_of(self, domain: str) -> Path:
        """The file with what a domain of its setups prints."""
        return self.folder / f"expected-{domain}.txt"

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
    sources, own = _sources(folder), {mode: _sources(folder / mode) for mode in MODES}
    if not sources and not any(own.values()):
        return None
    expected, given = folder / "expected.txt", folder / "input.txt"
    name = re.sub(r"^\d+-", "", folder.name)
    needs = _read_needs(folder / "demo.toml")
    return Demo(
        name, folder, sources, own, expected if expected.is_file() else None,
        given if given.is_file() else None, tuple(sorted(folder.glob("up*.toml"))), **needs,
    )  # fmt: skip


def _read_needs(path: Path) -> dict[str, Any]:
    """The keys of demo.toml, as Demo has them. Raises UsageError for what it must not say."""
    try:
        keys = tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        raise UsageError(f"{path}: cannot be read, or is not TOML") from None
    disk_bytes, net, watch = keys.pop("disk_bytes", 0), keys.pop("net", False), keys.pop("watch", [])
    if keys:
        raise UsageError(f"{path}: {next(iter(keys))} is not known; there are disk_bytes, net and watch")
    if type(disk_bytes) is not int or disk_bytes < 0 or type(net) is not bool:
        raise UsageError(f"{path}: disk_bytes is a number of bytes, net is true or false")
    if not isinstance(watch, list) or not all(isinstance(one, str) for one in watch):
        raise UsageError(f"{path}: watch is a list of functions' names")
    return {"disk_bytes": disk_bytes, "net": net, "watch": tuple(watch)}


def _sources(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        return ()
    return tuple(sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES))
