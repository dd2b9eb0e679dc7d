# SPDX-License-Identifier: GPL-2.0-or-later
"""`pvisor demos`: the guest programs that come with pvisor, each with a lab sheet."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pvisor.toolchain.demos import list_demos


@click.command(short_help="List the demos.")
def demos() -> None:
    """List the demos, each with a lab sheet in its README.

    `pvisor compare NAME` runs one in both modes, if it has both.
    """
    table = Table()
    table.add_column("name", no_wrap=True)
    table.add_column("about")
    table.add_column("modes", no_wrap=True)
    table.add_column("folder", no_wrap=True)
    found = list_demos()
    for demo in found:
        table.add_row(demo.name, Text(demo.title()), ", ".join(demo.modes), Text(demo.folder.name))
    console = Console(highlight=False)
    console.print(table)
    if found:
        console.print(Text(f"The folders are in {found[0].folder.parent}"), soft_wrap=True)
