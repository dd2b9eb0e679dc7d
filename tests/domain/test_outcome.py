# SPDX-License-Identifier: GPL-2.0-or-later
"""Outcomes and endings: statuses by the book, and the first ending counts."""

from __future__ import annotations

import pytest

from pvisor.cpu.exits import N_REASONS, ExitReason
from pvisor.domain.domain import handle_exit, unexpected
from pvisor.domain.outcome import EndedBy, Ending, Outcome, debug_exit_status, guest_exit
from tests.domain.fakes import FakeExit, FakeVcpu, para_domain


@pytest.mark.parametrize(
    ("status", "exit_status"), [(0, 0), (1, 3), (2, 5), (127, 255), (128, 1), (255, 255), (0xFFFF_FFFF, 255)]
)
def test_a_guests_status(status: int, exit_status: int) -> None:
    assert guest_exit(status) == Ending(EndedBy.GUEST, exit_status)


def test_debug_exit_has_no_zero() -> None:
    assert debug_exit_status(0) == 1


def test_the_first_ending_counts() -> None:
    domain, _ = para_domain()
    assert domain.end(guest_exit(3)) is Outcome.STOP
    assert domain.end(guest_exit(0)) is Outcome.STOP
    assert domain.ending == Ending(EndedBy.GUEST, 7)


@pytest.mark.parametrize("reason", [0, 42, 47, 55])
def test_a_reason_that_no_wing_knows_is_our_mistake(reason: int) -> None:
    domain, vcpu = para_domain()
    with pytest.raises(RuntimeError, match=f"no handler for exit reason {reason}"):
        handle_exit(domain, vcpu, FakeExit(reason=reason))


def test_every_reason_has_a_place_in_the_table() -> None:
    domain, _ = para_domain()
    assert len(domain.wing.handlers) == N_REASONS > max(ExitReason)
    stops = {ExitReason.NONE, *(reason for reason in ExitReason if reason >= ExitReason.BUDGET)}
    assert {reason for reason in ExitReason if domain.wing.handlers[reason] is unexpected} == stops


def test_a_scripted_vcpu_gives_its_exits_in_order() -> None:
    domain, _ = para_domain()
    vcpu = FakeVcpu(domain.memory, [FakeExit(reason=1), FakeExit(reason=12)])
    assert [vcpu.run(), vcpu.run()] == [1, 12]
