# SPDX-License-Identifier: GPL-2.0-or-later
"""All the figures that the left wing has promised, each with its limit: `python -m tests.bench.figures`."""

from __future__ import annotations

from tests.bench import cli_sti, cr3, fill, paged, system_call, uart
from tests.bench.figure import n_samples_asked, report


def main() -> None:
    """Measure one after the other; reading by ATA PIO has its own script (ata.py)."""
    n_samples = n_samples_asked()
    report([cli_sti.measure(n_samples)])
    report([system_call.measure(n_samples)])
    report([uart.measure(n_samples)])
    report([cr3.measure(n_samples)])
    report(fill.measure(n_samples))
    report([paged.measure(n_samples)])


if __name__ == "__main__":
    main()
