"""GPUs that break down: out of service until repaired, for the scheduler, the registry and the agents."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import events as e
from schemas.catalog import topic
from schemas.events import WorkloadAction
from schemas.rule import violations
from simulators.ambient import Ambient
from simulators.fleet import SLICE_MS, Fleet
from simulators.gpu.course import course
from simulators.gpu.fleet import GpuFleet
from simulators.gpu.xid import Breakdown, Breakdowns, Reach
from simulators.scheduler import restarted
from simulators.simulation import Simulation
from simulators.site import operator
from simulators.timeline import DAY_MS, MINUTE_MS, to_datetime, to_ms
from streams.domain.allocation import solve
from streams.domain.economics import EconomicsPolicy
from streams.domain.market_state import MarketState
from streams.domain.snapshot import take
from streams.domain.trigger import DispatchPolicy, next_due
from streams.domain.workload import Directory, WorkloadBook, handle, scheduled
from tests import streams_event as a
from tests.simulators_world import START_MS, an_operator, emitted, slices, workload_command

GPUS = 80
SEED = 1
YEARS_MS = 6 * 365 * DAY_MS
GROUP = "texas-1-h100"


def fleet_at(at_ms: int, gpus: int = GPUS) -> GpuFleet:
    """The GPUs of an operator without miners."""
    owned = operator(0, gpus, at_ms)
    ambients = {name: Ambient(climate, SEED, name) for name, climate in owned.climates.items()}
    return GpuFleet(Fleet(owned.groups(e.ResourceKind.GPU), SEED, "gpu"), ambients, SEED, at_ms)


def first_breakdown(xid: int, group: str = GROUP) -> Breakdown:
    """The first of a kind in a group when nothing else is broken."""
    resources = fleet_at(START_MS).fleet.identity["resource_group_id"]
    found = Breakdowns(GPUS, SEED)
    return next(
        breakdown
        for breakdown in found.between(START_MS + DAY_MS, START_MS + YEARS_MS)
        if breakdown.error.xid == xid
        and resources[breakdown.row] == group
        and not list(found.in_effect(breakdown.at_ms))
        and len(list(found.between(breakdown.at_ms, breakdown.until_ms + MINUTE_MS))) == 1
    )


def units_of(fleet: GpuFleet, group: str = GROUP) -> int:
    return next(resource.units for resource in fleet.fleet.groups if resource.resource_group_id == group)


def rounds(fleet: GpuFleet, start_ms: int) -> pl.DataFrame:
    """A reading of each GPU."""
    frames = []
    for at_ms in range(start_ms, start_ms + 15_000, SLICE_MS):
        fleet.break_down(at_ms)
        frames.append(fleet.readings(at_ms))
    return pl.concat(frames)


@pytest.mark.parametrize(("xid", "lost"), [(94, 1), (79, 8), (74, 8), (63, 0)])
def test_an_error_takes_its_reach_out_of_service_until_it_is_repaired(xid: int, lost: int) -> None:
    found = first_breakdown(xid)
    fleet = fleet_at(found.at_ms)
    units = units_of(fleet)
    assert fleet.free(GROUP) == units
    fleet.break_down(found.at_ms)
    assert fleet.free(GROUP) == units - lost
    assert not fleet.hold("wl-all", GROUP, units - lost + 1)
    readings = rounds(fleet, found.at_ms + 15_000).sort("device_id")
    shown = readings.filter(pl.col("xid") != 0)
    assert shown["xid"].to_list() == [xid]
    assert shown["device_id"].to_list() == [fleet.fleet.identity["device_id"][found.row]]
    fleet.break_down(found.until_ms)
    assert fleet.free(GROUP) == units
    assert set(rounds(fleet, found.until_ms)["xid"]) == {0}


def test_an_island_that_is_out_is_one_node() -> None:
    found = first_breakdown(79)
    fleet = fleet_at(found.at_ms)
    fleet.break_down(found.at_ms)
    assert fleet.hold("wl-rest", GROUP, units_of(fleet) - 8)
    readings = rounds(fleet, found.at_ms + 15_000)
    free = readings.filter(pl.col("resource_group_id") == GROUP, pl.col("workload_id").is_null())
    numbers = sorted(int(device[-5:]) for device in free["device_id"])
    assert numbers == list(range(numbers[0], numbers[0] + 8))
    assert (numbers[0] - 1) % 8 == 0


def test_a_fleet_that_starts_in_the_middle_has_the_same_gpus_out() -> None:
    found = first_breakdown(79)
    through, later = fleet_at(found.at_ms), fleet_at(found.at_ms + 60_000)
    for at_ms in range(found.at_ms, found.at_ms + 60_000, SLICE_MS):
        through.break_down(at_ms)
    assert later.in_service(found.at_ms + 60_000) == through.in_service(found.at_ms + 60_000)
    assert later.free(GROUP) == through.free(GROUP) == units_of(later) - 8


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 40)), max_size=25), st.integers(0, 2000))
@settings(max_examples=40, deadline=None)
def test_no_gpu_is_held_twice_or_out_of_service(asks: list[tuple[int, int]], days: int) -> None:
    start_ms = START_MS + days * DAY_MS
    fleet = fleet_at(start_ms, gpus=1600)
    units = units_of(fleet)
    held: dict[str, int] = {}
    for step, (number, gpus) in enumerate(asks):
        at_ms = start_ms + step * 6 * 3_600_000
        for lost in fleet.break_down(at_ms):
            fleet.release(lost)
            held.pop(lost, None)
        name = f"wl-{number}"
        if name in held:
            fleet.release(name)
            del held[name]
        elif fleet.hold(name, GROUP, gpus):
            fleet.start(name, course(1, name, 3_600_000), at_ms)
            held[name] = gpus
        out = units - fleet.in_service(at_ms)[GROUP]
        assert fleet.free(GROUP) == units - out - sum(held.values())
    readings = fleet.readings(start_ms)
    assert readings["power_w"].is_between(65, 700).all()
    assert readings["memory_used_gib"].is_between(0, 79.6).all()


def submitted_and_started(at: datetime, gpus: int) -> tuple[e.WorkloadRequest, e.WorkloadRequest]:
    """The request of a workload of a day, and the report half a minute later that it runs."""
    submitted = e.WorkloadRequest(
        event_id="submit", workload_id="wl-1", action=WorkloadAction.SUBMIT, observed_at=at, customer_id="cust-7",
        gpus=gpus, duration_s=86_400, priority=20, deadline=at + timedelta(days=3), sla_penalty_usd=5.0,
    )  # fmt: skip
    later = at + timedelta(seconds=30)
    return submitted, replace(submitted, event_id="start", action=WorkloadAction.REPORT_STARTED, observed_at=later)


def running(found: Breakdown, ran_ms: int) -> tuple[Simulation, tuple[e.WorkloadRequest, e.WorkloadRequest]]:
    """A simulation from shortly before a breakdown, with a workload on all GPUs that has run for so long; and what has
    been asked and reported of it.
    """
    start_ms = found.at_ms - 30_000
    simulation = Simulation(an_operator(at_ms=start_ms, gpus=GPUS), SEED, start_ms, is_new=False)
    issued = to_datetime(found.at_ms - ran_ms - 30_000)
    gpus = units_of(simulation.gpus)
    before = submitted_and_started(issued, gpus)
    simulation.restore([workload_command(gpus=gpus, duration_s=86_400, at=issued)], before)
    return simulation, before


def requests(simulation: Simulation, seconds: int) -> list[e.WorkloadRequest]:
    """What is reported and asked of the workload and of the one that goes on with it."""
    found = emitted(slices(simulation, seconds), "workloads.requests")
    return [request for request in found if request.workload_id in {"wl-1", "wl-1-r1"}]


@pytest.mark.parametrize("ran_ms", [20_000, 100 * MINUTE_MS])
def test_a_workload_whose_gpus_break_goes_on_from_its_checkpoint_as_another(ran_ms: int) -> None:
    found = first_breakdown(79)
    simulation, _ = running(found, ran_ms)
    failed, again = requests(simulation, 60)
    assert failed.action is WorkloadAction.REPORT_FAILED
    assert failed.customer_id == "cust-7"
    assert to_ms(failed.observed_at) == found.at_ms
    assert failed.reason is not None
    assert failed.reason.startswith("GPU has fallen off the bus (XID 79) on texas-1-h100-")
    assert (again.workload_id, again.action, again.priority) == ("wl-1-r1", WorkloadAction.SUBMIT, 20)
    assert (again.deadline, again.sla_penalty_usd, again.customer_id) == (
        failed.observed_at - timedelta(milliseconds=ran_ms + 30_000) + timedelta(days=3), 5.0, "cust-7",
    )  # fmt: skip
    saved_s = 86_400 - again.duration_s
    assert 0 <= saved_s <= ran_ms / 1000
    # A checkpoint is made every 15 to 30 minutes.
    assert saved_s > 0 if ran_ms > 40 * MINUTE_MS else saved_s == 0
    assert ran_ms / 1000 - saved_s < 40 * 60
    assert simulation.scheduler.running == ()


def test_the_agents_take_what_goes_on_for_a_new_workload_of_the_same_customer() -> None:
    simulation, (submitted, started) = running(first_breakdown(79), 100 * MINUTE_MS)
    group = next(r for r in simulation.gpus.fleet.groups if r.resource_group_id == GROUP)
    directory = Directory.of([group], {"cust-7": 2.0})
    book = WorkloadBook()

    def told(request: e.WorkloadRequest) -> list[e.WorkloadState]:
        steps = handle(replace(request, facility_id="Texas-1"), book, directory)
        assert isinstance(steps, tuple), steps
        for step in steps:
            book.apply(step)
        return [step.to_state for step in steps]

    told(submitted)
    for step in scheduled(book.newest["wl-1"], GROUP, "decision", submitted.observed_at):
        book.apply(step)
    told(started)
    failed, again = requests(simulation, 60)
    assert told(failed) == [e.WorkloadState.FAILED]
    assert told(again) == [e.WorkloadState.REQUESTED, e.WorkloadState.QUEUED]


def test_what_goes_on_twice_is_numbered() -> None:
    assert restarted("wl-1-r1") == "wl-1-r2"
    assert restarted("wl-20260115-1200-3") == "wl-20260115-1200-3-r1"


def changes(simulation: Simulation, seconds: int) -> Iterator[e.Resource]:
    return iter(emitted(slices(simulation, seconds), "registry.resources"))


def test_the_registry_is_told_when_a_node_goes_and_comes_back() -> None:
    found = first_breakdown(79)
    simulation = Simulation(an_operator(at_ms=found.at_ms - 60_000, gpus=GPUS), SEED, found.at_ms - 60_000)
    units = units_of(simulation.gpus)
    (gone,) = changes(simulation, 120)
    assert (gone.resource_group_id, gone.units, gone.units_in_repair) == (GROUP, units - 8, 8)
    assert gone.maintenance == []
    # A slice after the breakdown.
    assert to_ms(gone.recorded_at) == found.at_ms + SLICE_MS
    back_ms = found.until_ms - 60_000
    later = Simulation(an_operator(at_ms=back_ms, gpus=GPUS), SEED, back_ms, is_new=False)
    published = {entry.key: entry.event for entry in later.master_data()}
    assert (published[GROUP].units, published[GROUP].units_in_repair) == (units - 8, 8)
    (back,) = changes(later, 120)
    assert (back.resource_group_id, back.units, back.units_in_repair) == (GROUP, units, 0)


def is_fatal(breakdown: Breakdown) -> bool:
    return breakdown.error.reach is Reach.ISLAND


def test_a_group_without_a_gpu_in_service_is_in_maintenance() -> None:
    found = next(b for b in Breakdowns(8, SEED).between(START_MS, START_MS + 10 * YEARS_MS) if is_fatal(b))
    simulation = Simulation(operator(60, 8, found.at_ms), SEED, found.at_ms)
    (gone,) = changes(simulation, 9)
    assert (gone.units, gone.units_in_repair) == (8, 0)
    assert [to_ms(window.ends_at) for window in gone.maintenance] == [found.until_ms]
    frame = pl.DataFrame(
        {name: [getattr(gone, name)] for name in ("units", "units_in_repair", "idle_power_w", "max_power_w")}
    )
    assert violations(topic("registry.resources").event_class, frame.with_row_index("row")) == ()


def placed(resource: e.Resource, *sizes: int) -> int:
    """How many workloads of such sizes the agents place on a group that the registry describes."""
    state = MarketState()
    for event in (a.facility(), a.tick(), a.gpu_tick(), a.network(), a.price(), a.customer(), resource):
        state.add(event)
    due = next_due(state, "Texas-1", None, DispatchPolicy())
    assert due is not None
    queued = {
        f"wl-{gpus}": e.WorkloadTransition(
            event_id=f"wl-{gpus}", workload_id=f"wl-{gpus}", version=2, from_state=e.WorkloadState.REQUESTED,
            to_state=e.WorkloadState.QUEUED, occurred_at=a.at(-60), customer_id="acme", facility_id="Texas-1",
            gpus=gpus, duration_s=3600, progress_s=0, priority=1, requested_at=a.at(-60), price_usd_gpu_hour=2.5,
            reason="queued",
        )
        for gpus in sizes
    }  # fmt: skip
    taken = take(state, WorkloadBook(queued), None, due, EconomicsPolicy(pool_fee_ratio=0.0))
    assert isinstance(taken, e.AllocationSnapshot)
    decision = solve(taken)
    return sum(len(group.workload_ids) for group in decision.allocations)


def test_the_agents_place_nothing_on_gpus_that_are_out_of_service() -> None:
    found = first_breakdown(79)
    fleet = fleet_at(found.at_ms)
    (plan,) = (resource for resource in fleet.fleet.groups if resource.resource_group_id == GROUP)
    every = units_of(fleet)
    sizes = (8, every - 8)

    def known() -> e.Resource:
        return replace(fleet.as_in_service(plan, found.at_ms), recorded_at=a.at(-120), transformer_id=None)

    assert placed(known(), *sizes) == 2
    assert placed(known(), every) == 1
    fleet.break_down(found.at_ms)
    assert placed(known(), *sizes) == 1
    # It waits.
    assert placed(known(), every) == 0
    window = e.MaintenanceWindow(starts_at=a.at(-120), ends_at=a.at(7200))
    assert placed(replace(known(), maintenance=[window]), *sizes) == 0
