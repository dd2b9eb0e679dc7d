# SPDX-License-Identifier: GPL-2.0-or-later
"""The command `pvisor`: one file a subcommand, each imported only when it is used.

Here is what they share: how a command ends. Every PvisorError becomes one line on stderr and its own exit
status; so does a mistake in the command line (125). Only a mistake of ours shows a traceback.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from pvisor import __version__
from pvisor.errors import BuildError, PvisorError, UsageError

STATUS_INTERRUPTED = 130
GARBAGE_THRESHOLD = 50_000
"""Objects made since the last search for garbage, at which there is another (gc.set_threshold)."""
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
"""What a write to stdout may fail with, besides a reader that has gone."""

COMMANDS = {
    "run": ("run", "run", "Run a guest."),
    "up": ("up", "up", "Run several domains from a file."),
    "compare": ("compare", "compare", "Run one program in both modes and compare what it cost."),
    "build": ("build", "build", "Build a guest from C."),
    "inspect": ("inspect", "inspect", "Show what is in a guest's ELF file."),
    "demos": ("demos", "demos", "List the demos."),
    "abi": ("abi", "abi", "Show the hypercalls, or one of them, or a struct."),
    "trace": ("trace", "trace", "Read a trace."),
    "bench": ("bench", "bench", "Measure what a kernel's operations and its exits cost here."),
}
"""Subcommand: its module in this package, the click command in there, its line in the help."""

EPILOG = """\b
Exit status, of `run` foremost:
    the guest's own: 0, or ((s << 1) | 1) & 255 for a guest that exits with s
    124  the budget or the time is over, or nothing can wake the guest
    125  the command, a file or an option is wrong; a build failed
    126  the guest was refused
    130  interrupted (Ctrl-C, SIGTERM, or nobody reads the output)
    134  the guest crashed"""


class LazyGroup(click.Group):
    """A group whose subcommands are imported when they are called for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table, which is that of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module and take the command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(import_module(f"pvisor.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help, which needs no import."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--version", "wants_version", is_flag=True, help="Show the version; with -v, what it runs on.")
@click.option("-v", "--verbose", is_flag=True, help="With --version: engine, repair, compiler.")
@click.pass_context
def cli(ctx: click.Context, wants_version: bool, verbose: bool) -> None:
    """Run one guest program fully virtualized and paravirtualized, compare the two, learn why they differ.

    Begin with `pvisor compare hello`.
    """
    if wants_version:
        click.echo(f"pvisor {__version__}")
        if verbose:
            from pvisor.cli.version import details

            click.echo(details())
        ctx.exit()
    if verbose:
        raise click.UsageError("-v goes with --version", ctx)
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(UsageError.status)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command; the result is the exit status."""
    _prepare_process()
    try:
        status = _run(args)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        say("interrupted")
        return STATUS_INTERRUPTED
    except BrokenPipeError:
        _give_up_stdout()  # the reader has gone (`pvisor abi | head`)
        return STATUS_INTERRUPTED
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        _give_up_stdout()
        say(f"the output cannot be written ({error.strerror or error})")
        return UsageError.status


def _prepare_process() -> None:
    """SIGTERM ends a command as Ctrl-C does; a terminal without our characters gets others in their place.

    What a start makes stays, mostly, and is not looked through for garbage every 700 objects.
    """
    gc.set_threshold(GARBAGE_THRESHOLD)
    with contextlib.suppress(ValueError):  # another thread's business
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _give_up_stdout() -> None:
    """Python must not try again to flush at its end."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _run(args: Sequence[str] | None) -> int:
    try:
        status = cli.main(args, prog_name="pvisor", standalone_mode=False)
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        say(_in_one_line(error, sys.argv[1:] if args is None else args))
        return UsageError.status
    except BuildError as error:
        click.echo(str(error), err=True)
        return error.status
    except PvisorError as error:
        say(str(error))
        return error.status
    return status if isinstance(status, int) else 0


def say(message: str) -> None:
    """A line of diagnostics on stderr."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(f"pvisor: {message}", err=True)


def _in_one_line(error: click.ClickException, words: Sequence[str]) -> str:
    """What is wrong with a command line, and where to look."""
    context = getattr(error, "ctx", None)
    if context is not None:
        where = context.command_path
    else:
        where = " ".join(["pvisor", *[word for word in words if word in COMMANDS][:1]])
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message} (see `{where} --help`)"
