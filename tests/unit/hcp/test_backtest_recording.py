"""The recorded market as it is read from files: small ones, and the real ones where they are."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from hcp.backtest.decider import AlwaysOn
from hcp.backtest.engine import FORESIGHT, NewDecider, run_week
from hcp.backtest.error import BacktestError
from hcp.backtest.fleet import Fleet
from hcp.backtest.planner import Planner
from hcp.backtest.recording import Files, KnownWhen, read
from hcp.commands.backtest import _facility

DATA = Path(os.environ.get("HCP_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")
START = datetime(2025, 6, 2, tzinfo=UTC)
END = START + timedelta(days=2)


def _folder(folder: Path) -> Files:
    """Two days of quarter hours whose price is their number, an auction at 30, Bitcoin at 100,000 + day."""
    quarters = (f"{START + n * timedelta(minutes=15):%Y-%m-%dT%H:%M:%SZ},HB_HUBAVG,{n}" for n in range(192))
    hours = (f"{START + n * timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ},HB_HUBAVG,30" for n in range(48))
    days = (f"{START + timedelta(days=n):%Y-%m-%d},{100_000 + n},1e14,14.4,144" for n in range(-2, 2))
    header = "interval_start_utc,settlement_point,price_usd_per_mwh"
    for name, lines in (
        ("ercot_rtm_spp_15min_x.csv", (header, *quarters)),
        ("ercot_dam_spp_hourly_x.csv", (header, *hours)),
        ("btc_daily_x.csv", ("date_utc,price_usd_close,difficulty_mean,fees_btc,blocks", *days)),
    ):
        (folder / name).write_text("\n".join(lines) + "\n")
    return Files(folder)


@pytest.mark.parametrize(
    ("known", "newest"),
    [
        pytest.param(KnownWhen.AT_START, 4.0, id="as it begins"),
        pytest.param(KnownWhen.AFTER, 3.0, id="once it is over"),
    ],
)
def test_price_is_known_when_the_option_says(tmp_path: Path, known: KnownWhen, newest: float) -> None:
    market = read(_folder(tmp_path), "HB_WEST", START, END, known)
    hour_ms = int((START + timedelta(hours=1)).timestamp() * 1000)
    assert market.known(hour_ms).price_usd_mwh == newest


def test_auction_is_known_from_half_past_one_in_texas_on_the_day_before(tmp_path: Path) -> None:
    market = read(_folder(tmp_path), "HB_WEST", START, END, KnownWhen.AFTER)
    auction = market.prices.day_ahead
    # The first hours are those of Sunday 1 June in Texas; 5:00 UTC begins Monday, published at 13:30 CDT = 18:30 UTC.
    monday = int(np.searchsorted(auction.start_ms, int(START.timestamp() * 1000) + 5 * 3_600_000))
    assert datetime.fromtimestamp(auction.published_ms[monday] / 1000, UTC) == datetime(2025, 6, 1, 18, 30, tzinfo=UTC)
    assert datetime.fromtimestamp(auction.published_ms[0] / 1000, UTC) == datetime(2025, 5, 31, 18, 30, tzinfo=UTC)


def test_day_of_bitcoin_is_known_at_its_end_and_earned_within(tmp_path: Path) -> None:
    market = read(_folder(tmp_path), "HB_WEST", START, END, KnownWhen.AFTER)
    noon_ms = int((START + timedelta(hours=12)).timestamp() * 1000)
    known = market.known(noon_ms)
    assert known.btc_price_usd == 99_999.0
    assert known.fees_btc == pytest.approx(0.1)
    earned = market.earned_usd_ths_day(np.array([noon_ms]))[0]
    assert earned == pytest.approx(known.hashprice_usd_ths_day * 100_000 / 99_999)


@pytest.mark.parametrize(
    ("point", "end", "message"),
    [
        pytest.param("AESO_POOL", END, "--fx", id="Canadian dollars"),
        pytest.param("HB_WEST", END + timedelta(days=1), "2025-06-02 00:00 to 2025-06-03 23:45", id="too short"),
        pytest.param("HB_NORTH", END + timedelta(days=1), "Choose --from and --to within", id="the mend"),
    ],
)
def test_what_is_missing_is_named_with_the_mend(tmp_path: Path, point: str, end: datetime, message: str) -> None:
    with pytest.raises(BacktestError, match=message):
        read(_folder(tmp_path), point, START, end, KnownWhen.AFTER)


def test_folder_without_files_is_refused_with_the_option_to_name(tmp_path: Path) -> None:
    with pytest.raises(BacktestError, match="--prices"):
        read(Files(tmp_path), "HB_WEST", START, END, KnownWhen.AFTER)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs recorded prices: HCP_TEST_DATA names their folder")
@pytest.mark.parametrize(
    ("point", "start"),
    [
        pytest.param("HB_WEST", datetime(2021, 2, 14, tzinfo=UTC), id="winter storm of 2021"),
        pytest.param("HB_NORTH", datetime(2025, 4, 7, tzinfo=UTC), id="spring of 2025"),
        pytest.param("AESO_POOL", datetime(2025, 1, 6, tzinfo=UTC), id="Alberta"),
    ],
)
def test_recorded_weeks_are_planned_below_perfect_foresight(point: str, start: datetime) -> None:
    end = start + timedelta(weeks=1)
    market = read(Files(DATA, fx=0.7), point, start, end, KnownWhen.AFTER)
    facility, resources = _facility(point, 2000)
    fleet = Fleet(facility, resources, market.interval_ms)
    deciders: dict[str, NewDecider] = {
        "plan": lambda: Planner(fleet),
        "always": lambda: AlwaysOn(fleet),
    }
    week = run_week(market, fleet, deciders, int(start.timestamp() * 1000))
    assert week is not None
    assert max(week.margin_usd["plan"], week.margin_usd["always"]) <= week.margin_usd[FORESIGHT]
    assert week.margin_usd["plan"] > week.margin_usd["always"]
