# SPDX-License-Identifier: GPL-2.0-or-later
"""`pvisor up`: the domains of a file, side by side."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pvisor.cli.files import OutputFile, output_file
from pvisor.cli.params import FILE
from pvisor.domain.outcome import EndedBy
from pvisor.errors import PvisorError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from pvisor.machine.switch import OnFrame
    from pvisor.vmm.hypervisor import HostedDomain, Hypervisor
    from pvisor.vmm.setup_file import DomainSetup, Setup

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")


@click.command(short_help="Run several domains from a file.")
@click.argument("file", type=FILE)
@click.option(
    "--threads",
    "n_threads",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Run domains on physical CPUs of their own, by so many threads of the host; a group shares one.",
)
@click.option(
    "--stats",
    "stats_file",
    type=FILE,
    metavar="FILE",
    help="Write the statistics of all domains to FILE (JSON: by name, each in the schema pvisor.stats/1).",
)
def up(file: Path, n_threads: int, stats_file: Path | None) -> int:
    """Run the domains that FILE describes, side by side on one virtual clock.

    FILE is TOML: [domain.NAME] with kernel, mode, memory, memory_targets, vcpus, weight, cap, cmdline,
    initrd, modules, disks, network, group, served_by, console, cpu, seed, tier, transport, max_insns and
    timeout, of which only kernel must be there; [network.NAME] with pcap. What the domains print comes line
    by line with their names, unless a console names a file.

    A target moves while the domain runs: memory_targets = [{ at_ms = 10, memory = "24M" }] asks a
    paravirtual domain to have no more than that from 10 ms of virtual time on; it hears of it by an event.

    A domain that crashes leaves the others running. The exit status is 0 when every domain ended with 0, else
    that of the first in the file that did not.
    """
    from pvisor.cpu.unicorn_engine import signals_kick
    from pvisor.vmm.hypervisor import Hypervisor
    from pvisor.vmm.setup_file import read_setup

    setup = read_setup(file)
    inputs = [file, *(disk.path for domain in setup.domains for disk in domain.config.disks)]
    inputs += [domain.config.kernel for domain in setup.domains]
    with ExitStack() as files:
        stats = files.enter_context(output_file("--stats", stats_file, *inputs))
        taken: list[Path | OutputFile | None] = [*inputs, stats]

        def open_file(option: str, path: Path) -> OutputFile:
            opened = files.enter_context(output_file(option, path, *taken))
            assert opened is not None
            taken.append(opened)
            return opened

        with signals_kick() as interrupted, Hypervisor(n_threads, interrupted) as hypervisor:
            finish = _create(hypervisor, file, setup, open_file)
            try:
                hypervisor.run()
            finally:
                finish()
            if stats is not None:
                stats.write(_stats(hypervisor.domains))
            _report(hypervisor.domains)
    statuses = [domain.status for domain in hypervisor.domains]
    return next((status for status in statuses if status), 0)


def _create(
    hypervisor: Hypervisor, file: Path, setup: Setup, open_file: Callable[[str, Path], OutputFile]
) -> Callable[[], None]:
    """Make networks and domains; what is to be done when they have run."""
    from pvisor.machine.clock import WallClock
    from pvisor.machine.console import ConsoleOutput
    from pvisor.machine.pcap import PcapWriter
    from pvisor.vmm.setup_file import by_keys

    finishing: list[Callable[[], object]] = []
    for network in setup.networks:
        on_frame: OnFrame = lambda virtual_ns, frame: None  # noqa: E731
        if network.pcap is not None:
            capture = PcapWriter(open_file(f"[network.{network.name}] pcap", network.pcap).write, WallClock())
            on_frame = capture.frame
            finishing.append(capture.finish)
        hypervisor.add_network(network.name, on_frame)
    screen = _screen()
    width = max(len(domain.config.name) for domain in setup.domains)
    for number, domain in enumerate(setup.domains):
        sink, end = _sink(domain, number, width, screen, open_file)
        try:
            hosted = hypervisor.create(domain.config, ConsoleOutput(sink, keep=False))
            _move_memory_targets(hosted, domain)
        except PvisorError as error:
            raise type(error)(f"{file}: [domain.{domain.config.name}] {by_keys(str(error))}") from None
        finishing.append(end)
    _introduce(hypervisor, setup)

    def finish() -> None:
        for end in finishing:
            end()

    return finish


def _move_memory_targets(hosted: HostedDomain, domain: DomainSetup) -> None:
    """When its time comes, tell the domain how much memory it shall have."""
    if domain.memory_targets and (hosted.machine is None or hosted.machine.balloon is None):
        raise UsageError("memory_targets: only a paravirtual domain (mode para) gives memory back")
    for target in domain.memory_targets:
        hosted.at(target.at_ns, partial(hosted.set_memory_target, target.memory_bytes))


def _introduce(hypervisor: Hypervisor, setup: Setup) -> None:
    """Tell domains whose devices they serve."""
    by_name = {domain.name: domain for domain in hypervisor.domains}
    for domain in setup.domains:
        for folder, backend in domain.served_by.items():
            hypervisor.let_serve(by_name[backend], by_name[domain.config.name], folder)


def _screen() -> Console:
    from rich.console import Console

    class Screen(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # not the end of the process: the domains are closed first

    return Screen(highlight=False, markup=False, soft_wrap=True)


def _sink(
    domain: DomainSetup, number: int, width: int, screen: Console,
    open_file: Callable[[str, Path], OutputFile],
) -> tuple[Callable[[bytes], object], Callable[[], object]]:  # fmt: skip
    """Where a console's bytes go, and what is to be done at the end."""
    name = domain.config.name
    if domain.console is not None:
        file = open_file(f"[domain.{name}] console", domain.console)
        file.write(b"")
        return file.write, lambda: None
    lines = _PrefixedLines(f"{name:{width}} | ", COLOURS[number % len(COLOURS)], screen)
    return lines.write, lines.finish


class _PrefixedLines:
    """Whole lines of a console, each behind the domain's name. A line that gets too long is cut."""

    MAX_BYTES = 4096

    def __init__(self, prefix: str, colour: str, screen: Console) -> None:
        self._prefix = prefix
        self._colour = colour
        self._screen = screen
        self._rest = b""

    def write(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._put(line)
        while len(self._rest) >= self.MAX_BYTES:
            self._put(self._rest[: self.MAX_BYTES])
            self._rest = self._rest[self.MAX_BYTES :]

    def finish(self) -> None:
        """A last line without its end."""
        if self._rest:
            self._put(self._rest)
            self._rest = b""

    def _put(self, line: bytes) -> None:
        from rich.text import Text

        words = line.rstrip(b"\r").decode("utf-8", "replace")
        self._screen.print(Text(self._prefix, style=self._colour).append(words, style="default"))


def _stats(domains: list[HostedDomain]) -> bytes:
    from pvisor.observe.stats import stats_of

    return json.dumps({one.name: stats_of(one.stats) for one in domains}, indent=2).encode() + b"\n"


def _report(domains: list[HostedDomain]) -> None:
    """How each ended, on stderr: crash reports, and a table."""
    from rich.console import Console
    from rich.table import Table

    from pvisor.full.kernel_file import read_image
    from pvisor.observe.report import crash_report

    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    for domain in domains:
        if domain.stats.ending.ended_by is EndedBy.CRASH:
            errors.print(f"\n{domain.name}:")
            image = read_image(domain.config.kernel, domain.config.entry)
            errors.print(crash_report(domain.stats, image, domain.domid), end="")
    table = Table(box=None, pad_edge=False)
    for title in ("domain", "mode", "status", "ended by", "instructions", "virtual ms"):
        table.add_column(
            title, justify="right" if title in ("status", "instructions", "virtual ms") else "left"
        )
    for domain in domains:
        stats = domain.stats
        table.add_row(
            domain.name, stats.mode, str(stats.ending.status), stats.ending.ended_by.value,
            f"{stats.n_instructions:,}", f"{stats.virtual_ns / 1e6:.3f}",
        )  # fmt: skip
    errors.print(table)
