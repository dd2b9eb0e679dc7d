# SPDX-License-Identifier: GPL-2.0-or-later
"""Parameters that several commands take: sizes, dates, limits."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Final, TypeVar

import click

from pvisor.machine.modules import ModuleFile
from pvisor.vmm.config import DEFAULT_REMEDY, REMEDIES, TIERS, USUAL_MEMORY, DiskConfig

FILE: Final = click.Path(path_type=Path)
MAX_INSNS: Final = (1 << 64) - 2
NO_PATCH: Final = "pvisor.no_patch"
"""Where one option of a command leaves word for another (click.Context.meta)."""
_UNITS: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_Command = TypeVar("_Command", bound=Callable[..., object])


def size(text: str) -> int:
    """Bytes: `64M`, `1G`, `4096`."""
    found = re.fullmatch(r"(\d{1,18})([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE | re.ASCII)
    if found is None:
        raise click.BadParameter(f"{text!r} is not a size; give bytes, or a number with K, M, G or T")
    return int(found[1]) << _UNITS[found[2].upper()]


def date(text: str) -> int:
    """A date and time, UTC where it does not say otherwise, as seconds since 1970."""
    try:
        when = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text.strip()))
        seconds = math.floor((when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp())
    except (ValueError, OverflowError):
        form = "2026-01-31 or 2026-01-31T12:00:00Z"
        raise click.BadParameter(f"{text!r} is not a date; give one as {form}") from None
    if seconds < 0:
        raise click.BadParameter(f"{text!r} is before 1970, where a guest's clock begins")
    return seconds


def instructions(text: str) -> int:
    """A number of instructions."""
    number = int(text) if re.fullmatch(r"\d{1,20}", text, re.ASCII) else 0
    if not 1 <= number <= MAX_INSNS:
        raise click.BadParameter(f"{text!r} is not a number of instructions; give a whole number from 1")
    return number


def seconds(text: str) -> float:
    """A span of the host's time."""
    try:
        span = float(text)
    except ValueError:
        span = math.nan
    if not 0 < span <= threading.TIMEOUT_MAX:
        raise click.BadParameter(f"{text!r} is not a number of seconds above 0")
    return span


def disk(text: str) -> DiskConfig:
    """A disk image: `FILE`, or `FILE,ro` where the guest may only read it."""
    name = text.removesuffix(",ro")
    if not name:
        raise click.BadParameter(f"{text!r} names no file; give FILE, or FILE,ro")
    return DiskConfig(Path(name), read_only=name != text)


def module(text: str) -> ModuleFile:
    """A boot module: `FILE`, or `FILE=ARGS`."""
    path, _, arguments = text.partition("=")
    if not path:
        raise click.BadParameter(f"{text!r} names no file; give FILE or FILE=ARGS")
    return ModuleFile(Path(path), arguments)


def cpu(ctx: click.Context, option: click.Parameter, text: str | None) -> str | None:
    """A PC's CPU; `help` shows which there are, and ends the command."""
    if text != "help":
        return text
    from pvisor.cpu.models import DEFAULT_CPU, FEATURES, MODELS, REFUSED

    lines = [f"  {model.name:12} {', '.join(sorted(model.features)) or '-'}" for model in MODELS.values()]
    refused = [f"  {name:12} {why}" for name, why in REFUSED.items()]
    click.echo("\n".join([
        f"Without --cpu: {DEFAULT_CPU}", "Models, and their features:", *lines,
        f"Features: {', '.join(FEATURES)}", "What cannot be had:", *refused,
    ]))  # fmt: skip
    return ctx.exit()


def _note_no_patch(ctx: click.Context, option: click.Parameter, is_given: bool) -> None:
    ctx.meta[NO_PATCH] = is_given


def _remedy(ctx: click.Context, option: click.Parameter, remedy: str | None) -> str | None:
    """`--no-patch` is `--remedy none`, and contradicts every other remedy."""
    if not ctx.meta[NO_PATCH]:
        return remedy
    if remedy not in (None, "none"):
        raise click.UsageError(f"--no-patch and --remedy {remedy} contradict each other", ctx)
    return "none"


def _memory(ctx: click.Context, option: click.Parameter, memory_bytes: int | None) -> int:
    return USUAL_MEMORY if memory_bytes is None else memory_bytes


def domain_options(command: _Command) -> _Command:
    """The options of every command that runs guests."""
    options = (
        click.option("--memory", "memory_bytes", type=size, default=None, callback=_memory,
                     metavar="SIZE",
                     help="The guest's RAM.  [default: 64M; 256M for a kernel's file of 8M or more]"),
        click.option("--cmdline", default="", metavar="TEXT", help="The guest's command line."),
        click.option("--max-insns", type=instructions, metavar="N",
                     help="End the run before the guest has executed more than N instructions (all its "
                          "virtual CPUs together)."),
        click.option("--timeout", "timeout_s", type=seconds, metavar="S",
                     help="End the run after S seconds of the host's time."),
        click.option("--tier", type=click.Choice(TIERS), default="native", show_default=True,
                     help="native: the hottest exits are served in C. python: all are served in Python."),
        click.option("--remedy", type=click.Choice(REMEDIES), callback=_remedy,
                     help="Full: what is done about sensitive instructions that do not trap. "
                          f"{DEFAULT_REMEDY} without it."),
        click.option("--no-patch", is_flag=True, is_eager=True, expose_value=False, callback=_note_no_patch,
                     help="Short for --remedy none: a guest sees the hole that x86 has."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command
