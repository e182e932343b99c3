"""Recorded prices drive the decisions: cheap power is mined with, dear power is not."""

import os
from pathlib import Path

import pytest

from schemas.events import AllocationDecision, AllocationSnapshot, PowerMode, ResourceKind
from streams.domain.commitment import has_to_stay
from tests.demo_world import DemoWorld, running_demo

pytestmark = pytest.mark.integration

DATA = Path(os.environ.get("HCP_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
URI = DATA / "ercot_rtm_spp_15min_2021-02_uri.csv"

CHEAP_USD_MWH = 60
DEAR_USD_MWH = 500
# Event time waits for each plan: on a machine that is busy, three dear quarters would pass without one.
FLEET = ("--miners", "40", "--gpus", "8", "--speed", "0", "--lockstep")


def mines(decision: AllocationDecision) -> bool:
    return any(a.kind is ResourceKind.ASIC and a.power_mode is not PowerMode.OFF for a in decision.allocations)


def has_to(snapshot: AllocationSnapshot, *, rest: bool) -> bool:
    """Whether something has to rest (run) whatever the price: just switched, or the load can't fall so fast."""
    idle_mw = sum(group.idle_power_mw for group in snapshot.groups) * snapshot.pue_ratio
    fall_mw = snapshot.ramp_mw_min * snapshot.interval_s / 60
    ramps = not rest and (snapshot.load_before_mw or 0.0) - fall_mw > idle_mw
    return ramps or any(
        has_to_stay(group) and (group.current_mode is PowerMode.OFF) is rest for group in snapshot.groups
    )


def needs_miners(decision: AllocationDecision, snapshot: AllocationSnapshot) -> bool:
    """Whether the load without them would be under its minimum: no workload may be there for the GPUs."""
    resting_mw = sum(g.idle_power_mw for g in snapshot.groups if g.kind is ResourceKind.ASIC) * snapshot.pue_ratio
    return decision.load_mw - decision.mining_mw + resting_mw < snapshot.min_load_mw


def knows_a_call(snapshot: AllocationSnapshot) -> bool:
    """Whether the grid operator has called, for now or for the hours ahead."""
    return snapshot.signal_id is not None or any(interval.limit_mw is not None for interval in snapshot.horizon)


def dear_and_cheap(world: DemoWorld) -> tuple[list[AllocationDecision], list[AllocationDecision]]:
    """The decisions of Texas-1 so far in which nothing but the price was to be obeyed, of dear and of cheap intervals.

    Read from the log: TimescaleDB's retention drops what is older than its policies, and recorded prices may be.
    """
    decisions = [event for _, event in world.committed("allocations.decisions")]
    taken = {snapshot.decision_id: snapshot for _, snapshot in world.committed("allocations.snapshots")}
    # A snapshot can't be read before those in front of it are committed, which may be other facilities' later.
    decisions = [d for d in decisions if d.facility_id == "Texas-1" and d.decision_id in taken]
    dear = [
        decision
        for decision in decisions
        if decision.power_cost_usd_mwh > DEAR_USD_MWH
        and not has_to(taken[decision.decision_id], rest=False)
        and not needs_miners(decision, taken[decision.decision_id])
    ]
    # The grid pays for the load of a call, by the hour of the day: then even cheap power may be worth more unused,
    # and before a call that is known the load may have to fall already.
    cheap = [
        decision
        for decision in decisions
        if decision.power_cost_usd_mwh < CHEAP_USD_MWH
        and not knows_a_call(taken[decision.decision_id])
        and not has_to(taken[decision.decision_id], rest=True)
    ]
    return dear, cheap


def assert_decisions_follow(world: DemoWorld) -> None:
    dear, cheap = world.await_that(
        "dear and cheap intervals", lambda: dear_and_cheap(world), lambda seen: len(seen[0]) >= 2 and len(seen[1]) >= 3
    )
    ran = [group.reason for decision in dear if mines(decision) for group in decision.allocations]
    assert not ran, "miners ran while power cost more than they could earn"
    assert all(mines(decision) for decision in cheap), "no miner ran while power was cheap"


def test_a_users_price_file_turns_the_miners_off_in_its_spike(demo: DemoWorld) -> None:
    assert_decisions_follow(demo)


@pytest.mark.skipif(not URI.exists(), reason="needs recorded prices: HCP_TEST_DATA names their folder")
def test_the_prices_of_winter_storm_uri_turn_the_miners_off(tmp_path: Path) -> None:
    # On 9 February 2021 HB_WEST settled at 615 to 915 USD/MWh for the three quarters from 12:15Z, at 35 to 45 before.
    replay = ("--replay", str(URI), "--start", "2021-02-09T11:45:00Z")
    with running_demo(tmp_path / "home", *FLEET, *replay) as world:
        assert_decisions_follow(world)
