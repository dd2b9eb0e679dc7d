# SPDX-License-Identifier: GPL-2.0-or-later
"""The comparison: one program built for both wings, run in both, its costs side by side.

A comparison is fair only if both guests did the same job, so it counts for nothing unless their output and
their end are the same. It leads with exits and instructions per operation, an operation being a call of a
function of the SDK's public API that both guests made. Those counts carry over to other engines and to
hardware. Nanoseconds do not: they are this engine's, and stand beside their floor so that one can see how
much of them is the engine.

Beside the two stands the control lane, where it can run: the PC kernel of the left wing, on an emulated CPU
that is its own. What `full` exits for and `emu` does not is the price of virtualizing a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import unified_diff
from pathlib import Path
from typing import Final

from pvisor.cpu.exits import ExitReason
from pvisor.domain.outcome import EndedBy
from pvisor.emu.vcpu import lane_works
from pvisor.machine.console import ConsoleInput, ConsoleOutput, NoInput
from pvisor.observe.stats import Json, exits_of
from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DiskConfig, DomainConfig, Operation, RunResult
from pvisor.vmm.run import run_domain

SCHEMA: Final = "pvisor.compare/1"
MODES: Final = ("full", "para")
"""What is built for a comparison. The control lane, `emu`, runs what is built for `full`."""
MAIN: Final = "main"
BOOT: Final = "boot"
"""Everything before main, as an operation."""

SDK_FUNCTIONS: Final = {
    "start.h": ("pv_cmdline", "pv_memory_bytes"),
    "console.h": ("pv_write", "pv_putc", "pv_puts", "pv_getc", "pv_console_on_input"),
    "printf.h": ("pv_printf", "pv_vprintf", "pv_snprintf", "pv_vsnprintf"),
    "cpu.h": ("pv_cpu_idle", "pv_cpu_yield", "pv_time_ns"),
    "power.h": ("pv_exit", "pv_crash"),
    "error.h": (),
    "interrupt.h": (
        "pv_trap_set",
        "pv_trap_is_user",
        "pv_interrupt_set",
        "pv_interrupt_mask",
        "pv_interrupt_unmask",
        "pv_interrupt_raise",
        "pv_interrupts_enable",
        "pv_interrupts_disable",
        "pv_interrupts_restore",
        "pv_interrupts_enabled",
        "pv_interrupts_wait",
    ),
    "timer.h": ("pv_timer_set", "pv_timer_set_periodic", "pv_timer_cancel"),
    "memory.h": (
        "pv_page_alloc",
        "pv_page_free",
        "pv_pages_left",
        "pv_space_kernel",
        "pv_space_create",
        "pv_space_destroy",
        "pv_space_switch",
        "pv_space_current",
        "pv_space_flush",
        "pv_page_map",
        "pv_page_unmap",
        "pv_page_protect",
        "pv_page_lookup",
    ),
    "user.h": (
        "pv_user_create",
        "pv_user_create_function",
        "pv_user_space",
        "pv_user_destroy",
        "pv_user_run",
        "pv_user_leave",
        "pv_user_call",
    ),
    "block.h": ("pv_block_sectors", "pv_block_read", "pv_block_write", "pv_block_flush"),
    "net.h": ("pv_net_mac", "pv_net_send", "pv_net_receive", "pv_net_on_receive"),
}
"""The SDK's public API by header; a test compares it with the headers."""

FLOOR_OF: Final = {
    ExitReason.HYPERCALL: "hypercall_noop",
    ExitReason.IO_IN: "out",
    ExitReason.IO_OUT: "out",
    ExitReason.CLI: "cli",
    ExitReason.STI: "cli",
}
"""The floor (an operation of the benchmark) that an exit's host time compares with."""

MEANING: Final = (
    "Exits and instructions carry over to other engines and to hardware. Nanoseconds are an artefact of this "
    "engine and may even reverse the order that hardware has. The floor is the same exit with a hook that "
    "does nothing. In emu the engine itself executes what traps in full."
)


@dataclass(frozen=True, slots=True)
class Pair:
    """One operation in both wings: its calls and what they cost together, with whatever it called."""

    name: str
    full: Operation
    para: Operation
    emu: Operation | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """All runs of one program; `emu` is None without a lane. `differences` is empty when all did the same."""

    name: str
    full: RunResult
    para: RunResult
    emu: RunResult | None
    differences: tuple[str, ...]
    pairs: tuple[Pair, ...]

    @property
    def runs(self) -> tuple[RunResult, ...]:
        """Those that took place: full, para, then emu."""
        return (self.full, self.para) if self.emu is None else (self.full, self.para, self.emu)

    @property
    def reasons(self) -> tuple[ExitReason, ...]:
        """The exit reasons that occurred in either run."""
        return tuple(reason for reason in ExitReason if any(reason.label in run.exits for run in self.runs))

    def as_json(self, floors: dict[str, float]) -> Json:
        """The document of schema pvisor.compare/1."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "same": not self.differences,
            "differences": list(self.differences),
            "operations": [
                {
                    "name": pair.name,
                    "full": _operation(pair.full),
                    "para": _operation(pair.para),
                    "emu": _operation(pair.emu),
                }
                for pair in self.pairs
            ],
            "exits": {
                reason.label: {
                    "class": reason.exit_class.value,
                    "full": exits_of(self.full).get(reason.label),
                    "para": exits_of(self.para).get(reason.label),
                    "emu": exits_of(self.emu).get(reason.label) if self.emu is not None else None,
                    "floor_ns": floors.get(FLOOR_OF.get(reason, "")),
                }
                for reason in self.reasons
            },
            "totals": {run.mode: _totals(run) for run in self.runs},
            "meaning": MEANING,
        }


def compare(
    sources: Mapping[str, Sequence[Path]],
    folder: Path,
    config: DomainConfig,
    *,
    name: str,
    new_input: Callable[[], ConsoleInput] = NoInput,
    on_warnings: Callable[[str], object] = lambda words: None,
    interrupted: Callable[[], bool] = lambda: False,
    disk_bytes: int = 0,
    functions: Sequence[str] = (),
) -> Comparison:
    """Build the sources of both modes into `folder`, run all as `config` says, and put the results together.

    `new_input` makes each run's input, `on_warnings` takes the compiler's words. With `disk_bytes` each run
    has a disk of that size, which is all zeros at first; `functions` of the program's own have rows as the
    SDK's have. Raises BuildError, UsageError and GuestRefused; guests that differ are a result.
    """
    elves = [folder / f"{name}-{mode}.elf" for mode in MODES]
    words = [build_guest(sources[mode], elf, mode).warnings for mode, elf in zip(MODES, elves, strict=True)]
    for said in dict.fromkeys(words):
        if said:
            on_warnings(said)
    watch = (MAIN, *functions, *(function for header in SDK_FUNCTIONS.values() for function in header))

    def run(mode: str, elf: Path) -> RunResult:
        remedy = config.remedy if mode == "full" else None
        disks = config.disks
        if disk_bytes:
            disks = (DiskConfig(folder / f"{name}-{mode}.img"),)
            with disks[0].path.open("wb") as file:
                file.truncate(disk_bytes)
        settings = replace(
            config, kernel=elf, mode=mode, watch=watch, time_exits=True, remedy=remedy, disks=disks
        )
        return run_domain(settings, ConsoleOutput(), new_input(), interrupted=interrupted)

    full, para = (run(mode, elf) for mode, elf in zip(MODES, elves, strict=True))
    emu = run("emu", elves[0]) if lane_works() else None
    found = differences(full, para)
    if emu is not None:
        found += differences(full, emu, ("full", "emu"))
    return Comparison(name, full, para, emu, tuple(found), tuple(pairs(full, para, emu, functions)))


def differences(one: RunResult, other: RunResult, names: tuple[str, str] = MODES) -> list[str]:
    """In which ways two runs did not do the same; the output's as lines of a diff."""
    found = []
    if one.ending.status != other.ending.status or one.ending.ended_by is not other.ending.ended_by:
        ends = f"{names[0]} {how_it_ended(one)}, {names[1]} {how_it_ended(other)}"
        found.append(f"they ended differently: {ends}")
    if one.output != other.output:
        found.append("their output differs:")
        found += _diff(one.output, other.output, names)
    return found


def how_it_ended(run: RunResult) -> str:
    """`status 0` and the like, with the reason where it was not the guest's wish."""
    ending = run.ending
    text = f"status {ending.status}"
    return text if ending.ended_by is EndedBy.GUEST else f"{text} ({ending.ended_by.value}: {ending.reason})"


def pairs(
    full: RunResult, para: RunResult, emu: RunResult | None = None, functions: Sequence[str] = ()
) -> list[Pair]:
    """The operations that both guests made: boot, main, `functions`, then the SDK's in its headers' order."""
    by_name = [{operation.name: operation for operation in run.operations} for run in (full, para)]
    lane = {operation.name: operation for operation in emu.operations} if emu is not None else {}
    shared = [name for name in by_name[0] if name in by_name[1]]
    order = [MAIN, *functions, *(function for header in SDK_FUNCTIONS.values() for function in header)]
    found = [
        Pair(name, by_name[0][name], by_name[1][name], lane.get(name))
        for name in sorted(shared, key=order.index)
    ]
    if found and found[0].name == MAIN:
        main = found[0]
        found.insert(0, Pair(BOOT, _boot(main.full), _boot(main.para), _boot(main.emu) if main.emu else None))
    return found


def _boot(main: Operation) -> Operation:
    return Operation(BOOT, 1, main.exits_before, main.instructions_before, 0, 0)


def _diff(one: bytes, other: bytes, names: tuple[str, str], n_lines: int = 20) -> list[str]:
    lines = [output.decode("utf-8", "backslashreplace").splitlines() for output in (one, other)]
    diff = list(unified_diff(lines[0], lines[1], *names, n=1, lineterm=""))
    if not diff:  # the line ends alone
        return [f"  {names[0]} {one[-20:]!r}", f"  {names[1]} {other[-20:]!r}"]
    more = [f"  ... {len(diff) - n_lines} lines more"] if len(diff) > n_lines else []
    return [f"  {line}" for line in diff[:n_lines]] + more


def _operation(operation: Operation | None) -> Json | None:
    if operation is None:
        return None
    return {"calls": operation.calls, "exits": operation.exits, "instructions": operation.instructions}


def _totals(run: RunResult) -> Json:
    return {
        "tier": run.tier,
        "ended_by": run.ending.ended_by.value,
        "status": run.ending.status,
        "exits": n_exits(run),
        "instructions": run.n_instructions,
        "virtual_ns": run.virtual_ns,
        "wall_ns": run.wall_ns,
    }


def n_exits(run: RunResult) -> int:
    """All exits of a run."""
    return sum(row.count for row in run.exits.values())
