# SPDX-License-Identifier: GPL-2.0-or-later
"""The paravirtual console: one hypercall for a whole buffer. Twin of full/console.py, a 16550 UART."""

from __future__ import annotations

from pvisor.abi import constants
from pvisor.abi.areas import console as rows
from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.para.hypercalls import Served
from pvisor.para.refusal import copy_in, copy_out

WRITE_MAX = constants.CONSOLE_WRITE_MAX.number
READ_MAX = constants.CONSOLE_READ_MAX.number


def console_write(domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
    """CONSOLE_WRITE(buffer, size_bytes): bytes written."""
    n_bytes = min(exit.args[1], WRITE_MAX)
    if n_bytes == 0:
        return 0
    domain.console.write(copy_in(domain, vcpu, exit.args[0], n_bytes))
    return n_bytes


def console_read(domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
    """CONSOLE_READ(buffer, size_bytes): bytes read, 0 when there are none. Checks the whole range first."""
    buffer, n_bytes = exit.args[0], min(exit.args[1], READ_MAX)
    if n_bytes == 0:
        return 0
    copy_out(domain, vcpu, buffer, copy_in(domain, vcpu, buffer, n_bytes))
    data = domain.input.take(exit.virtual_ns, n_bytes)
    copy_out(domain, vcpu, buffer, data)
    return len(data)


SERVED = Served(answers={rows.CONSOLE_WRITE: console_write, rows.CONSOLE_READ: console_read})
