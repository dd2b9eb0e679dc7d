# SPDX-License-Identifier: GPL-2.0-or-later
"""Every case on the bare handlers, and by real guests: every transport, both tiers."""

from __future__ import annotations

import pytest

from tests.conformance.case import Case, all_cases
from tests.conformance.guest_cases import Runner, build_runner, run_on_guests
from tests.conformance.world import run_on_handlers

CASES = all_cases()
cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return build_runner(tmp_path_factory.mktemp("steps"))


@pytest.mark.parametrize("case", [case for case in CASES if not case.takes_cpu], ids=lambda case: case.id)
def test_on_handlers(case: Case) -> None:
    run_on_handlers(case).tell_pytest()


@pytest.mark.needs_gcc
@pytest.mark.parametrize("tier", ["native", "python"])
@pytest.mark.parametrize("transport", ["syscall", "vmcall", "int"])
@cases
def test_by_guests(case: Case, runner: Runner, transport: str, tier: str) -> None:
    run_on_guests(case, runner, tier=tier, transport=transport).tell_pytest()


def test_ids_are_unique() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
