"""The allocation agent without a broker: what an input that comes in the middle of a solve changes."""

import asyncio

from schemas.events import DecisionMethod
from simulators.event_fault import EventFaults
from simulators.fault import EventFaultShares
from simulators.simulation import Entry
from streams.agents.solver import SolverPool
from streams.domain import identity
from tests import streams_event as a
from tests.desk_world import decided, desk_with
from tests.simulators_world import a_simulation, slices

NEEDED = (a.facility(), a.miners(), a.gpus(), a.customer(), a.tick(), a.gpu_tick(), a.network(), a.price())


def test_input_that_belongs_before_a_decision_cancels_its_solve() -> None:
    late = (a.signal(200, limit_mw=0.1),)
    log, solver = decided(desk_with(*NEEDED, a.price(300)), {a.at(300): late})
    at_once, _ = decided(desk_with(*NEEDED, a.price(300), *late))
    # Signal and price are answered; the signal is planned for when it has settled, the price at once.
    causes = (a.network(), *late, *late, a.price(300), a.price(300))
    assert [d.cause_event_id for d in log.decisions] == [cause.event_id for cause in causes]
    assert log.events == at_once.events
    # The solve for the price ran twice, once for nothing.
    assert len(solver.asked) == 6


def test_input_after_a_decision_leaves_its_solve_alone() -> None:
    later = (a.signal(301, limit_mw=0.1), a.tick(310), a.price(600), a.window(310))
    log, solver = decided(desk_with(*NEEDED, a.price(300)), {a.at(300): later})
    assert [d.interval_start for d in log.decisions][:2] == [a.at(0), a.at(300)]
    assert len({s.decision_id for s in solver.asked}) == len(solver.asked)
    assert log.events == decided(desk_with(*NEEDED, a.price(300), *later))[0].events


def test_signal_is_answered_even_where_it_changes_nothing() -> None:
    log, _ = decided(desk_with(*NEEDED, a.signal(100, limit_mw=10.0)))
    assert [d.method for d in log.decisions] == [DecisionMethod.PLAN, DecisionMethod.DISPATCH]
    assert log.decisions[1].decision_id == identity.decision_id("Texas-1", a.signal(100).event_id)


def test_events_that_come_twice_and_out_of_order_change_no_decision() -> None:
    found = slices(a_simulation(), 1500)
    topics = ("market.ticks", "grid.prices", "network.stats")
    faults = EventFaults(EventFaultShares(duplicate=0.5, late=0.4), 1)
    sent = [entry for part in found for entry in faults.apply(part.entries, part.start_ms)[0]]
    held = set(faults.lost()["event_id"])
    master = [entry.event for entry in a_simulation().master_data()]

    def decisions(entries: list[Entry]) -> list[object]:
        markets = [entry.event for entry in entries if entry.topic.name in topics]
        log, _ = decided(desk_with(*master, *(event for event in markets if event.event_id not in held)))
        return log.events

    true = decisions([entry for part in found for entry in part.entries])
    assert len(sent) > sum(len(part.entries) for part in found)
    assert len(true) > 10
    assert decisions(sent) == true


def test_decisions_that_were_missed_go_by_the_master_data_of_their_time() -> None:
    smaller = a.facility(cap_mw=0.3, recorded_at=a.at(600), event_id="smaller")
    log, solver = decided(desk_with(smaller, *NEEDED, *(a.price(seconds) for seconds in (300, 600, 900))))
    caps = {taken.interval_start: taken.cap_mw for taken in solver.asked}
    assert caps == {a.at(0): 1.0, a.at(300): 1.0, a.at(600): 0.3, a.at(900): 0.3}
    assert {made.interval_start: made.load_mw <= 0.3 for made in log.decisions} == {
        a.at(0): False, a.at(300): False, a.at(600): True, a.at(900): True,
    }  # fmt: skip


def test_solver_processes_give_the_decision_that_the_domain_gives() -> None:
    log, solver = decided(desk_with(*NEEDED))

    async def solved() -> None:
        with SolverPool(1) as pool:
            await pool.warm()
            assert [await pool.solve(snapshot) for snapshot in solver.asked] == log.decisions

    asyncio.run(solved())


def test_a_group_behind_a_transformer_that_its_facility_does_not_have_is_limited_by_the_facility() -> None:
    astray = a.miners(transformer_id="nowhere", recorded_at=a.at(1), event_id="astray")
    log, _ = decided(desk_with(*NEEDED, astray, a.price(300), a.price(400)))
    sound, _ = decided(desk_with(*NEEDED, a.miners(recorded_at=a.at(1), event_id="astray"), a.price(300), a.price(400)))
    assert log.decisions == sound.decisions
    assert len(log.decisions) > 1
