# SPDX-License-Identifier: GPL-2.0-or-later
"""All the figures that the two wings have promised, each with its limit: `python -m tests.bench.figures`."""

from __future__ import annotations

from tests.bench import (
    cli_sti,
    cr3,
    devices_para,
    event_trip,
    fill,
    hypercall,
    page_tables,
    paged,
    system_call,
    uart,
)
from tests.bench.figure import n_samples_asked, report


def left_wing(n_samples: int) -> None:
    """Measure one after the other; reading by ATA PIO has its own script (ata.py)."""
    report([cli_sti.measure(n_samples)])
    report([system_call.measure(n_samples)])
    report([uart.measure(n_samples)])
    report([cr3.measure(n_samples)])
    report(fill.measure(n_samples))
    report([paged.measure(n_samples)])


def right_wing(n_samples: int) -> None:
    """Measure one after the other."""
    report([hypercall.measure(n_samples)])
    report(event_trip.measure(n_samples))
    report(page_tables.measure(n_samples))
    report(devices_para.measure(n_samples))


if __name__ == "__main__":
    left_wing(n_samples_asked())
    right_wing(n_samples_asked())
