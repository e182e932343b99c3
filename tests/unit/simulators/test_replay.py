"""Recorded prices: columns found or named, bad values left out and told."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas import events as e
from simulators.replay import BadRow, Columns, IntervalPrice, ReplayError, bad_row_lines, read
from simulators.timeline import MINUTE_MS, to_ms
from tests.simulators_world import a_simulation, emitted, slices

AT = to_ms(datetime(2025, 6, 1, tzinfo=UTC))
QUARTER = 15 * MINUTE_MS


def _file(folder: Path, *lines: str) -> Path:
    file = folder / "prices.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_columns_of_hubs_are_found_by_their_names(tmp_path: Path) -> None:
    file = _file(
        tmp_path,
        "interval_start_utc,hb_west_dam_usd_per_mwh,hb_west_rtm_usd_per_mwh,hb_north_rtm_usd_per_mwh",
        "2025-06-01T00:00:00Z,1,20.5,21",
        "2025-06-01T00:15:00Z,1,-3,22",
    )
    assert read(file).series == {
        "HB_WEST": (IntervalPrice(AT, QUARTER, 20.5), IntervalPrice(AT + QUARTER, QUARTER, -3.0)),
        "HB_NORTH": (IntervalPrice(AT, QUARTER, 21.0), IntervalPrice(AT + QUARTER, QUARTER, 22.0)),
    }


def test_the_hub_average_stands_for_both_hubs(tmp_path: Path) -> None:
    file = _file(
        tmp_path, "interval_start_utc,settlement_point,price_usd_per_mwh", "2025-06-01T00:00:00Z,HB_HUBAVG,28.55"
    )
    assert {point: [p.usd for p in prices] for point, prices in read(file).series.items()} == {
        "HB_NORTH": [28.55],
        "HB_WEST": [28.55],
    }


def test_named_columns_and_point_are_taken(tmp_path: Path) -> None:
    file = _file(tmp_path, "when,what", "2025-06-01 00:00,40", "2025-06-01 01:00,50")
    found = read(file, Columns(time="when", price="what", point="AESO_POOL", fx=0.5))
    hour = 60 * MINUTE_MS
    assert found.series == {"AESO_POOL": (IntervalPrice(AT, hour, 20.0), IntervalPrice(AT + hour, hour, 25.0))}
    assert (found.start_ms, found.end_ms) == (AT, AT + 2 * hour)


def test_bad_values_are_left_out_and_told_with_line_column_and_reason(tmp_path: Path) -> None:
    file = _file(
        tmp_path,
        "interval_start_utc,hb_west_rtm_usd_per_mwh",
        "2025-06-01T00:00:00Z,20",
        "yesterday,21",
        "2025-06-01T00:15:00Z,cheap",
        "2025-06-01T00:30:00Z,nan",
        "2025-06-01T00:45:00Z,",
        "2025-06-01T00:00:00Z,23",
        ",24",
    )
    found = read(file)
    assert [price.usd for price in found.series["HB_WEST"]] == [20.0]
    assert found.blanks == 1
    assert found.bad_rows == (
        BadRow(3, "interval_start_utc", "expected an ISO 8601 time, got 'yesterday'"),
        BadRow(4, "hb_west_rtm_usd_per_mwh", "expected a number, got 'cheap'"),
        BadRow(5, "hb_west_rtm_usd_per_mwh", "expected a finite number, got 'nan'"),
        BadRow(7, "interval_start_utc", "HB_WEST has a price for this time already"),
        BadRow(8, "interval_start_utc", "no time"),
    )
    assert bad_row_lines(found.bad_rows, limit=1) == [
        "line 3: interval_start_utc: expected an ISO 8601 time, got 'yesterday'",
        "… and 4 more",
    ]


@pytest.mark.parametrize(
    ("header", "columns", "reason"),
    [
        pytest.param("a,b", Columns(), "--replay-time", id="no time"),
        pytest.param("time,b", Columns(), "--replay-price", id="no price"),
        pytest.param("time,pool_price_cad_per_mwh", Columns(), "--replay-fx", id="other money"),
        pytest.param("time,b", Columns(price="c"), "there is no column 'c'", id="unknown column"),
        pytest.param("time,b", Columns(price="b"), "--replay-point", id="no point"),
        pytest.param("time,b", Columns(price="b", point="MOON"), "no facility settles at 'MOON'", id="unknown point"),
        pytest.param("time,b", Columns(price="b", point="HB_WEST", fx=-1.0), "more than zero", id="negative rate"),
    ],
)
def test_a_file_whose_columns_are_not_clear_is_refused(
    tmp_path: Path, header: str, columns: Columns, reason: str
) -> None:
    with pytest.raises(ReplayError, match=reason):
        read(_file(tmp_path, header, "2025-06-01T00:00:00Z,1"), columns)


def test_a_file_without_a_good_price_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="no price that can be used; the first reason: line 2: time: expected an ISO"):
        read(_file(tmp_path, "time,hb_west_rtm_usd_per_mwh", "never,1"))


def test_a_replay_replaces_the_prices_of_its_points_and_of_no_other(tmp_path: Path) -> None:
    file = _file(
        tmp_path,
        "interval_start_utc,hb_west_rtm_usd_per_mwh",
        "2025-06-01T00:00:00Z,20",
        "2025-06-01T00:15:00Z,9000",
    )
    found = slices(a_simulation(start_ms=AT, replay=read(file)), 1800)
    prices = [p for p in emitted(found, "grid.prices") if p.market is e.GridMarket.REAL_TIME]
    west = [(p.price_usd_mwh, p.interval_s, to_ms(p.interval_start)) for p in prices if p.settlement_point == "HB_WEST"]
    assert west == [(20.0, 900, AT), (9000.0, 900, AT + QUARTER)]
    assert sum(p.settlement_point == "HB_NORTH" for p in prices) == 6


DATA = Path(os.environ.get("HCP_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")


@pytest.mark.skipif(not DATA.is_dir(), reason="needs recorded prices: HCP_TEST_DATA names their folder")
@pytest.mark.parametrize(
    ("name", "columns", "points", "interval_min"),
    [
        ("ercot_rtm_spp_15min_2021-02_uri.csv", Columns(), {"HB_WEST", "HB_NORTH"}, 15),
        ("ercot_rtm_spp_15min_HB_HUBAVG_2024_2025.csv", Columns(), {"HB_WEST", "HB_NORTH"}, 15),
        ("ercot_hourly_dam_rtm_hubs_zones_2024_2026.csv", Columns(), {"HB_WEST", "HB_NORTH"}, 60),
        ("aeso_pool_price_hourly_2020_2026.csv", Columns(fx=0.72), {"AESO_POOL"}, 60),
    ],
)
def test_recorded_files_are_understood_without_naming_columns(
    name: str, columns: Columns, points: set[str], interval_min: int
) -> None:
    found = read(DATA / name, columns)
    assert set(found.series) == points
    assert found.bad_rows == ()
    assert {prices[0].interval_ms for prices in found.series.values()} == {interval_min * MINUTE_MS}
