# SPDX-License-Identifier: GPL-2.0-or-later
"""What the shim costs a guest that only computes: a sieve and a hash, under pvisor and on bare Unicorn.

`python -m tests.bench.compute` runs about 10^9 instructions a sample and prints the ratio. Both sides map
data no-execute and run the same bytes in turn, in one process. Under pvisor the guest is at ring 1 and every
block passes the block hook (counting, limits, the check of the ring); the bare engine has no hook at all.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import unicorn
from unicorn import x86_const as x86
from unicorn.unicorn_py3 import Uc

from pvisor.cpu.exits import ExitReason
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import RAX, RDI, RSP
from pvisor.machine.frames import HypervisorFrames
from pvisor.machine.memory import PAGE_BYTES, GuestMemory

SOURCE = Path(__file__).with_name("compute_guest.c")
CODE, STACK_TOP, TABLES, MEMORY_BYTES = 0x10_0000, 0x20_0000, 0x20_0000, 8 << 20
ROUNDS = 21
"""About 10^9 instructions."""
CODE_BUFFER_BYTES = 128 << 20
"""As the shim's (engine.c): translated code far from the library is slower, and that would be luck."""
TABLE, AS_CODE, AS_DATA = 3, 0x61, 0x63 | 1 << 63


@dataclass(frozen=True, slots=True)
class Result:
    """Host seconds of each sample, and what the guest did."""

    shim_s: list[float]
    bare_s: list[float]
    n_instructions: int
    n_exits: int

    @property
    def ratio(self) -> float:
        """Median under pvisor over median on the bare engine."""
        return median(self.shim_s) / median(self.bare_s)


def build_guest() -> bytes:
    """The guest's bytes, linked to CODE."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "guest"
        subprocess.run(
            ["gcc", "-O2", "-ffreestanding", "-fno-tree-loop-distribute-patterns", "-fno-tree-vectorize",
             "-fno-pic", "-no-pie", "-mno-red-zone", "-fcf-protection=none", "-fno-stack-protector",
             "-fno-asynchronous-unwind-tables", "-nostdlib", "-static", "-Wl,--build-id=none", "-Wl,-n",
             f"-Wl,-Ttext={CODE:#x}", "-Wl,--oformat=binary", "-Wl,-e,_start", "-o", image, SOURCE],
            check=True,
        )  # fmt: skip
        return image.read_bytes()


def tables(code_bytes: int) -> list[bytes]:
    """GVA = GPA, in 4 KiB pages, at TABLES: the guest's code executable, the rest data. The root is first."""
    n_leaves = MEMORY_BYTES >> 21
    upper = [bytearray(PAGE_BYTES) for _ in range(3)]
    leaves = [bytearray(PAGE_BYTES) for _ in range(n_leaves)]

    def put(table: bytearray, index: int, entry: int) -> None:
        table[8 * index : 8 * index + 8] = entry.to_bytes(8, "little")

    put(upper[0], 0, TABLES + PAGE_BYTES | TABLE)
    put(upper[1], 0, TABLES + 2 * PAGE_BYTES | TABLE)
    for i, leaf in enumerate(leaves):
        put(upper[2], i, TABLES + (3 + i) * PAGE_BYTES | TABLE)
        for page in range(i << 21, i + 1 << 21, PAGE_BYTES):
            is_code = CODE <= page < CODE + code_bytes
            put(leaf, page >> 12 & 511, page | (AS_CODE if is_code else AS_DATA))
    return [bytes(table) for table in (*upper, *leaves)]


class OnShim:
    """The guest on pvisor's engine, with everything that a domain's vCPU has but handlers."""

    def __init__(self, code: bytes) -> None:
        self._memory = GuestMemory(MEMORY_BYTES)
        self._frames = HypervisorFrames(1)
        self.vcpu = UnicornVcpu(self._memory, self._frames)
        for i, table in enumerate(tables(len(code))):
            self._memory.write(TABLES + i * PAGE_BYTES, table)
        self._memory.write(CODE, code)
        self.vcpu.set_root(TABLES)

    def run(self, rounds: int) -> int:
        """Run to the end; the checksum."""
        regs = self.vcpu.regs
        regs.rip, regs.gpr[RDI], regs.gpr[RSP] = CODE, rounds, STACK_TOP
        reason = self.vcpu.run()
        assert reason == ExitReason.HLT, reason
        return regs.gpr[RAX]

    def close(self) -> None:
        """Free the engine."""
        self.vcpu.close()
        self._frames.close()


class OnBare:
    """The guest on an engine without a hook, at ring 0, where HLT ends the run."""

    def __init__(self, code: bytes) -> None:
        self._uc = Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
        self._uc.ctl_set_tcg_buffer_size(CODE_BUFFER_BYTES)
        self._uc.mem_map(0, MEMORY_BYTES)
        for i, table in enumerate(tables(len(code))):
            self._uc.mem_write(TABLES + i * PAGE_BYTES, table)
        self._uc.mem_write(CODE, code)
        self._uc.reg_write(x86.UC_X86_REG_CR4, 0x620)
        self._uc.reg_write(x86.UC_X86_REG_MSR, (0xC000_0080, 0xD01))
        self._uc.reg_write(x86.UC_X86_REG_CR3, TABLES)
        self._uc.reg_write(x86.UC_X86_REG_CR0, 0x8001_0033)

    def run(self, rounds: int) -> int:
        """Run to the end; the checksum."""
        self._uc.reg_write(x86.UC_X86_REG_RDI, rounds)
        self._uc.reg_write(x86.UC_X86_REG_RSP, STACK_TOP)
        self._uc.emu_start(CODE, MEMORY_BYTES - 1)
        return int(self._uc.reg_read(x86.UC_X86_REG_RAX))


def measure(rounds: int = ROUNDS, n_samples: int = 5) -> Result:
    """Run both in turn and compare their checksums."""
    code = build_guest()
    shim, bare = OnShim(code), OnBare(code)
    result = Result([], [], 0, 0)
    assert shim.run(1) == bare.run(1)
    before = shim.vcpu.n_instructions
    for _ in range(n_samples):
        checksums = [_timed(result.bare_s, bare.run, rounds), _timed(result.shim_s, shim.run, rounds)]
        assert checksums[0] == checksums[1]
    n_instructions = (shim.vcpu.n_instructions - before) // n_samples
    shim.vcpu.complete()
    n_exits = int(shim.vcpu.v.exits_total)
    shim.close()
    return Result(result.shim_s, result.bare_s, n_instructions, n_exits)


def _timed(times: list[float], run: Callable[[int], int], rounds: int) -> int:
    begin = time.perf_counter()
    checksum = run(rounds)
    times.append(time.perf_counter() - begin)
    return checksum


def main() -> None:
    """Print what `measure` found."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    result = measure(rounds)
    for name, times in (("pvisor", result.shim_s), ("bare", result.bare_s)):
        rate = result.n_instructions / median(times) / 1e6
        spread = f"{min(times):.3f}-{max(times):.3f}"
        print(f"{name:7} {median(times):.3f} s ({spread}), {rate:,.0f} M instructions/s")
    print(f"ratio   {result.ratio:.2f} ({result.n_instructions:,} instructions a sample)")


if __name__ == "__main__":
    main()
