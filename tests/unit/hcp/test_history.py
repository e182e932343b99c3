"""A user's files become the events that the mapping says, in order of time; what can't is named with its place."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import fastavro
import polars as pl
import pytest

from hcp.history import History
from hcp.history_file import files
from hcp.history_mapping import BadCellError, HistoryError, HistoryMapping, TimeForm
from schemas.catalog import Topic, topic
from schemas.codec import Codec
from schemas.event_line import EventLines
from schemas.registry import Registry

PRICES = topic("grid.prices")
TICKS = topic("market.ticks")
TELEMETRY = topic("telemetry.asic")
UTC_ISO = TimeForm(ZoneInfo("UTC"))
OF_A_PRICE = ("observed_at=time,interval_start=time,price_usd_mwh=price",)
SET_OF_A_PRICE = ("settlement_point=HB_WEST", "market=REAL_TIME", "interval_s=900")
HEADER = "time,price\n"
AVRO = {
    "type": "record",
    "name": "Price",
    "fields": [
        {"name": "time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "price", "type": ["null", "double"]},
    ],
}


@dataclass(frozen=True, slots=True)
class OneSchema:
    """A registry that holds the schema of one topic."""

    entry: Topic

    def schema_id(self, _topic: Topic) -> int:
        return 1

    def writer_schema(self, _schema_id: int) -> dict[str, Any]:
        return self.entry.schema


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a replay."""

    events: list[Any]
    refused: list[str]


def outcome(
    path: Path,
    entry: Topic = PRICES,
    maps: Sequence[str] = OF_A_PRICE,
    sets: Sequence[str] = SET_OF_A_PRICE,
    times: TimeForm = UTC_ISO,
    **more: Any,
) -> Outcome:
    """The events of a file or folder, decoded, and what was said of the rows that are none."""
    registry = cast("Registry", OneSchema(entry))
    refused: list[str] = []
    history = History(files(path), HistoryMapping.parse(entry, maps, sets, times), refused.append, **more)
    events = [Codec(registry).decode(entry, due.event.value) for due in history.events(EventLines(entry, registry))]
    assert history.refused == len(refused)
    return Outcome(events, refused)


def a_file(folder: Path, text: str, name: str = "prices.csv") -> Path:
    """A file with that text."""
    file = folder / name
    file.write_text(text)
    return file


def at(hour: int, minute: int = 0) -> datetime:
    """That time of the first of January 2026."""
    return datetime(2026, 1, 1, hour, minute, tzinfo=UTC)


def time_of(cell: object, zone: str = "UTC", written: str | None = None) -> datetime:
    """What a cell is as the time of a price."""
    mapping = HistoryMapping.parse(PRICES, ["observed_at=time"], SET_OF_A_PRICE, TimeForm(ZoneInfo(zone), written))
    found: datetime = mapping.record({"time": cell})["observed_at"]
    return found


def test_rows_become_events_in_order_of_time_with_the_same_ids_again(tmp_path: Path) -> None:
    file = a_file(tmp_path, HEADER + "2026-01-01T01:00:00Z,-5\n2026-01-01T00:00:00Z,21.5\n")
    found = outcome(file)
    assert [(e.observed_at, e.interval_start, e.price_usd_mwh, e.interval_s) for e in found.events] == [
        (at(0), at(0), 21.5, 900),
        (at(1), at(1), -5.0, 900),
    ]
    assert found.refused == []
    assert outcome(file).events == found.events
    assert len({event.event_id for event in found.events}) == 2


def test_rows_that_can_not_go_are_named_with_file_and_line(tmp_path: Path) -> None:
    rows = ['"2026-01-01T00:00:00Z",1', "soon,2", '2026-01-01T02:00:00Z,"much\nmore"', ",4", "2026-01-01T05:00:00Z,"]
    file = a_file(tmp_path, HEADER + "\n".join([*rows, "2026-01-01T06:00:00Z,6,7"]))
    found = outcome(file)
    assert [event.price_usd_mwh for event in found.events] == [1.0, 6.0]
    assert found.refused == [
        f"{file}:3: observed_at: expected an ISO 8601 time, got 'soon'",
        f"{file}:5: price_usd_mwh: expected a number, got 'much\\nmore'",
        f"{file}:6: observed_at: no time",
        f"{file}:7: Object missing required field `price_usd_mwh`",
    ]


def test_a_row_that_breaks_a_rule_is_refused_among_good_ones(tmp_path: Path) -> None:
    file = a_file(tmp_path, "time,price\n" + "".join(f"2026-01-01T0{k}:00:00Z,{k - 1}\n" for k in range(3)))
    found = outcome(file, TICKS, ["observed_at=time,price_usd=price"], ["instrument=BTC-USD", "source=my-exchange"])
    assert [(event.price_usd, event.source) for event in found.events] == [(1.0, "my-exchange")]
    assert found.refused == [
        f"{file}:2: price_usd: must be more than zero, got -1.0",
        f"{file}:3: price_usd: must be more than zero, got 0.0",
    ]


def test_the_files_of_a_folder_are_one_history(tmp_path: Path) -> None:
    a_file(tmp_path, HEADER + "2026-01-01T02:00:00Z,3\n", "b.csv")
    pl.DataFrame({"time": [at(1), at(3)], "price": [2.0, 4.0]}).write_parquet(tmp_path / "a.parquet")
    with (tmp_path / "c.avro").open("wb") as file:
        fastavro.writer(file, fastavro.parse_schema(AVRO), [{"time": at(0), "price": 1.0}])
    a_file(tmp_path, "no history", "notes.txt")
    assert [event.price_usd_mwh for event in outcome(tmp_path).events] == [1.0, 2.0, 3.0, 4.0]


def test_a_history_is_cut_to_the_times_that_are_wanted(tmp_path: Path) -> None:
    file = a_file(tmp_path, HEADER + "".join(f"2026-01-01T0{k}:00:00Z,{k}\n" for k in range(5)))
    assert [event.price_usd_mwh for event in outcome(file, since=at(1), until=at(3)).events] == [1.0, 2.0]


def test_columns_named_as_the_fields_need_no_mapping_and_factors_make_units(tmp_path: Path) -> None:
    rows = pl.DataFrame(
        {
            "device_id": ["d-1"],
            "facility_id": ["Texas-1"],
            "resource_group_id": ["g"],
            "observed_at": [at(0)],
            "power_mode": ["ECO"],
            "kw": [3.5],
            "ghs": [100_000],
            "temp_c": [60],
            "krpm": [5.5],
        }
    )
    rows.write_parquet(tmp_path / "fleet.parquet")
    maps = ["power_w=kw*1000, hashrate_ths=ghs * 0.001", "fan_rpm=krpm*1000"]
    (event,) = outcome(tmp_path, TELEMETRY, maps, ()).events
    assert (event.power_w, event.hashrate_ths, event.temp_c, event.fan_rpm) == (3500.0, 100.0, 60.0, 5500)


@pytest.mark.parametrize(
    ("cell", "zone", "written", "expected"),
    [
        pytest.param("2026-01-01T05:00:00Z", "America/Chicago", None, at(5), id="with its zone"),
        pytest.param("2026-01-01 05:00", "America/Chicago", None, at(11), id="winter, six hours behind UTC"),
        pytest.param("01/01/2026 05:00", "UTC", "%m/%d/%Y %H:%M", at(5), id="in a format"),
        pytest.param("1767225600", "America/Chicago", None, at(0), id="Unix seconds"),
        pytest.param(1_767_225_600_000, "UTC", None, at(0), id="Unix milliseconds"),
        pytest.param(date(2026, 1, 1), "America/Chicago", None, at(6), id="a date is its midnight"),
        pytest.param(datetime(2026, 1, 1, 5), "America/Chicago", None, at(11), id="of a Parquet file"),  # noqa: DTZ001
    ],
)
def test_times_are_read_in_their_zone(cell: object, zone: str, written: str | None, expected: datetime) -> None:
    assert time_of(cell, zone, written) == expected


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        pytest.param("2026-03-08 02:30", "2026-03-08 02:30:00 does not exist in America/Chicago", id="put forward"),
        pytest.param("2026-11-01 01:30", "2026-11-01 01:30:00 happens twice in America/Chicago", id="put back"),
    ],
)
def test_local_times_at_a_change_of_the_clocks_are_not_guessed(cell: str, reason: str) -> None:
    with pytest.raises(BadCellError, match=reason):
        time_of(cell, "America/Chicago")
    assert time_of(cell + "-05:00", "America/Chicago").tzinfo is UTC


@pytest.mark.parametrize(
    ("maps", "sets", "message"),
    [
        pytest.param(["prise=price"], (), "there is no field 'prise'; the fields are event_id, ", id="field"),
        pytest.param(["price_usd_mwh"], (), "expected field=column, got 'price_usd_mwh'", id="no column"),
        pytest.param(OF_A_PRICE, ["interval_start=now", *SET_OF_A_PRICE], "interval_start: given twice", id="twice"),
        pytest.param(["market=price*2"], (), "market: only a number can be multiplied", id="text times two"),
        pytest.param(["price_usd_mwh=price*x"], (), "price_usd_mwh: expected a number behind *, got 'x'", id="factor"),
        pytest.param(
            ["price_usd_mwh=cost"], (), "there is no column 'cost' for price_usd_mwh; the file has ", id="column"
        ),
        pytest.param(OF_A_PRICE, ["market=REAL_TIME"], "GridPrice needs settlement_point, interval_s: ", id="missing"),
    ],
)
def test_a_mapping_that_does_not_fit_says_what_would(
    tmp_path: Path, maps: Sequence[str], sets: Sequence[str], message: str
) -> None:
    with pytest.raises(HistoryError) as refused:
        outcome(a_file(tmp_path, HEADER), maps=maps, sets=sets)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        pytest.param("prices.xls", "", "expected a file, or a folder with files, of .csv, .parquet, .avro", id="kind"),
        pytest.param("prices.csv", "", "is empty: expected a line with the names of the columns", id="empty"),
        pytest.param("prices.parquet", "text", "cannot be read", id="not what it is called"),
    ],
)
def test_a_file_that_is_no_history_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(HistoryError, match=message):
        outcome(a_file(tmp_path, text, name))


def test_a_folder_without_histories_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="expected a file, or a folder with files"):
        files(tmp_path)


DATA = Path(os.environ.get("HCP_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")


@pytest.mark.skipif(not DATA.is_dir(), reason="needs recorded prices: HCP_TEST_DATA names their folder")
@pytest.mark.parametrize(
    ("name", "entry", "maps", "sets"),
    [
        pytest.param(
            "ercot_hourly_dam_rtm_hubs_zones_2024_2026.csv",
            PRICES,
            ["observed_at=interval_start_utc,interval_start=interval_start_utc,price_usd_mwh=hb_west_rtm_usd_per_mwh"],
            ["settlement_point=HB_WEST", "market=REAL_TIME", "interval_s=3600"],
            id="ERCOT",
        ),
        pytest.param(
            "btc_usd_hourly_ohlc_2024_2026.csv",
            TICKS,
            ["observed_at=hour_start_utc,price_usd=open"],
            ["instrument=BTC-USD"],
            id="BTC",
        ),
    ],
)
def test_recorded_prices_are_replayed_hour_by_hour(
    name: str, entry: Topic, maps: Sequence[str], sets: Sequence[str]
) -> None:
    since, until = datetime(2025, 7, 1, tzinfo=UTC), datetime(2025, 7, 2, tzinfo=UTC)
    found = outcome(DATA / name, entry, maps, sets, since=since, until=until)
    assert [event.observed_at for event in found.events] == [since + timedelta(hours=hour) for hour in range(24)]
    assert found.refused == []
