"""What decisions make of an outage: plans keep what the published records leave, and give no cap up for it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from schemas import events as e
from simulators.outage import FAN_FAILURE, FEEDER_TRIP, TRANSFORMER_TRIP, Hazard
from simulators.timeline import to_datetime
from streams.domain.allocation import modes_of
from streams.domain.group_economics import group_load
from tests import streams_event as a
from tests.desk_world import decided, desk_with
from tests.simulators_world import a_simulation, emitted, slices
from tests.unit.simulators.test_facility import OFTEN, SEED, short_spell
from tests.unit.streams.test_market_state import known

CASES = [(FAN_FAILURE, "texas-1-t1"), (TRANSFORMER_TRIP, "texas-1-t1"), (FEEDER_TRIP, "Texas-1")]


def told(hazard: Hazard, subject: str) -> tuple[list[Any], list[Any], float]:
    """The master data before an outage, what is published as it begins, and when that is, s after noon."""
    spell = short_spell(hazard, subject)
    simulation = a_simulation(SEED, spell.start_ms - 3000, is_new=False, outages=OFTEN)
    before = [entry.event for entry in simulation.master_data()]
    found = slices(simulation, 6)
    records = [*emitted(found, "registry.facilities"), *emitted(found, "registry.resources")]
    return before, records, (to_datetime(spell.start_ms) - a.NOON).total_seconds()


def decision(records: Iterable[Any], seconds: float) -> e.AllocationDecision:
    """What Texas-1 does by master data: the first plan after a moment, with dear bitcoin and cheap power."""
    tick, gpu_tick = a.tick(seconds), a.gpu_tick(seconds)
    markets = (tick, gpu_tick, a.network(seconds), a.price(seconds, 20.0), a.day_ahead(seconds // 3600, 20.0))
    log, _ = decided(desk_with(*records, *markets))
    return next(made for made in log.decisions if made.facility_id == "Texas-1")


def power_mw(made: e.AllocationDecision, groups: set[str]) -> float:
    """What some groups draw at the meter."""
    return sum(group.power_mw for group in made.allocations if group.resource_group_id in groups)


def behind(records: list[Any], transformer_id: str) -> set[str]:
    """The groups that a transformer feeds."""
    return {r.resource_group_id for r in records if isinstance(r, e.Resource) and r.transformer_id == transformer_id}


@pytest.mark.parametrize(("hazard", "subject"), CASES, ids=lambda case: getattr(case, "name", case))
def test_a_plan_after_an_outage_keeps_the_caps_that_it_left(hazard: Hazard, subject: str) -> None:
    before, records, seconds = told(hazard, subject)
    facility = next(r for r in records if isinstance(r, e.Facility) and r.facility_id == "Texas-1")
    usual, made = decision(before, seconds), decision([*before, *records], seconds)
    caps = {limit.transformer_id: limit.cap_mw for limit in facility.transformers}
    for transformer_id, cap_mw in caps.items():
        assert power_mw(made, behind(before, transformer_id)) <= cap_mw + 1e-9
    # It had to give way, and no cap was given up for it.
    assert power_mw(usual, behind(before, "texas-1-t1")) > caps["texas-1-t1"]
    assert not {entry.rule for entry in made.given_up} & {"transformer cap", "facility cap"}


@pytest.mark.parametrize(("hazard", "subject"), CASES[1:], ids=lambda case: getattr(case, "name", case))
def test_groups_without_power_are_out_of_service_and_the_others_run_on(hazard: Hazard, subject: str) -> None:
    before, records, seconds = told(hazard, subject)
    usual, made = decision(before, seconds), decision([*before, *records], seconds)
    reasons = {group.resource_group_id: group.reason for group in made.allocations if group.kind is e.ResourceKind.ASIC}
    dark = {r.resource_group_id for r in records if isinstance(r, e.Resource) and r.maintenance}
    assert {group for group, why in reasons.items() if "out of service" in why} == dark & reasons.keys()
    expected = {group: e.PowerMode.OFF if group in dark else mode for group, mode in modes_of(usual).items()}
    assert modes_of(made) == expected


def test_stale_windows_of_a_group_out_of_service_count_as_standby() -> None:
    # 50 miners drew 3 kW each until 15 s; after two minutes without a window that is stale.
    out = e.MaintenanceWindow(starts_at=a.at(20), ends_at=a.at(900))
    state = known(a.window(15))
    silent, dark = a.miners(), replace(a.miners(), maintenance=[out])
    assert group_load(state, silent, a.at(600)).it_load_w == 150_000.0
    assert group_load(state, dark, a.at(600)).it_load_w == 100 * 30.0
    # Until they are stale the windows say what was drawn, and after the outage what was drawn last.
    assert group_load(state, dark, a.at(100)).it_load_w == 150_000.0
    assert group_load(state, dark, a.at(900)).it_load_w == 150_000.0
