# SPDX-License-Identifier: GPL-2.0-or-later
"""The build backend: setuptools, plus one question that setuptools does not ask: is there a C compiler?

pip calls these functions (PEP 517 and 660). Where a C compiler is found, it is used. Where none is, the
ziglang wheel, which contains one, becomes a build requirement; nobody else has to download it. Where
nothing works, the last line of the build's output says what to do.

Nothing is left in the source folder: the build happens in a temporary one, so that no file of an earlier
build can slip into a wheel.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from setuptools import build_meta

from pvisor.toolchain.compilers import host_compiler

ConfigSettings = Mapping[str, str | list[str] | None] | None

_INSTALL = "install gcc and Python's C headers (Debian, Ubuntu: apt-get install gcc python3-dev)"


def get_requires_for_build_wheel(config_settings: ConfigSettings = None) -> list[str]:
    """What pip has to fetch besides pyproject.toml's `requires`: ziglang, if there is no C compiler."""
    return [] if working_compiler(os.environ) else ["ziglang"]


def get_requires_for_build_editable(config_settings: ConfigSettings = None) -> list[str]:
    """As for a wheel."""
    return get_requires_for_build_wheel(config_settings)


def get_requires_for_build_sdist(config_settings: ConfigSettings = None) -> list[str]:
    """Nothing: an sdist holds no compiled code."""
    return []


def build_wheel(
    wheel_directory: str, config_settings: ConfigSettings = None, metadata_directory: str | None = None
) -> str:
    """Compile the extension and pack the wheel."""
    return _compiled(lambda: build_meta.build_wheel(wheel_directory, config_settings, metadata_directory))


def build_editable(
    wheel_directory: str, config_settings: ConfigSettings = None, metadata_directory: str | None = None
) -> str:
    """Compile the extension into the checkout, and pack a wheel that points there."""
    return _compiled(lambda: build_meta.build_editable(wheel_directory, config_settings, metadata_directory))


def build_sdist(sdist_directory: str, config_settings: ConfigSettings = None) -> str:
    """Pack the sources."""
    with _build_folder():
        name: str = build_meta.build_sdist(sdist_directory, config_settings)
        return name


def prepare_metadata_for_build_wheel(
    metadata_directory: str, config_settings: ConfigSettings = None
) -> str:
    """Write the metadata, compiling nothing."""
    folder: str = build_meta.prepare_metadata_for_build_wheel(metadata_directory, config_settings)
    return folder


def prepare_metadata_for_build_editable(
    metadata_directory: str, config_settings: ConfigSettings = None
) -> str:
    """Write the metadata, compiling nothing."""
    folder: str = build_meta.prepare_metadata_for_build_editable(metadata_directory, config_settings)
    return folder


def working_compiler(environ: Mapping[str, str]) -> list[str] | None:
    """The host's C compiler, if it can compile a program that needs the C library's headers.

    A compiler that the user chose with $CC is not put to the test: if it fails, its own words say why.
    """
    chosen = environ.get("CC", "").strip()
    if chosen:
        return shlex.split(chosen)
    command = host_compiler(environ)
    if command is None:
        return None
    program = b"#include <stdio.h>\nint main(void) { return puts(\"\") < 0; }\n"
    with tempfile.TemporaryDirectory(prefix="pvisor-cc-") as folder:
        probe = [*command, "-x", "c", "-", "-o", f"{folder}/probe"]
        try:
            done = subprocess.run(probe, input=program, capture_output=True, env=dict(environ), timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            return None
    return command if done.returncode == 0 else None


def has_ziglang() -> bool:
    """Whether the ziglang wheel, which holds a C compiler, is installed."""
    return importlib.util.find_spec("ziglang") is not None


def compiler_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """CC (and LDSHARED, where it cannot be derived) for setuptools; exits with advice if nothing compiles."""
    include = Path(sysconfig.get_path("include"))
    if not (include / "Python.h").is_file():
        raise SystemExit(f"pvisor: Python's C headers are missing (no {include}/Python.h): {_INSTALL}")
    command = working_compiler(environ)
    if command is not None:
        return {"CC": shlex.join(command)}
    if not has_ziglang():
        raise SystemExit(
            f"pvisor: no C compiler that works: {_INSTALL}, or let pip fetch one: install without"
            " --no-build-isolation, or `pip install ziglang` first"
        )
    compiler = shlex.join([sys.executable, str(Path(__file__).with_name("build_zigcc.py"))])
    settings = {"CC": compiler}
    if sys.platform.startswith("linux"):
        settings["LDSHARED"] = f"{compiler} -shared"
    return settings


def _compiled(build: Callable[[], str]) -> str:
    settings = compiler_settings(os.environ)
    with _environment(settings), _build_folder():
        try:
            return build()
        # setuptools turns a failed compilation into SystemExit or an exception of its own.
        except (SystemExit, Exception) as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            raise SystemExit(
                f"pvisor: the build failed with {settings['CC']} as C compiler (the reason is above):"
                f" {_INSTALL}, or set CC to the compiler to use"
            ) from None


@contextmanager
def _build_folder() -> Iterator[None]:
    """Let setuptools build in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="pvisor-build-") as folder:
        config = Path(folder) / "setup.cfg"
        config.write_text(f"[build]\nbuild_base = {folder}/build\n[egg_info]\negg_base = {folder}\n", "utf-8")
        with _environment({"DIST_EXTRA_CONFIG": str(config)}):
            yield


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

