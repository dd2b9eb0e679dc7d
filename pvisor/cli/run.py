# SPDX-License-Identifier: GPL-2.0-or-later
"""`pvisor run`: one guest, its console (or screen) on stdin and stdout, everything about it on stderr."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pvisor.cli.files import OutputFile, output_file
from pvisor.cli.params import FILE, cpu, date, disk, domain_options, module
from pvisor.domain.outcome import EndedBy
from pvisor.errors import GuestRefused
from pvisor.full.kernel_file import ENTRIES
from pvisor.machine.clock import DEFAULT_EPOCH_S
from pvisor.machine.modules import ModuleFile
from pvisor.observe.stats import Json, refused_stats, stats_of
from pvisor.vmm.config import MODES, TRANSPORTS, DiskConfig, DomainConfig, RunResult

if TYPE_CHECKING:
    from pvisor.cli.screen import LiveScreen
    from pvisor.cli.terminal import RawOutput
    from pvisor.observe.linux.inquest import KernelFacts
    from pvisor.observe.linux.places import Place
    from pvisor.observe.linux.symbols import Symbols
    from pvisor.observe.trace_file import TraceWriter


@click.command(short_help="Run a guest.")
@click.argument("guest", type=FILE)
@click.option(
    "--mode",
    type=click.Choice(MODES),
    default="auto",
    show_default=True,
    help="full: the guest believes it owns a PC. para: it calls us. hybrid: a PC that calls us for its I/O. "
    "emu: a PC without a hypervisor in it. auto: as its file says.",
)
@domain_options
@click.option(
    "--entry",
    type=click.Choice(ENTRIES),
    default="auto",
    show_default=True,
    help="Full: the boot protocol by which the kernel is entered. linux32, linux64: a bzImage, which unpacks "
    "itself. pvh: of a bzImage, the kernel inside, unpacked here. auto: as its file says.",
)
@click.option(
    "--initrd", type=FILE, metavar="FILE", help="Full: give FILE to the kernel as its first boot module."
)
@click.option(
    "--module",
    "modules",
    type=module,
    multiple=True,
    metavar="FILE[=ARGS]",
    help="Full: a further boot module with its arguments. May be given several times.",
)
@click.option(
    "--vcpus",
    "n_vcpus",
    type=click.IntRange(1, 16),
    default=1,
    show_default=True,
    help="Para: how many virtual CPUs there are; the guest starts on the first.",
)
@click.option(
    "--transport",
    type=click.Choice(TRANSPORTS),
    default="syscall",
    show_default=True,
    help="Para: the instruction by which the hypercall page enters the hypervisor.",
)
@click.option("--debug-abi", is_flag=True, help="Para: poison the registers that a hypercall may change.")
@click.option(
    "--cpu",
    metavar="MODEL[,+FEATURE][,-FEATURE]",
    callback=cpu,
    help="Full: the PC's CPU, as westmere,-pcid or +xsave; `--cpu help` tells what there is.",
)
@click.option(
    "--epoch",
    "epoch_s",
    type=date,
    metavar="DATE",
    help="The date of the guest's clock at its start: 2026-01-01 without it, with --realtime the host's.",
)
@click.option(
    "--realtime",
    is_flag=True,
    help="Let the guest's time go with the host's clock; such a run does not repeat.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, (1 << 64) - 1),
    default=0,
    show_default=True,
    help="Vary when the guest is interrupted, its time slices and, in para, its random bytes: the same seed "
    "does the same every time; 0 does not vary times.",
)
@click.option(
    "--disk",
    "disks",
    type=disk,
    multiple=True,
    metavar="FILE[,ro]",
    help="A raw disk image, locked while the guest runs; with ,ro the guest may only read it.",
)
@click.option(
    "--net", is_flag=True, help="A network card (full: an NE2000), on a switch where nobody else is yet."
)
@click.option(
    "--pcap",
    "pcap_file",
    type=FILE,
    metavar="FILE",
    help="With --net: write the frames on the switch to FILE, for Wireshark.",
)
@click.option(
    "--screen",
    is_flag=True,
    help="Full: stdin is the keyboard and stdout the screen (25 lines of text); what the guest sends to its "
    "serial port goes to stderr.",
)
@click.option(
    "--all-keys",
    is_flag=True,
    help="On a terminal each key is the guest's, Ctrl-C too. Ctrl-A x ends the run, Ctrl-A a is its Ctrl-A.",
)
@click.option(
    "--stats",
    "stats_file",
    type=FILE,
    metavar="FILE",
    help="Write instructions, times and exits by reason to FILE (JSON, schema pvisor.stats/1).",
)
@click.option(
    "--time-exits", is_flag=True, help="In the statistics, also time exits that are served in C, by samples."
)
@click.option(
    "--trace",
    "trace_file",
    type=FILE,
    metavar="FILE",
    help="Record every exit to FILE; `pvisor trace show FILE` reads it.",
)
@click.option(
    "--symbols",
    "symbols_file",
    type=FILE,
    metavar="FILE",
    help="Full: a Linux kernel's System.map, or its vmlinux with symbols, for crash reports; without it "
    "names are those that the kernel has in memory.",
)
@click.option("--trace-host", is_flag=True, help="With --trace: the host's times, to FILE.host.")  # fmt: skip
def run(
    guest: Path,
    mode: str,
    memory_bytes: int,
    cmdline: str,
    max_insns: int | None,
    timeout_s: float | None,
    tier: str,
    remedy: str | None,
    entry: str,
    initrd: Path | None,
    modules: tuple[ModuleFile, ...],
    n_vcpus: int,
    transport: str,
    debug_abi: bool,
    cpu: str | None,
    epoch_s: int | None,
    realtime: bool,
    seed: int,
    disks: tuple[DiskConfig, ...],
    net: bool,
    pcap_file: Path | None,
    screen: bool,
    all_keys: bool,
    stats_file: Path | None,
    time_exits: bool,
    trace_file: Path | None,
    trace_host: bool,
    symbols_file: Path | None,
) -> int:
    """Run GUEST, an ELF file made by `pvisor build`, or another PC kernel: PVH, Multiboot or Linux.

    The guest's console is stdin and stdout; nothing else is written to stdout. How it ended, unless it ended
    itself, is said on stderr. Virtual time goes by instructions (one is a nanosecond), so the same guest with
    the same input does the same every time.

    With --screen, a terminal shows the screen while the guest runs, and above it, line by line, what goes to
    stderr. Each key is the guest's, but for Ctrl-C, which ends the run as always; a guest that sleeps does so
    as long as a PC would. Where stdout is no terminal, the text that is on the screen at the end is written
    there, without blanks at the ends of lines and without empty lines below.
    """
    if trace_host and trace_file is None:
        raise click.UsageError("--trace-host goes with --trace FILE", click.get_current_context())
    if pcap_file is not None and not net:
        raise click.UsageError("--pcap FILE goes with --net", click.get_current_context())
    if epoch_s is None:
        epoch_s = int(time.time()) if realtime else DEFAULT_EPOCH_S
    config = DomainConfig(
        kernel=guest, mode=mode, memory_bytes=memory_bytes, cmdline=cmdline, tier=tier, transport=transport,
        n_vcpus=n_vcpus,
        max_insns=max_insns, timeout_s=timeout_s, epoch_s=epoch_s, debug_abi=debug_abi, time_exits=time_exits,
        disks=disks, net=net, initrd=initrd, modules=modules, remedy=remedy, screen=screen, seed=seed,
        entry=entry, realtime=realtime, cpu=cpu,
    )  # fmt: skip
    images = [disk.path for disk in disks]
    host_file = Path(f"{trace_file}.host") if trace_host else None
    with (
        output_file("--stats", stats_file, guest, *images) as stats,
        output_file("--trace", trace_file, guest, *images, stats) as trace,
        output_file("--trace-host", host_file, guest, *images, stats, trace) as host,
        output_file("--pcap", pcap_file, guest, *images, stats, trace, host) as pcap,
    ):
        try:
            result, places = _run(config, trace, host, pcap, all_keys, symbols_file)
        except GuestRefused as refusal:
            _write_stats(stats, refused_stats(config, refusal))
            raise
        _write_stats(stats, stats_of(result, places))
    return result.ending.status


def _run(config: DomainConfig, trace: OutputFile | None, host: OutputFile | None,
         pcap: OutputFile | None, all_keys: bool,
         symbols_file: Path | None) -> tuple[RunResult, Sequence[Place]]:  # fmt: skip
    """Run with console and signals in place; afterwards say how it ended."""
    from pvisor.cli.terminal import console_input, keys_as_typed
    from pvisor.cpu.unicorn_engine import signals_kick
    from pvisor.machine.clock import WallClock
    from pvisor.machine.console import ConsoleOutput
    from pvisor.machine.pcap import PcapWriter
    from pvisor.machine.switch import Switch
    from pvisor.observe.linux.watch import KernelWatch
    from pvisor.vmm.run import run_domain

    watcher = KernelWatch(_symbols(symbols_file), counts_places=config.time_exits)
    with signals_kick() as interrupted:
        output, live = _outputs(config, interrupted, all_keys)
        writer = _trace_writer(config, trace, host) if trace is not None else None
        capture = PcapWriter(pcap.write, WallClock(config.epoch_s)) if pcap is not None else None
        keys = keys_as_typed(all_but_ctrl_c=config.screen, all_keys=all_keys)
        with keys, console_input(all_keys=all_keys) as typed:
            result = run_domain(
                config, ConsoleOutput((live or output).write, keep=False), typed,
                trace=writer.write if writer is not None else None, interrupted=interrupted,
                switch=Switch(capture.frame) if capture is not None else None, viewer=live,
                watcher=watcher,
            )  # fmt: skip
        if capture is not None:
            capture.finish()
        if writer is not None:
            writer.finish(result)
        if config.screen and live is None:
            click.echo("".join(f"{line}\n" for line in result.screen), nl=False)
        _say_how_it_ended(config, result, output, interrupted(), watcher.facts)
    return result, watcher.places


def _outputs(
    config: DomainConfig, interrupted: Callable[[], bool], all_keys: bool
) -> tuple[RawOutput, LiveScreen | None]:
    """Where the guest's console goes; and, instead of it, a terminal that shows screen and console."""
    from pvisor.cli.terminal import STDERR, STDOUT, RawOutput, is_terminal

    output = RawOutput(interrupted, STDERR if config.screen else STDOUT)
    if not config.screen or not is_terminal(STDOUT):
        return output, None
    from pvisor.cli.screen import LiveScreen

    serial = None if is_terminal(STDERR) else output.write
    return output, LiveScreen(config.kernel.name, serial, way_out="Ctrl-A x" if all_keys else "Ctrl-C")


def _trace_writer(config: DomainConfig, trace: OutputFile, host: OutputFile | None) -> TraceWriter:
    """What takes the trace, its header written. The guest is read here for that; it may be refused."""
    from hashlib import sha256

    from pvisor.full.kernel_file import read_image
    from pvisor.observe.trace_file import TracedDomain, TraceWriter
    from pvisor.vmm.builder import mode_of

    mode = mode_of(read_image(config.kernel, config.entry), config.mode)
    digest = sha256(config.kernel.read_bytes()).hexdigest()
    domain = TracedDomain(1, config.kernel.name, mode, digest, config.cpu or "", config.seed)
    return TraceWriter(trace.write, domain, host.write if host is not None else None)


def _say_how_it_ended(config: DomainConfig, result: RunResult, output: RawOutput, by_signal: bool,
                      kernel: KernelFacts | None) -> None:  # fmt: skip
    """One line, or a crash report; nothing when the guest ended itself, or when its reader did."""
    ending = result.ending
    if ending.ended_by is EndedBy.GUEST or (ending.ended_by is EndedBy.INTERRUPTED and not by_signal):
        return
    from pvisor.cli import say

    if output.needs_line_break:
        click.echo(err=True)
    if ending.ended_by is not EndedBy.CRASH and kernel is None:
        say(ending.reason)
        return
    from pvisor.full.kernel_file import read_image
    from pvisor.observe.report import crash_report

    image = read_image(config.kernel, config.entry)
    click.echo(crash_report(result, image, kernel=kernel), err=True, nl=False)


def _symbols(path: Path | None) -> Symbols | None:
    """Those of a file that was given."""
    if path is None:
        return None
    from pvisor.observe.linux.symbols import read_symbols

    return read_symbols(path)


def _write_stats(file: OutputFile | None, stats: Json) -> None:
    if file is not None:
        file.write(json.dumps(stats, indent=2).encode() + b"\n")
