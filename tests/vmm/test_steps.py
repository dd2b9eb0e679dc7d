# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps of virtual time, and meetings: that a run is cut changes nothing, and what must wait does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvisor.abi.areas.itself import NOOP
from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.domain.meeting import Meeting, MustMeetError
from pvisor.domain.outcome import RESUME, EndedBy, Ending, Outcome
from pvisor.machine.input_watch import InputWatch
from pvisor.vmm.physical_cpu import PhysicalCpu
from pvisor.vmm.step import STEP_NS, Joined, parties_of, run_side_by_side
from tests.machine.typed import Live
from tests.vmm.timed import MS, US, Guest, Program, called, give_way, off, sleep

ACTS = st.one_of(
    st.integers(1, 3 * MS), st.sampled_from(["sleep", "yield"]), st.integers(1, 40).map(lambda n: n * 50 * US)
)


def play(acts: Sequence[int | str]) -> Program:
    """Does as it is told, and ends."""
    for act in acts:
        yield sleep() if act == "sleep" else give_way() if act == "yield" else int(act)
    yield off()


def build(plan: Sequence[tuple[list[list[int | str]], int, int]]) -> tuple[PhysicalCpu, list[Guest]]:
    """A physical CPU with guests: the acts of each vCPU, the weight, the cap. All are woken now and then."""
    cpu = PhysicalCpu()
    guests = []
    for vcpus, weight, cap_percent in plan:
        guest = Guest(cpu, *(play(acts) for acts in vcpus), weight=weight, cap_percent=cap_percent)
        for vcpu_id in range(1, len(vcpus)):
            guest.member.up(vcpu_id)
        for i in range(40):
            guest.wake_at(i * 730 * US + weight, i % len(vcpus))
        guests.append(guest)
    return cpu, guests


def seen(guests: Sequence[Guest]) -> list[object]:
    """All that happened to them."""
    return [
        (guest.ends, guest.stolen, guest.account.credit_ns,
         [(vcpu.turns, vcpu.n_instructions, guest.member.times(vcpu.vcpu_id).run_ns,
           guest.member.times(vcpu.vcpu_id).steal_ns) for vcpu in guest.vcpus])
        for guest in guests
    ]  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.lists(st.lists(ACTS, max_size=12), min_size=1, max_size=3),
            st.sampled_from([64, 256, 1000]), st.sampled_from([0, 0, 30]),
        ), min_size=1, max_size=3,
    ), st.lists(st.integers(30 * US, 700 * US), min_size=1, max_size=5),
)  # fmt: skip
def test_a_run_that_is_cut_is_the_same_run(
    plan: list[tuple[list[list[int | str]], int, int]], steps_ns: list[int]
) -> None:
    whole, guests = build(plan)
    whole.run()
    cut, others = build(plan)
    at_ns = i = 0
    while cut.members and cut.busy_at_ns <= 100_000 * MS:
        at_ns = max(at_ns, cut.busy_at_ns) + steps_ns[i % len(steps_ns)]
        cut.run(at_ns)
        i += 1
    cut.end_all()
    assert seen(others) == seen(guests)


class MeetingWing:
    """Its calls are made at a meeting, and written down: who made them, and when."""

    name = "para"

    def __init__(self, meeting: Meeting, log: list[tuple[int, int]]) -> None:
        self._meeting = meeting
        self._log = log
        self.handlers = (self._serve,) * 64

    def _serve(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        if exit.number != NOOP.nr:
            return domain.end(Ending(EndedBy.GUEST, 0))
        if not self._meeting.is_open:
            return Outcome.MEET
        self._log.append((domain.domid, vcpu.virtual_ns))
        return RESUME


def test_calls_at_a_meeting_take_no_time_and_come_in_the_order_of_virtual_time() -> None:
    meeting, log, cpus, guests = Meeting(), list[tuple[int, int]](), [], []
    for domid, times in enumerate([(30, 30, 30), (50, 5), (10 * MS,), (30, 300 * US)], 1):
        cpu = PhysicalCpu()
        guest = Guest(cpu, chain(*((ns, called(NOOP.nr)) for ns in times), [off()]))
        guest.domain.domid, guest.domain.wing = domid, MeetingWing(meeting, log)
        meeting.place(domid, cpu)
        cpus.append(cpu)
        guests.append(guest)
    run_side_by_side([], Joined(cpus, meeting, []), 3)
    in_first_step = [(1, 30), (4, 30), (2, 50), (2, 55), (1, 60), (1, 90)]
    assert log == [*in_first_step, (4, 300 * US + 30), (3, 10 * MS)]
    assert [guest.ran_ns for guest in guests] == [90, 55, 10 * MS, 300 * US + 30]
    assert [len(guest.ends) for guest in guests] == [1] * 4


def test_what_concerns_others_waits_for_the_meeting() -> None:
    meeting = Meeting()
    one, other = PhysicalCpu(), PhysicalCpu()
    meeting.place(1, one)
    meeting.place(2, other)
    meeting.need()
    meeting.is_open = False
    with pytest.raises(MustMeetError):
        meeting.need()
    with pytest.raises(MustMeetError):
        meeting.need_for(1, 2)
    meeting.need_for(1, 1)
    meeting.place(3, one)
    meeting.need_for(1, 3)


def test_without_places_all_are_together() -> None:
    meeting = Meeting()
    meeting.is_open = False
    assert not meeting.are_apart(1, 2)
    meeting.need_for(1, 2)
    meeting.tie(1, 2)
    assert not meeting.ties


def test_posts_come_in_the_order_of_virtual_time_then_of_numbers() -> None:
    meeting, came = Meeting(), list[str]()
    cpus = [PhysicalCpu() for _ in range(3)]
    for domid, cpu in enumerate(cpus, 1):
        meeting.place(domid, cpu)
        Guest(cpu, play([10 * MS]))
    for domid, at_ns in ((3, 20), (1, 30), (2, 20), (1, 40)):
        cpus[domid - 1].run(at_ns)
        meeting.post(domid, lambda name=f"{domid} at {at_ns}": came.append(name))  # type: ignore[misc]
        meeting.post(domid, lambda name=f"{domid} again": came.append(name))  # type: ignore[misc]
    assert not came
    meeting.deliver()
    assert came == ["2 at 20", "2 again", "3 at 20", "3 again", "1 at 30", "1 again", "1 at 40", "1 again"]
    meeting.deliver()
    assert len(came) == 8


def test_what_is_posted_under_one_name_is_done_once_until_it_was_done() -> None:
    meeting, came = Meeting(), list[int]()
    meeting.place(1, PhysicalCpu())
    for _ in range(2):
        for i in range(1000):
            meeting.post(1, partial(came.append, i), once="name")
            meeting.post(1, partial(came.append, i), once=i % 2)
        assert len(meeting._posts) == 3
        meeting.deliver()
    assert came == [0, 0, 1] * 2


def test_a_post_may_post() -> None:
    meeting, came = Meeting(), list[int]()
    meeting.place(1, PhysicalCpu())

    def act() -> None:
        came.append(len(came))
        if len(came) < 3:
            meeting.post(1, act)

    meeting.post(1, act)
    meeting.deliver()
    assert came == [0, 1, 2]


def test_who_has_memory_in_common_takes_turns() -> None:
    meeting = Meeting()
    cpus = [PhysicalCpu() for _ in range(6)]
    for domid, cpu in enumerate(cpus):
        meeting.place(domid, cpu)

    def numbers() -> list[list[int]]:
        return [[cpus.index(cpu) for cpu in party] for party in parties_of(cpus, meeting)]

    assert numbers() == [[0], [1], [2], [3], [4], [5]]
    meeting.tie(4, 1)
    meeting.tie(4, 1)
    meeting.tie(2, 5)
    assert numbers() == [[0], [1, 4], [2, 5], [3]]
    meeting.tie(5, 4)
    meeting.untie(1, 4)
    assert numbers() == [[0], [1, 2, 4, 5], [3]]
    meeting.untie(4, 5)
    meeting.untie(1, 4)
    assert numbers() == [[0], [1], [2, 5], [3], [4]]


def test_who_has_memory_in_common_through_a_third_one_takes_turns_without_it() -> None:
    """The third one is through with its step, or its domains have ended and their pages are mapped still."""
    meeting = Meeting()
    cpus = [PhysicalCpu() for _ in range(4)]
    for domid, cpu in enumerate(cpus):
        meeting.place(domid, cpu)
    meeting.tie(0, 1)
    meeting.tie(1, 3)
    assert parties_of([cpus[0], cpus[2], cpus[3]], meeting) == [[cpus[0], cpus[3]], [cpus[2]]]
    assert parties_of([cpus[3], cpus[0]], meeting) == [[cpus[3], cpus[0]]]
    meeting.untie(1, 3)
    assert parties_of([cpus[0], cpus[3]], meeting) == [[cpus[0]], [cpus[3]]]


def test_a_mistake_of_ours_at_a_meeting_stops_those_who_run_alone() -> None:
    alone, one, meeting = PhysicalCpu(), PhysicalCpu(), Meeting()
    endless = Guest(alone, chain.from_iterable([MS, called(NOOP.nr)] for _ in repeat(None)))
    meeting.place(1, one)
    guest = Guest(one, play([MS]))
    guest.domain.timers.at(STEP_NS // 2, lambda: meeting.post(1, partial(int, "a mistake")))

    def stop() -> None:
        endless.on_kick_ending = Ending(EndedBy.INTERRUPTED, 130)
        endless.vcpu.kick()

    with pytest.raises(ValueError, match="a mistake"):
        run_side_by_side([alone], Joined([one], meeting, []), 2, stop)
    assert endless.ends == [endless.on_kick_ending] and guest.ran_ns == STEP_NS


def test_who_may_be_typed_to_is_not_ended_though_nothing_is_due() -> None:
    cpus = [PhysicalCpu(), PhysicalCpu()]
    sleeper, other = Guest(cpus[0], play(["sleep"])), Guest(cpus[1], play([1]))

    class Typist(Live):
        def wait(self, timeout_s: float) -> bool:
            self.data = b"x" if cpus[0].now() > 3 * STEP_NS else b""
            return bool(self.data)

    live = Typist()
    watch = InputWatch(live, sleeper.domain.timers, lambda: look())

    def look() -> None:
        if live.has_arrived(sleeper.domain.timers.now()):
            sleeper.domain.notify(sleeper.vcpu)
        else:
            watch.set(live.next_arrival_ns(sleeper.domain.timers.now()))

    sleeper.domain.input = live
    sleeper.domain.watches.append(watch)
    look()
    run_side_by_side([], Joined(cpus, Meeting(), []), 1)
    assert [ending and ending.ended_by for ending in sleeper.ends] == [EndedBy.GUEST]
    assert other.ends


def test_a_mistake_of_ours_on_a_thread_comes_out_when_all_have_stopped() -> None:
    cpus = [PhysicalCpu() for _ in range(3)]
    guests = [Guest(cpu, play([MS])) for cpu in cpus]

    def broken() -> None:
        raise RuntimeError("a mistake")

    guests[1].domain.timers.at(STEP_NS // 2, broken)
    with pytest.raises(RuntimeError, match="a mistake"):
        run_side_by_side([], Joined(cpus, Meeting(), []), 2)
    assert [guest.ran_ns for guest in (guests[0], guests[2])] == [STEP_NS, STEP_NS]


def test_who_is_alone_goes_to_its_end_whatever_the_others_do() -> None:
    cpus = [PhysicalCpu() for _ in range(4)]
    guests = [Guest(cpu, play([2 * MS])) for cpu in cpus]
    run_side_by_side(cpus[:2], Joined(cpus[2:], Meeting(), []), 2)
    assert [guest.ran_ns for guest in guests] == [2 * MS] * 4
    assert all(guest.ends for guest in guests)
