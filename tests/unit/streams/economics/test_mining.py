"""What mining earns: figures by hand, and of days that others have recorded."""

import csv
import itertools
import math
import os
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import PowerMode, PowerModePoint
from streams.domain import economics
from streams.domain.economics import mining
from streams.domain.economics.mining import HeatDerating

DATA = Path(os.environ.get("HCP_TEST_DATA") or Path(__file__).parents[5] / "shared" / "data")
NORMAL = PowerModePoint(mode=PowerMode.NORMAL, power_w=3000.0, hashrate_ths=150.0)


@pytest.mark.parametrize(
    ("height", "subsidy"),
    [
        (0, 50.0),
        (209_999, 50.0),
        (210_000, 25.0),
        (420_000, 12.5),
        (629_999, 12.5),
        (630_000, 6.25),
        (839_999, 6.25),
        (840_000, 3.125),
        (1_050_000, 1.5625),
        # 50 BTC are 5e9 satoshis, just over 2^32: the 33rd halving leaves none.
        (32 * 210_000, 1e-8),
        (33 * 210_000, 0.0),
        (64 * 210_000, 0.0),
    ],
)
def test_subsidy_halves_every_210_000_blocks(height: int, subsidy: float) -> None:
    assert mining.block_subsidy_btc(height) == subsidy


def test_all_coins_ever_are_just_below_21_million() -> None:
    # Bitcoin Core's own check (validation_tests, subsidy_limit_test): 2,099,999,997,690,000 satoshis.
    satoshis = sum(round(mining.block_subsidy_btc(era * 210_000) * 1e8) * 210_000 for era in range(64))
    assert satoshis == 2_099_999_997_690_000


def test_halvings_came_at_their_heights_and_about_every_four_years() -> None:
    heights, days = list(mining.HALVING_DATES), list(mining.HALVING_DATES.values())
    assert heights == [210_000, 420_000, 630_000, 840_000]
    assert all(mining.block_subsidy_btc(h - 1) == 2 * mining.block_subsidy_btc(h) for h in heights)
    assert [mining.blocks_to_halving(h - 1) for h in heights] == [1, 1, 1, 1]
    assert mining.blocks_to_halving(840_000) == 210_000
    # 210,000 blocks of ten minutes are 1,458 days; the network grew, so each era was shorter.
    spans = [(later - earlier).days for earlier, later in itertools.pairwise(days)]
    assert all(1300 < span < 1458 for span in spans)


@pytest.mark.parametrize(
    ("network", "usd_ph_day"),
    [
        # Network totals of the day and its hashprice, Coin Metrics community data (price, difficulty, coins, fees).
        pytest.param(
            (8817.25, 16104807485529, 912.5, 107.9413384, 146), 76.978, id="2020-05-12, after the third halving"
        ),
        pytest.param((67541.76, 21659344833265, 843.75, 17.08037981, 135), 400.0044, id="2021-11-08, near the peak"),
        pytest.param((15778.02, 36950494067222, 806.25, 25.24633127, 129), 55.3677, id="2022-11-21, the low"),
        pytest.param(
            (64907.99, 86388558925171, 406.25, 1206.4665844, 130), 187.504, id="2024-04-20, the fourth halving"
        ),
        pytest.param((108316.45, 129699156960681, 412.5, 2.96748578, 132), 52.8779, id="2025-08-31"),
    ],
)
def test_hashprice_of_named_days_is_the_recorded_one(
    network: tuple[float, float, float, float, int], usd_ph_day: float
) -> None:
    price, difficulty, subsidy, fees, blocks = network
    found = economics.hashprice_usd_ths_day(price, difficulty, subsidy / blocks, fees / blocks, 0) * 1000
    # The record takes 2^32 hashes a block at difficulty 1, of which we take 2^48 / 0xFFFF: 1.5e-5 more.
    assert found == pytest.approx(usd_ph_day, rel=2e-5)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the recorded network: HCP_TEST_DATA names its folder")
def test_hashprice_and_subsidy_are_those_of_every_recorded_day() -> None:
    days = 0
    with (DATA / "btc_daily_2020_2026.csv").open() as file:
        for row in csv.DictReader(file):
            price, difficulty, fees, issued = (
                float(row[name]) for name in ("price_usd_close", "difficulty_mean", "fees_btc", "issuance_btc")
            )
            blocks, recorded = int(row["blocks"]), float(row["hashprice_usd_per_ph_day"])
            found = economics.hashprice_usd_ths_day(price, difficulty, issued / blocks, fees / blocks, 0) * 1000
            assert found == pytest.approx(recorded, rel=2e-5), row["date_utc"]
            day = date.fromisoformat(row["date_utc"])
            height = max(h for h, halved in mining.HALVING_DATES.items() if halved <= day)
            # Now and then a miner claims less than its block may.
            subsidy = pytest.approx(mining.block_subsidy_btc(height), rel=2e-2)
            assert day in mining.HALVING_DATES.values() or issued / blocks == subsidy, day
            days += 1
    assert days > 2000


def test_network_of_a_difficulty_has_the_hashrate_that_gives_it_back() -> None:
    # 86.39e12 * 4,295,032,833 / 600 = 6.184e20 hashes a second, 618 EH/s: April 2024.
    found = mining.hashrate_of_difficulty(86.39e12)
    assert found == pytest.approx(6.184e8, rel=1e-3)
    assert economics.difficulty_of_hashrate(found) == pytest.approx(86.39e12, rel=1e-12)


def test_efficiency_of_an_s21_is_that_of_its_data_sheet() -> None:
    # Bitmain: 200 TH/s, 3500 W, 17.5 J/TH.
    assert mining.efficiency_j_th(3500, 200) == 17.5


def test_heat_adds_power_and_then_takes_hashrate_back() -> None:
    heat = HeatDerating(nameplate_c=25, power_per_c=0.001, throttle_c=40, throttle_per_c=0.05)
    assert mining.derated(NORMAL, 25, heat) == NORMAL
    # Ten degrees over: 1 % more power, the same hashrate.
    warm = mining.derated(NORMAL, 35, heat)
    assert [warm.power_w, warm.hashrate_ths] == pytest.approx([3030, 150])
    # Four degrees over 40: 20 % taken back of 3000 * 1.019.
    hot = mining.derated(NORMAL, 44, heat)
    assert [hot.power_w, hot.hashrate_ths] == pytest.approx([2445.6, 120])
    # 5 % a degree: nothing is left at 60.
    assert mining.derated(NORMAL, 60, heat).hashrate_ths == pytest.approx(0, abs=1e-9)


@given(st.floats(-40, 70), st.floats(0, 20))
def test_warmer_air_never_makes_a_miner_more_efficient(outside_c: float, warmer: float) -> None:
    before, after = (mining.derated(NORMAL, t, HeatDerating()) for t in (outside_c, outside_c + warmer))
    assert after.hashrate_ths <= before.hashrate_ths
    assert after.power_w * before.hashrate_ths >= before.power_w * after.hashrate_ths * (1 - 1e-12)


def test_step_to_a_mode_earns_what_it_adds_to_the_one_below() -> None:
    modes = [
        economics.ModeEconomics(PowerMode.TURBO, 4.0, 170.0, 42.5),
        economics.ModeEconomics(PowerMode.ECO, 2.0, 120.0, 60.0),
        economics.ModeEconomics(PowerMode.NORMAL, 3.0, 150.0, 50.0),
    ]
    # From standby at 0.5 MW: 120 / 1.5, then 30 and 20 for a MW each.
    assert mining.mode_steps(modes, standby_mw=0.5) == [
        mining.ModeStep(PowerMode.ECO, 1.5, 80.0),
        mining.ModeStep(PowerMode.NORMAL, 1.0, 30.0),
        mining.ModeStep(PowerMode.TURBO, 1.0, 20.0),
    ]


def test_mode_that_draws_no_more_than_the_one_below_has_no_step() -> None:
    modes = [
        economics.ModeEconomics(PowerMode.ECO, 2.0, 120.0, 60.0),
        economics.ModeEconomics(PowerMode.NORMAL, 2.0, 100.0, 50.0),
    ]
    assert mining.mode_steps(modes) == [mining.ModeStep(PowerMode.ECO, 2.0, 60.0)]


@given(st.floats(1, 1e5), st.floats(1e12, 1e15), st.floats(0.1, 500), st.floats(0.1, 500), st.floats(1, 2))
def test_margin_is_nothing_at_each_break_even(
    btc_usd: float, difficulty: float, cost: float, efficiency: float, pue: float
) -> None:
    point = PowerModePoint(mode=PowerMode.NORMAL, power_w=efficiency * 100, hashrate_ths=100.0)

    def margin(price: float, at_difficulty: float, power_cost: float) -> float:
        hashprice = economics.hashprice_usd_ths_day(price, at_difficulty, 3.125, 0.1, 0.02)
        found = economics.mode_economics(point, hashprice, pue)
        return found.margin_usd_mwh(power_cost) / found.value_usd_mwh

    hashprice = economics.hashprice_usd_ths_day(btc_usd, difficulty, 3.125, 0.1, 0.02)
    value = economics.mode_economics(point, hashprice, pue).value_usd_mwh
    assert value == pytest.approx(economics.break_even_price(100.0, efficiency * 100, hashprice, pue))
    even_btc = mining.break_even_btc_price_usd(btc_usd, value, cost)
    even_difficulty = mining.break_even_difficulty(difficulty, value, cost)
    assert even_btc is not None
    assert even_difficulty is not None
    assert margin(btc_usd, difficulty, value) == pytest.approx(0, abs=1e-9)
    assert margin(even_btc, difficulty, cost) == pytest.approx(0, abs=1e-9)
    assert margin(btc_usd, even_difficulty, cost) == pytest.approx(0, abs=1e-9)
    even_hashprice = mining.break_even_hashprice_usd_ths_day(efficiency, cost, pue)
    assert economics.mode_economics(point, even_hashprice, pue).value_usd_mwh == pytest.approx(cost)


@pytest.mark.parametrize(("value", "cost"), [(0.0, 30.0), (50.0, 0.0), (50.0, -10.0)])
def test_there_is_no_break_even_where_nothing_is_earned_or_power_is_free(value: float, cost: float) -> None:
    assert mining.break_even_btc_price_usd(1e5, value, cost) is None
    assert mining.break_even_difficulty(1e14, value, cost) is None


@given(st.floats(-100, 300), st.floats(0, 300), st.floats(0.01, 1))
def test_dearer_power_never_raises_the_load_of_the_best_mode(cost: float, dearer: float, hashprice: float) -> None:
    points = [
        PowerModePoint(mode=mode, power_w=power, hashrate_ths=hashrate)
        for mode, power, hashrate in zip(PowerMode, (20, 2000, 3000, 4000), (0, 120, 150, 170), strict=True)
    ]
    modes = [economics.mode_economics(point, hashprice, 1.1) for point in points]
    before, after = economics.best_mode(modes, cost), economics.best_mode(modes, cost + dearer)
    assert before is not None
    assert after is not None
    assert after.power_mw <= before.power_mw


def test_hashprice_is_the_share_of_blocks_times_their_reward() -> None:
    # A terahash a second makes 1e12 * 86,400 = 8.64e16 hashes a day. At difficulty 65,535 / 2^48 a block takes one hash
    # on average, so at 8.64e16 times that difficulty it finds one block a day: 3 BTC + 1 BTC of fees at 50,000 USD,
    # less 5 %.
    difficulty = 8.64e16 * 65_535 / 2**48
    found = economics.hashprice_usd_ths_day(50_000, difficulty, 3, 1, 0.05)
    assert math.isclose(found, 190_000, rel_tol=1e-12)


def test_hashprice_on_a_known_day_is_that_of_the_market() -> None:
    # 20 April 2024, block 840,000: difficulty 86.39 T, subsidy 3.125 BTC, BTC about 64,000 USD. Without fees:
    # 8.64e16 / (86.39e12 * 4,295,032,833) = 2.3285e-7 blocks * 3.125 * 64,000 = 0.04657 USD/TH/day.
    found = economics.hashprice_usd_ths_day(64_000, 86.39e12, 3.125, 0, 0)
    assert math.isclose(found, 0.04657, rel_tol=1e-3)


def test_difficulty_of_a_hashrate_gives_a_block_every_ten_minutes() -> None:
    difficulty = economics.difficulty_of_hashrate(6e8)
    # The whole network earns 144 blocks a day: 6e8 TH/s * hashprice = 144 * 1 BTC * 1 USD.
    assert math.isclose(economics.hashprice_usd_ths_day(1, difficulty, 1, 0, 0) * 6e8, 144, rel_tol=1e-12)


def test_break_even_price_of_one_megawatt_is_its_hourly_revenue() -> None:
    # 1 MW earning 24 USD/TH/day on 50 TH/s: 50 * 24 / 24 = 50 USD an hour, for 1 MWh.
    assert economics.break_even_price(hashrate_ths=50, power_w=1_000_000, hashprice=24) == 50.0


def test_cooling_lowers_the_break_even_price() -> None:
    # The same earns 50 USD for 1.25 MWh at the meter: 40 USD/MWh.
    assert economics.break_even_price(hashrate_ths=50, power_w=1_000_000, hashprice=24, pue_ratio=1.25) == 40.0


def test_value_of_a_mode_is_its_break_even_price() -> None:
    point = PowerModePoint(mode=PowerMode.ECO, power_w=2000, hashrate_ths=100)
    # 100 TH/s * 0.06 / 24 = 0.25 USD an hour on 2 kW * 1.25 = 2.5 kW: 100 USD/MWh.
    found = economics.mode_economics(point, hashprice=0.06, pue_ratio=1.25)
    assert found == economics.ModeEconomics(PowerMode.ECO, 0.0025, 0.25, 100.0)


@pytest.mark.parametrize(
    ("power_cost", "best"),
    [
        # Margins an hour of 1 kW earning 0.10 and 2 kW earning 0.15: the second kW earns 0.05, so 50 USD/MWh decides.
        pytest.param(40.0, PowerMode.TURBO, id="cheap power runs the mode that earns most"),
        pytest.param(60.0, PowerMode.ECO, id="dear power runs the efficient mode"),
        pytest.param(50.0, PowerMode.ECO, id="where both earn the same the one that draws less"),
    ],
)
def test_best_mode_follows_the_power_price(power_cost: float, best: PowerMode) -> None:
    modes = [
        economics.ModeEconomics(PowerMode.ECO, 1.0, 100.0, 100.0),
        economics.ModeEconomics(PowerMode.TURBO, 2.0, 150.0, 75.0),
    ]
    found = economics.best_mode(modes, power_cost)
    assert found is not None
    assert found.mode is best


@pytest.mark.parametrize("power_w", [0.0, -1.0, math.nan, math.inf])
def test_power_that_is_not_positive_is_refused_by_name(power_w: float) -> None:
    with pytest.raises(ValueError, match="power_w must be positive"):
        economics.break_even_price(1, power_w, 1)


@given(st.floats(1, 1e6), st.floats(1, 1e4), st.floats(1e-3, 1), st.floats(1.1, 100))
def test_break_even_depends_on_efficiency_and_hashprice_only(
    power_w: float, hashrate: float, hashprice: float, factor: float
) -> None:
    one = economics.break_even_price(hashrate, power_w, hashprice)
    many = economics.break_even_price(hashrate * factor, power_w * factor, hashprice)
    assert math.isclose(one, many, rel_tol=1e-9)
