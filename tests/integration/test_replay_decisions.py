"""Recorded prices drive the decisions: cheap power is mined with, dear power is not."""

import os
import time
from pathlib import Path

import pytest

from schemas.events import AllocationDecision, PowerMode, ResourceKind
from tests.demo_world import DemoWorld, running_demo

pytestmark = pytest.mark.integration

DATA = Path(os.environ.get("HCP_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
URI = DATA / "ercot_rtm_spp_15min_2021-02_uri.csv"

CHEAP_USD_MWH = 60
DEAR_USD_MWH = 250
FLEET = ("--miners", "40", "--gpus", "48", "--speed", "300")
DEADLINE_S = 120.0


def mines(decision: AllocationDecision) -> bool:
    return any(a.kind is ResourceKind.ASIC and a.power_mode is not PowerMode.OFF for a in decision.allocations)


def assert_decisions_follow(world: DemoWorld) -> None:
    # Read from the log: TimescaleDB's retention drops what is older than its policies, and recorded prices may be.
    deadline = time.monotonic() + DEADLINE_S
    dear: list[AllocationDecision] = []
    cheap: list[AllocationDecision] = []
    while len(dear) < 3 or len(cheap) < 3:
        assert time.monotonic() < deadline, f"{len(dear)} dear and {len(cheap)} cheap intervals so far"
        decisions = [event for _, event in world.committed("allocations.decisions")]
        # The grid pays for the load of a call, by the hour of the day: then even cheap power may be worth more unused.
        called = {taken.decision_id for _, taken in world.committed("allocations.snapshots") if taken.signal_id}
        decisions = [d for d in decisions if d.facility_id == "Texas-1" and d.decision_id not in called]
        dear = [decision for decision in decisions if decision.power_cost_usd_mwh > DEAR_USD_MWH]
        cheap = [decision for decision in decisions if decision.power_cost_usd_mwh < CHEAP_USD_MWH]
    assert not any(mines(decision) for decision in dear), "miners ran while power cost more than they could earn"
    assert all(mines(decision) for decision in cheap), "no miner ran while power was cheap"


def test_a_users_price_file_turns_the_miners_off_in_its_spike(demo: DemoWorld) -> None:
    assert_decisions_follow(demo)


@pytest.mark.skipif(not URI.exists(), reason="needs recorded prices: HCP_TEST_DATA names their folder")
def test_the_prices_of_winter_storm_uri_turn_the_miners_off(tmp_path: Path) -> None:
    # On 3 February 2021 HB_WEST settled at 334.27 USD/MWh for the quarter hour from 11:00Z, at about 20 before it.
    replay = ("--replay", str(URI), "--start", "2021-02-03T10:30:00Z")
    with running_demo(tmp_path / "home", *FLEET, *replay) as world:
        assert_decisions_follow(world)
