"""The fold of a part of the log: pieces or whole, by time or by offsets, against a fold one by one in Python."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.state import AtOffsets, AtTime, Moment, State, StateError
from projections.table import Database, Mode, Table
from projections.tables import METRICS
from projections.time_travel import schema_name

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SOURCE = "audit.events"


@dataclass(frozen=True)
class Event:
    """An event of a partition; `happened_s` after noon, in any order."""

    partition: int
    offset: int
    key: str
    version: int
    happened_s: int


def table(mode: Mode) -> Table:
    return Table(
        name="t",
        database=Database.POSTGRES,
        mode=mode,
        sources={SOURCE: lambda frame: frame},
        columns={"key": "text", "version": "integer", "offset": "bigint"},
        key=("key",),
        order=("version",) if mode is Mode.LATEST else (),
    )


def frame_of(events: Sequence[Event]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "key": pl.Series([e.key for e in events], dtype=pl.String),
            "version": pl.Series([e.version for e in events], dtype=pl.Int32),
            "offset": pl.Series([e.offset for e in events], dtype=pl.Int64),
            "happened_at": pl.Series(
                [NOON + timedelta(seconds=e.happened_s) for e in events], dtype=pl.Datetime("ms", "UTC")
            ),
            "_partition": pl.Series([e.partition for e in events], dtype=pl.Int32),
            "_offset": pl.Series([e.offset for e in events], dtype=pl.Int64),
        }
    )


def folded(mode: Mode, events: Sequence[Event], cuts: Sequence[int], moment: Moment) -> list[Any]:
    """The state by pieces of the log."""
    state = State(table(mode))
    bounds = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    for start, end in pairwise(bounds):
        state.add(SOURCE, moment.part(frame_of(events[start:end]), SOURCE, "happened_at"))
    return [] if state.rows is None else state.rows.rows()


def one_by_one(mode: Mode, events: Sequence[Event], is_part: Callable[[Event], bool]) -> list[Any]:
    """The same, slowly: the filter first, then the rule of the table's mode for each event."""
    held: dict[str, Event] = {}
    for event in filter(is_part, events):
        before = held.get(event.key)
        if before is None or (mode is Mode.LATEST and event.version >= before.version):
            held[event.key] = event
    return [(e.key, e.version, e.offset) for _, e in sorted(held.items())]


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """Partition after partition, each with the keys that are its own."""
    events = []
    for partition in (0, 1):
        steps = st.tuples(st.sampled_from("abc"), st.integers(1, 4), st.integers(0, 9))
        for offset, (key, version, happened_s) in enumerate(draw(st.lists(steps, max_size=25))):
            events.append(Event(partition, offset, f"{key}{partition}", version, happened_s))
    return events


CUTS = st.lists(st.integers(0, 50), max_size=4)


@given(st.sampled_from([Mode.LATEST, Mode.LEDGER]), logs(), CUTS, st.integers(-1, 10))
def test_the_state_at_a_time_is_the_fold_of_what_had_happened_by_then(
    mode: Mode, events: list[Event], cuts: list[int], second: int
) -> None:
    moment = AtTime(NOON + timedelta(seconds=second))
    assert folded(mode, events, cuts, moment) == one_by_one(mode, events, lambda event: event.happened_s <= second)


@given(st.sampled_from([Mode.LATEST, Mode.LEDGER]), logs(), CUTS, st.tuples(st.integers(0, 26), st.integers(0, 26)))
def test_the_state_at_offsets_is_the_fold_of_the_log_before_them(
    mode: Mode, events: list[Event], cuts: list[int], limits: tuple[int, int]
) -> None:
    moment = AtOffsets({(SOURCE, 0): limits[0], (SOURCE, 1): limits[1], ("another", 0): 99})
    expected = one_by_one(mode, events, lambda event: event.offset < limits[event.partition])
    assert folded(mode, events, cuts, moment) == expected


def test_many_pieces_are_folded_on_the_way() -> None:
    events = [Event(0, offset, f"k{offset % 7000}", offset, 0) for offset in range(30_000)]
    rows = folded(Mode.LATEST, events, range(0, 30_000, 1000), AtTime(NOON))
    assert sorted(offset for _, _, offset in rows) == list(range(23_000, 30_000))


def test_a_table_whose_rows_have_no_key_has_no_state() -> None:
    with pytest.raises(StateError, match="metrics is of mode append"):
        State(METRICS)


@pytest.mark.parametrize(
    ("moment", "name"),
    [
        pytest.param(AtTime(NOON), "state_20260101t120000z", id="second"),
        pytest.param(AtTime(NOON + timedelta(milliseconds=250)), "state_20260101t12000025z", id="fraction"),
        pytest.param(AtOffsets({("b", 0): 7, ("a", 0): 12}), "state_at_12_7", id="offsets"),
    ],
)
def test_the_schema_is_named_after_the_moment(moment: Moment, name: str) -> None:
    assert schema_name(moment) == name
