# SPDX-License-Identifier: GPL-2.0-or-later
"""The comparison: one program built for both wings, run in both, its costs side by side.

A comparison is fair only if both guests did the same job, so it counts for nothing unless their output and
their end are the same. It leads with exits and instructions per operation, an operation being a call of a
function of the SDK's public API that both guests made. Those counts carry over to other engines and to
hardware. Nanoseconds do not: they are this engine's, and stand beside their floor so that one can see how
much of them is the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import unified_diff
from pathlib import Path
from typing import Final

from pvisor.cpu.exits import ExitReason
from pvisor.domain.outcome import EndedBy
from pvisor.machine.console import ConsoleInput, ConsoleOutput, NoInput
from pvisor.observe.stats import Json, exits_of
from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DomainConfig, Operation, RunResult
from pvisor.vmm.run import run_domain

SCHEMA: Final = "pvisor.compare/1"
MODES: Final = ("full", "para")
"""The columns of a comparison."""
MAIN: Final = "main"
BOOT: Final = "boot"
"""Everything before main, as an operation."""

SDK_FUNCTIONS: Final = {
    "start.h": ("pv_cmdline", "pv_memory_bytes"),
    "console.h": ("pv_write", "pv_putc", "pv_puts", "pv_getc"),
    "printf.h": ("pv_printf", "pv_vprintf", "pv_snprintf", "pv_vsnprintf"),
    "cpu.h": ("pv_cpu_idle", "pv_cpu_yield", "pv_time_ns"),
    "power.h": ("pv_exit", "pv_crash"),
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
    "does nothing."
)


@dataclass(frozen=True, slots=True)
class Pair:
    """One operation in both wings: its calls and what they cost together, with whatever it called."""

    name: str
    full: Operation
    para: Operation


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both runs of one program. `differences` is empty when they did the same."""

    name: str
    full: RunResult
    para: RunResult
    differences: tuple[str, ...]
    pairs: tuple[Pair, ...]

    @property
    def runs(self) -> tuple[RunResult, RunResult]:
        """In the order of MODES."""
        return self.full, self.para

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
                {"name": pair.name, "full": _operation(pair.full), "para": _operation(pair.para)}
                for pair in self.pairs
            ],
            "exits": {
                reason.label: {
                    "class": reason.exit_class.value,
                    "full": exits_of(self.full).get(reason.label),
                    "para": exits_of(self.para).get(reason.label),
                    "floor_ns": floors.get(FLOOR_OF.get(reason, "")),
                }
                for reason in self.reasons
            },
            "totals": {mode: _totals(run) for mode, run in zip(MODES, self.runs, strict=True)},
            "meaning": MEANING,
        }


def compare(
    sources: Sequence[Path],
    folder: Path,
    config: DomainConfig,
    *,
    name: str,
    new_input: Callable[[], ConsoleInput] = NoInput,
    on_warnings: Callable[[str], object] = lambda words: None,
    interrupted: Callable[[], bool] = lambda: False,
) -> Comparison:
    """Build `sources` for both modes into `folder`, run both as `config` says, and put the results together.

    `new_input` makes each run's input, `on_warnings` takes the compiler's words. Raises BuildError,
    UsageError and GuestRefused; guests that differ are a result.
    """
    elves = [folder / f"{name}-{mode}.elf" for mode in MODES]
    words = [build_guest(sources, elf, mode).warnings for mode, elf in zip(MODES, elves, strict=True)]
    for said in dict.fromkeys(words):
        if said:
            on_warnings(said)
    watch = (MAIN, *(function for functions in SDK_FUNCTIONS.values() for function in functions))
    full, para = (
        run_domain(
            replace(config, kernel=elf, mode=mode, watch=watch, time_exits=True),
            ConsoleOutput(), new_input(), interrupted=interrupted,
        )
        for mode, elf in zip(MODES, elves, strict=True)
    )  # fmt: skip
    return Comparison(name, full, para, tuple(differences(full, para)), tuple(pairs(full, para)))


def differences(full: RunResult, para: RunResult) -> list[str]:
    """In which ways the two runs did not do the same; the output's as lines of a diff."""
    found = []
    if full.ending.status != para.ending.status or full.ending.ended_by is not para.ending.ended_by:
        found.append(f"they ended differently: full {how_it_ended(full)}, para {how_it_ended(para)}")
    if full.output != para.output:
        found.append("their output differs:")
        found += _diff(full.output, para.output)
    return found


def how_it_ended(run: RunResult) -> str:
    """`status 0` and the like, with the reason where it was not the guest's wish."""
    ending = run.ending
    text = f"status {ending.status}"
    return text if ending.ended_by is EndedBy.GUEST else f"{text} ({ending.ended_by.value}: {ending.reason})"


def pairs(full: RunResult, para: RunResult) -> list[Pair]:
    """The operations that both guests made: boot, main, then the SDK's in the order of its headers."""
    by_name = [{operation.name: operation for operation in run.operations} for run in (full, para)]
    shared = [name for name in by_name[0] if name in by_name[1]]
    order = [MAIN, *(function for functions in SDK_FUNCTIONS.values() for function in functions)]
    found = [Pair(name, by_name[0][name], by_name[1][name]) for name in sorted(shared, key=order.index)]
    if found and found[0].name == MAIN:
        found.insert(0, Pair(BOOT, _boot(found[0].full), _boot(found[0].para)))
    return found


def _boot(main: Operation) -> Operation:
    return Operation(BOOT, 1, main.exits_before, main.instructions_before, 0, 0)


def _diff(full: bytes, para: bytes, n_lines: int = 20) -> list[str]:
    lines = [output.decode("utf-8", "backslashreplace").splitlines() for output in (full, para)]
    diff = list(unified_diff(lines[0], lines[1], "full", "para", n=1, lineterm=""))
    if not diff:  # the line ends alone
        return [f"  full {full[-20:]!r}", f"  para {para[-20:]!r}"]
    more = [f"  ... {len(diff) - n_lines} lines more"] if len(diff) > n_lines else []
    return [f"  {line}" for line in diff[:n_lines]] + more


def _operation(operation: Operation) -> Json:
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
