# SPDX-License-Identifier: GPL-2.0-or-later
"""CR3 reloaded between two address spaces that the shadow has cached, against a bare CR3 write.

`python -m tests.bench.cr3`. The guest is row `root_switch` of `pvisor bench`. The reference is an engine
without a hook at CPL 0, in a loop that loads two roots in turn: what follows a write (the TLB is empty) is in
both.
"""

from __future__ import annotations

import time
from statistics import median

import unicorn
from unicorn import x86_const as x86
from unicorn.unicorn_py3 import Uc

from pvisor.observe.bench import Effort
from pvisor.observe.bench_operations import KERNEL_OPERATIONS, run_operations
from tests.bench.figure import Figure, n_samples_asked, report

LIMIT = 2.5
CODE, TABLES, MEMORY_BYTES = 0x1000, (0x10000, 0x20000), 1 << 20
LOOP = bytes.fromhex("0f22d8 0f22db ffc9 75f6 f4")
"""mov %rax, %cr3; mov %rbx, %cr3; dec %ecx; jnz; hlt."""
N_LOOPS = 100_000


def measure(n_samples: int = 5, sample_ms: float = 30) -> Figure:
    """One reload in both."""
    (operation,) = (each for each in KERNEL_OPERATIONS if each.name == "root_switch")
    rows = run_operations(Effort(n_samples, sample_ms), operations=(operation,)).rows
    full = next(row for row in rows if row.mode == "full")
    bare = median(bare_write_ns() for _ in range(n_samples))
    return Figure("CR3 reload, two spaces", full.ns_median, bare, "bare CR3 write", LIMIT, full.served_by)


def bare_write_ns(n_loops: int = N_LOOPS) -> float:
    """Nanoseconds of one write on an engine of its own."""
    uc = Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
    uc.mem_map(0, MEMORY_BYTES)
    for root in TABLES:
        for level in range(3):
            uc.mem_write(root + level * 0x1000, (root + (level + 1) * 0x1000 | 3).to_bytes(8, "little"))
        uc.mem_write(root + 0x3008, (CODE | 0x61).to_bytes(8, "little"))
    uc.mem_write(CODE, LOOP)
    uc.reg_write(x86.UC_X86_REG_CR4, 0x620)
    uc.reg_write(x86.UC_X86_REG_MSR, (0xC000_0080, 0xD01))
    uc.reg_write(x86.UC_X86_REG_CR3, TABLES[0])
    uc.reg_write(x86.UC_X86_REG_CR0, 0x8001_0033)
    uc.reg_write(x86.UC_X86_REG_RAX, TABLES[0])
    uc.reg_write(x86.UC_X86_REG_RBX, TABLES[1])
    uc.reg_write(x86.UC_X86_REG_RCX, n_loops)
    begin = time.thread_time_ns()
    uc.emu_start(CODE, MEMORY_BYTES - 1)
    spent = time.thread_time_ns() - begin
    assert uc.reg_read(x86.UC_X86_REG_RCX) == 0
    return spent / (2 * n_loops)


if __name__ == "__main__":
    report([measure(n_samples_asked())])
