# SPDX-License-Identifier: GPL-2.0-or-later
"""Several hypercalls in one exit. It has no twin: a PC's privileged instructions trap one by one."""

from __future__ import annotations

from dataclasses import dataclass, field

from pvisor.abi import errnos
from pvisor.abi.areas import cpu as cpu_rows
from pvisor.abi.areas import grants, memory, power, store
from pvisor.abi.areas import itself as rows
from pvisor.abi.layout import offsetof, sizeof
from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.domain.outcome import RESUME, Outcome
from pvisor.para.hypercalls import HypercallTable, Served
from pvisor.para.refusal import copy_in, copy_out, invalid

ENTRY_BYTES, RESULT = sizeof("pv_multicall_entry"), offsetof("pv_multicall_entry", "result")
MAX = rows.MULTICALL_MAX.number
EINVAL = -errnos.EINVAL.number
_WORDS = ENTRY_BYTES // 8


_REFUSED = frozenset(
    call.nr
    for call in (*rows.CALLS, *power.CALLS, *cpu_rows.CALLS)
    if call.name in ("MULTICALL", "POLL", "VCPU_DOWN", "IRET")
)
"""Calls that go on elsewhere, or answer later."""


_WEIGHTS = {
    **{call.nr: 4 for call in (memory.ROOT_SET, memory.TABLE_PIN, grants.GRANT_COPY, *store.CALLS)},
    **{call.nr: 16 for call in (memory.TABLE_UPDATE, memory.MEMORY_POPULATE, memory.MEMORY_RELEASE)},
    store.STORE_END.nr: MAX,
}
"""Calls that may take the host more than a tenth of a millisecond: as how many each counts."""


@dataclass(slots=True)
class _Batch:
    """What was asked, copied; how many of the calls were made, and as how many they count."""

    words: memoryview
    n_done: int = 0
    weight: int = 0


def _copy(domain: Domain, vcpu: Vcpu, gva: int, n_calls: int) -> _Batch:
    """A batch whose results can be written. Raises GuestError (EFAULT)."""
    raw = copy_in(domain, vcpu, gva, n_calls * ENTRY_BYTES)
    copy_out(domain, vcpu, gva, raw)
    return _Batch(memoryview(raw).cast("Q"))


@dataclass(slots=True)
class MulticallRoom:
    """Makes the calls of a batch through the domain's own table, which is set when the table is made."""

    table: HypercallTable | None = None
    _begun: dict[int, _Batch] = field(default_factory=dict)
    """By vCPU: a batch in which a call waits for a meeting (domain/meeting.py)."""

    @property
    def served(self) -> Served:
        """The call of this room."""
        return Served(decides={rows.MULTICALL: self.multicall})

    def multicall(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """MULTICALL(calls, n_calls): how many were made."""
        assert self.table is not None
        gva, n_calls = exit.args[0], exit.args[1]
        if n_calls > MAX:
            raise invalid()
        batch = self._begun.pop(vcpu.vcpu_id, None) or _copy(domain, vcpu, gva, n_calls)
        asked = exit.number, tuple(exit.args)
        outcome = RESUME
        while outcome is RESUME and batch.n_done < n_calls and batch.weight < MAX:
            at = batch.n_done * _WORDS
            number, args = batch.words[at], batch.words[at + 1 : at + 6]
            outcome = self._make(domain, vcpu, exit, number, args)
            if outcome is Outcome.MEET:
                self._begun[vcpu.vcpu_id] = batch
                break
            result = (exit.result & (1 << 64) - 1).to_bytes(8, "little")
            domain.pointers.copy_out(vcpu, gva + batch.n_done * ENTRY_BYTES + RESULT, result)
            batch.n_done += 1
            batch.weight += _WEIGHTS.get(number, 1)
        exit.number = asked[0]
        for i, arg in enumerate(asked[1]):
            exit.args[i] = arg
        exit.result = batch.n_done
        return outcome

    def _make(self, domain: Domain, vcpu: Vcpu, exit: Exit, number: int, args: memoryview) -> Outcome:
        assert self.table is not None
        if number in _REFUSED:
            exit.result = EINVAL
            return RESUME
        exit.number = number
        for i in range(5):
            exit.args[i] = args[i]
        return self.table.serve(domain, vcpu, exit)
