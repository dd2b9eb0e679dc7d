# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds a guest: the sources given, the SDK's for the mode, one linker script, one ELF file.

The same sources give the same bytes, and the output appears whole or not at all.
"""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pvisor.errors import BuildError, UsageError
from pvisor.paths import sdk_dir
from pvisor.toolchain.compilers import Compiler, find_compiler
from pvisor.toolchain.flags import compile_command, link_command

MODES = ("full", "para", "hybrid")
HYBRID_FROM_PARA = (
    "block.c", "console.c", "console_input.c", "console_ring.c", "device.c", "entropy.c", "event.c",
    "grant.c", "net.c", "ring.c", "store.c",
)  # fmt: skip
"""What a hybrid guest has of the right wing: its I/O. All else is the left wing's."""
SUFFIXES = (".c", ".S", ".s")


@dataclass(frozen=True, slots=True)
class BuildResult:
    """A guest that was built."""

    path: Path
    mode: str
    compiler: Compiler
    warnings: str
    """The compiler's own words; empty when it had nothing to say."""
    commands: tuple[tuple[str, ...], ...]
    """What was run: one compilation each, then the linking. The objects were temporary."""


def build_guest(
    sources: Sequence[str | Path],
    output: str | Path,
    mode: str,
    *,
    defines: Mapping[str, str] | None = None,
    extra_flags: Sequence[str] = (),
    compiler: Compiler | None = None,
    environ: Mapping[str, str] | None = None,
) -> BuildResult:
    """Build `sources` and the SDK for `mode` into the ELF file `output`.

    `defines` and `extra_flags` hold for `sources` only, not for the SDK's own. Raises BuildError with the
    compiler's words when it fails, UsageError when it cannot even be asked.
    """
    if mode not in MODES:
        raise UsageError(f"no such mode: {mode!r} (there are {', '.join(MODES)})")
    paths = [Path(source) for source in sources]
    _check_sources(paths)
    target = _check_output(Path(output), paths)
    environment = {"PATH": os.defpath, **(os.environ if environ is None else environ)}
    chosen = compiler if compiler is not None else find_compiler(environment)
    sdk = sdk_dir()

    base = [*compile_command(chosen), f"-DPV_MODE_{mode.upper()}=1", f"-I{sdk / 'include'}"]
    wing = "para" if mode == "para" else "full"
    inner = [f"-I{sdk / 'src' / folder}" for folder in ("common", wing)]
    own_flags = [f"-D{name}={value}" for name, value in (defines or {}).items()] + [*extra_flags]
    with tempfile.TemporaryDirectory(prefix="pvisor-build-") as folder:
        jobs: list[list[str]] = []
        objects: list[Path] = []
        for source, flags in [
            *((path, own_flags) for path in paths),
            *((path, inner) for path in sdk_sources(sdk, mode)),
        ]:
            objects.append(Path(folder) / f"{len(objects)}.o")
            jobs.append([*base, *flags, "-c", os.fspath(source), "-o", str(objects[-1])])
        words = _run_all(jobs, environment)
        linked = Path(folder) / "guest.elf"
        script = sdk / ("para.lds" if mode == "para" else "full.lds")
        link = link_command(chosen, script, objects, linked, environment)
        words += _run_all([link], environment)
        _install(linked, target, Path(output))
    return BuildResult(Path(output), mode, chosen, "".join(words), tuple(map(tuple, [*jobs, link])))


def sdk_sources(sdk: Path, mode: str) -> list[Path]:
    """The SDK's sources for a mode, the start code first."""
    if mode == "hybrid":
        pc = [path for path in _sources_in(sdk / "src" / "full") if path.name not in HYBRID_FROM_PARA]
        io = [path for path in _sources_in(sdk / "src" / "para") if path.name in HYBRID_FROM_PARA]
        own = [*pc, *io, *_sources_in(sdk / "src" / "hybrid")]
    else:
        own = _sources_in(sdk / "src" / mode)
    return [*own, *_sources_in(sdk / "src" / "common")]


def _sources_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)


def _check_sources(sources: Iterable[Path]) -> None:
    n_sources = 0
    for n_sources, source in enumerate(sources, start=1):  # noqa: B007 - the last one is the count
        if source.is_dir():
            raise UsageError(f"{source}: is a folder, not a source file")
        if source.suffix not in SUFFIXES:
            raise UsageError(f"{source}: not a C (.c) or assembly (.S) source file")
        try:
            source.open("rb").close()
        except OSError as error:
            raise UsageError(f"{source}: {_reason(error)}") from None
    if n_sources == 0:
        raise UsageError("no source file was given")


def _check_output(output: Path, sources: Iterable[Path]) -> Path:
    """The file to write in the end, with symbolic links followed; refuses early what would fail late."""
    target = Path(os.path.realpath(output))
    if target.is_dir():
        raise UsageError(f"{output}: is a folder; name the file to write")
    if not target.parent.is_dir():
        raise UsageError(f"{output}: there is no folder {target.parent}")
    if target in (Path(os.path.realpath(source)) for source in sources):
        raise UsageError(f"{output}: is one of the source files, and would be overwritten")
    return target


def _install(built: Path, target: Path, named: Path) -> None:
    """Put the finished file where it belongs: replaced in one step, unless it is a device or a pipe."""
    try:
        if target.exists() and not stat.S_ISREG(target.stat().st_mode):
            target.write_bytes(built.read_bytes())
            return
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(built.read_bytes())
            Path(name).chmod(stat.S_IMODE(built.stat().st_mode))  # the linker has minded the umask
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"{named}: {_reason(error)}") from None


def _run_all(commands: Sequence[Sequence[str]], environ: Mapping[str, str]) -> list[str]:
    """Run commands side by side; what they said, in order. BuildError has the words of those that failed."""
    with ThreadPoolExecutor(max_workers=min(len(commands), os.cpu_count() or 1)) as pool:
        results = list(pool.map(lambda command: _run(command, environ), commands))
    failures = "".join(words for status, words in results if status != 0)
    if any(status != 0 for status, _ in results):
        raise BuildError(failures.strip("\n"))
    return [words for _, words in results]


def _run(command: Sequence[str], environ: Mapping[str, str]) -> tuple[int, str]:
    try:
        done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True)
    except OSError as error:
        raise UsageError(f"{command[0]}: {_reason(error)}") from None
    words = (done.stdout + done.stderr).decode("utf-8", "replace")
    if done.returncode != 0 and not words.strip():
        words = f"{command[0]} failed with status {done.returncode} and without a word\n"
    return done.returncode, words


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
