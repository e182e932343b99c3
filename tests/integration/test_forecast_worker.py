"""The forecast worker on a real broker and registry: prices in, forecasts out, and plans that go by them."""

from dataclasses import replace
from datetime import timedelta
from signal import Signals

import pytest

from schemas import events as e
from streams.domain.forecast.forecaster import Forecaster
from streams.domain.horizon import PriceSource
from tests import streams_event as a
from tests.agents_world import World
from tests.backtest_case import wavy_prices
from tests.hcp_command import running_hcp, so_far

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(900),
    # The stack's servers outlive the object that started them, on purpose.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

HOURS = 23 * 24
HOUR_S = 3600
WAVY = wavy_prices(days=24).tolist()
TOPIC = "grid.forecasts"


def hour(number: int, point: str = "HB_WEST", **changes: object) -> e.GridPrice:
    """The price of an hour, known as it begins; hour `HOURS` is that of noon."""
    found = a.price((number - HOURS) * HOUR_S, WAVY[number], point, interval_s=HOUR_S)
    return replace(found, **changes)  # type: ignore[arg-type]


def expected(known: list[e.GridPrice]) -> e.PriceForecast:
    """What the domain says of these prices."""
    forecaster = Forecaster()
    for price in known:
        forecaster.add(price)
    found = forecaster.forecast()
    assert found is not None
    return found


HISTORY = [hour(number) for number in range(HOURS)]


def test_each_new_price_is_followed_by_its_forecast_and_a_restart_says_the_same_again(world: World) -> None:
    world.send(*HISTORY)
    with running_hcp(world, "worker", "forecast") as worker:
        # Of the past nothing but the newest price is forecast from.
        (first,) = world.wait(lambda: so_far(world, TOPIC), lambda seen: len(seen) >= 1)
        assert first == expected(HISTORY)
        world.send(hour(HOURS))
        second = world.wait(lambda: so_far(world, TOPIC), lambda seen: len(seen) >= 2)[1]
        assert second == expected([*HISTORY, hour(HOURS)])
        worker.ended_by(Signals.SIGKILL)
    with running_hcp(world, "worker", "forecast") as worker:
        again = world.wait(lambda: so_far(world, TOPIC), lambda seen: len(seen) >= 3)[2]
        assert again == second
        assert worker.ended_by(Signals.SIGTERM) == 0
    assert len(so_far(world, TOPIC)) == 3


def test_what_is_no_price_or_needs_no_forecast_has_none(world: World) -> None:
    auction = hour(HOURS, market=e.GridMarket.DAY_AHEAD, event_id=a.an_id("auction"))
    with_auction = [replace(price, settlement_point="HB_NORTH") for price in HISTORY]
    world.send(*HISTORY, *with_auction, replace(auction, settlement_point="HB_NORTH"))
    world.send_raw("grid.prices", b"no event", [])
    world.send(hour(HOURS, event_id="of no length", interval_s=0))
    # One wrong length of an interval does not end the history of the others.
    world.send(hour(HOURS, event_id="of another length", interval_s=60))
    far = timedelta(days=365 * 200)
    world.send(hour(HOURS, event_id="far ahead", observed_at=a.NOON + far, interval_start=a.NOON + far))
    with running_hcp(world, "worker", "forecast"):
        (found,) = world.wait(lambda: so_far(world, TOPIC), lambda seen: len(seen) >= 1)
        assert found == expected(HISTORY)
        world.send(replace(hour(HOURS), settlement_point="HB_NORTH"), hour(HOURS))
        found = world.wait(lambda: so_far(world, TOPIC), lambda seen: len(seen) >= 2)
        assert found[1:] == [expected([*HISTORY, hour(HOURS)])]


def test_a_broker_that_is_away_is_waited_for(world: World) -> None:
    world.send(*HISTORY)
    with running_hcp(world, "worker", "forecast") as worker:
        world.wait(lambda: so_far(world, TOPIC), lambda seen: len(seen) >= 1)
        world.stack.kill("kafka")
        world.wait(lambda: worker.talk, lambda said: "starting again from the oldest price" in said)
        world.stack.up(only=["kafka", "registry"])
        world.send(hour(HOURS))
        known = [*HISTORY, hour(HOURS)]
        found = world.wait(lambda: so_far(world, TOPIC), lambda seen: expected(known) in seen)
        assert all(forecast in (expected(HISTORY), expected(known)) for forecast in found)
        assert worker.ended_by(Signals.SIGTERM) == 0


def test_the_plan_of_an_interval_goes_by_the_forecast_of_before_it(world: World) -> None:
    world.send(a.facility(), a.miners(), a.gpus(), a.customer(), a.tick(), a.gpu_tick(), a.network())
    world.send(*HISTORY, hour(HOURS))
    with running_hcp(world, "worker", "forecast"):
        (forecast,) = world.wait(lambda: so_far(world, TOPIC), lambda seen: len(seen) >= 1)
        world.start()
        # An hourly price begins no interval within its hour: a tick does, when no price has come for a while.
        world.send(a.tick(590))
        # Its dispatch comes first, its plan behind it.
        plans = world.wait(
            lambda: [taken for taken in world.events("allocations.snapshots") if taken.horizon],
            lambda seen: len(seen) >= 2,
        )
    at_noon, later = plans
    assert later.interval_start == a.at(300)
    assert at_noon.forecast_event_id is None
    assert later.forecast_event_id == forecast.event_id
    prices = [entry.power_cost_usd_mwh - 10.0 for entry in later.horizon if entry.source == PriceSource.FORECAST]
    hours = [interval.expected_usd_mwh for interval in forecast.intervals[1:5]]
    assert prices == pytest.approx([usd_mwh for usd_mwh in hours for _ in range(12)][: len(prices)])
    assert len(prices) == 48 - 11
