# SPDX-License-Identifier: GPL-2.0-or-later
"""The frame judges right: cases that must get each verdict, and every promised error tried somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from pvisor.abi.areas import console, itself, power, time
from pvisor.abi.calls import CALLS, by_name
from pvisor.abi.errnos import EINVAL, ENOSYS
from pvisor.abi.features import STORE
from pvisor.abi.model import Hypercall
from tests.conformance.case import At, Case, Data, Peek, ResultOf, Step, all_cases
from tests.conformance.cases_itself import UPPER_HALVES
from tests.conformance.guest_cases import Runner, build_runner, run_on_guests
from tests.conformance.rows import ROWS
from tests.conformance.verdict import Verdict
from tests.conformance.world import build_world, run_on_handlers

NOT_TRIED: Mapping[tuple[str, str], str] = {
    ("GRANT_CREATE", "ENOSPC"): "4096 grants are more steps than a case has: tests/para/test_grants.py",
    ("GRANT_MAP", "ENOSPC"): "1024 slots are more steps than a case has: tests/para/test_grants.py",
    ("MEMORY_POPULATE", "ENOMEM"): "the host has to move the target first: tests/para/test_balloon.py",
}
"""(call, errno) that no row and no case tries, each with its reason."""

NOOP = Step(itself.NOOP)
JUDGED: tuple[tuple[Case, Verdict, str], ...] = (
    (Case("well", (NOOP, Step(0x7F, (), -38))), Verdict.SUCCESS, ""),
    (Case("another-result", (NOOP, Step(itself.ABI_VERSION, (), 2))), Verdict.FAILURE, "step 1, ABI_VERSION"),
    (Case("an-error", (Step(time.TIME_GET, (0,), None),)), Verdict.FAILURE, "-EFAULT, not a result"),
    (Case("other-memory", (Peek(At(0), 1, 0x62),)), Verdict.FAILURE, "0x61, not 0x62"),
    (Case("ends-unasked", (Step(power.SHUTDOWN, (2, 0)), NOOP)), Verdict.CRASH, "reported its own failure"),
    (Case("ends-well-unasked", (Step(power.SHUTDOWN, (0, 0)), NOOP)), Verdict.CRASH, "not left"),
    (Case("does-not-end", (NOOP,), ends=0), Verdict.FAILURE, "not 0"),
    (Case("ends-otherwise", (Step(power.SHUTDOWN, (0, 1)),), ends=134), Verdict.FAILURE, "3, not 134"),
    (Case("of-the-future", (Step(itself.FEATURES, (ResultOf(0),)),)), Verdict.ERROR, "the result of step 0"),
    (Case("no-such-domain", (Step(itself.NOOP, by=3),)), Verdict.ERROR, "no domain 3"),
    (Case("too-much", (Step(console.CONSOLE_WRITE, (Data(bytes(1 << 20)), 1)),)), Verdict.ERROR, "bytes of"),
)  # fmt: skip
judged = pytest.mark.parametrize(("case", "verdict", "why"), JUDGED, ids=[case.id for case, _, _ in JUDGED])


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return build_runner(tmp_path_factory.mktemp("steps"))


@judged
def test_verdict_of_handlers(case: Case, verdict: Verdict, why: str) -> None:
    report = run_on_handlers(case)
    assert report.verdict is verdict
    assert why in report.why


@pytest.mark.needs_gcc
@judged
def test_verdict_of_guests(case: Case, verdict: Verdict, why: str, runner: Runner) -> None:
    report = run_on_guests(case, runner, tier="native", transport="syscall")
    assert report.verdict is verdict
    assert why in report.why


def test_every_call_with_a_feature_is_served_in_the_world() -> None:
    """So no case is skipped there."""
    served = {call.name for call in build_world().served}
    assert {call.name for call in CALLS if call.feature is not None} - served == {"CONSOLE_READ"}


def test_what_nobody_serves_is_skipped() -> None:
    case = Case("skipped", (Step(replace(itself.NOOP, feature=STORE)),))
    assert run_on_handlers(case).verdict is Verdict.SKIP


@pytest.mark.parametrize("call", [call for call in CALLS if call.feature is not None], ids=lambda c: c.name)
def test_a_call_without_its_feature_is_none(call: Hypercall) -> None:
    case = Case("none", (Step(call, (), -ENOSYS.number),))
    assert run_on_handlers(case, build_world(offered=0)).verdict is Verdict.SUCCESS


# --- is every promise tried?


ONLY_UPPER_HALF = re.compile(r"(`\w+`|an argument|the argument) has bits above bit 31")


def _tried() -> Iterator[tuple[str, str]]:
    """(call, errno or "") of rows and cases. The made cases count where there is no other cause."""
    for call in CALLS:
        if ONLY_UPPER_HALF.fullmatch(call.errors.get(EINVAL, "")):
            yield call.name, EINVAL.name
    for row in ROWS:
        if not isinstance(row.call, int):
            yield row.call.name, row.errno.name if row.errno is not None else ""
    for case in all_cases():
        if case not in UPPER_HALVES:
            for call, errno in case.tried():
                yield call.name, errno.name if errno is not None else ""


TRIED = frozenset(_tried())
PROMISED = {(call.name, errno.name) for call in CALLS for errno in call.errors}


def test_every_promised_error_is_tried() -> None:
    by_features = {(call.name, ENOSYS.name) for call in CALLS if call.feature is not None}
    assert PROMISED - TRIED - by_features == NOT_TRIED.keys()


def test_every_error_that_is_tried_is_promised() -> None:
    by_features = {(call.name, ENOSYS.name) for call in CALLS if call.feature is not None}
    assert {pair for pair in TRIED if pair[1]} - PROMISED - by_features == set()


def test_every_call_succeeds_somewhere() -> None:
    assert {call.name for call in CALLS} - {name for name, errno in TRIED if not errno} == set()


def test_reasons_are_sentences() -> None:
    for (name, _), reason in NOT_TRIED.items():
        assert by_name(name) is not None
        assert len(reason) > 15
