"""Which row of a key is the newest."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from projections.newest import newest
from projections.tables import WORKLOADS
from schemas.reject import ROW

START = datetime(2026, 1, 1, tzinfo=UTC)
TWO = replace(WORKLOADS, key=("workload_id", "customer_id"), order=("occurred_at", "version"))
# Long names are kept apart from the short ones in memory.
Row = tuple[str, str, int, int | None]
"""Workload, customer, seconds behind START, and version."""
KEYS = st.sampled_from(["", "a", "b", "a name of more than twelve bytes", "another such name, of another workload"])
ROWS = st.lists(st.tuples(KEYS, KEYS, st.integers(-2, 2), st.none() | st.integers(-2, 2)), max_size=40)


def rows_of(found: list[Row]) -> pl.DataFrame:
    times = [START + timedelta(seconds=at) for _, _, at, _ in found]
    return pl.DataFrame(
        {
            "workload_id": pl.Series([key for key, *_ in found], dtype=pl.String),
            "customer_id": pl.Series([key for _, key, *_ in found], dtype=pl.String),
            "occurred_at": pl.Series(times, dtype=pl.Datetime("ms", "UTC")),
            "version": pl.Series([version for *_, version in found], dtype=pl.Int32),
            ROW: pl.Series(range(len(found)), dtype=pl.UInt32),
        }
    )


def expected(found: list[Row]) -> list[int]:
    best: dict[tuple[str, str], tuple[tuple[int, float], int]] = {}
    for row, (one, other, at, version) in enumerate(found):
        place = at, -np.inf if version is None else version
        if (one, other) not in best or place >= best[one, other][0]:
            best[one, other] = (place, row)
    return sorted(row for _, row in best.values())


@given(ROWS)
def test_the_newest_row_has_the_greatest_order_and_of_equals_came_last(
    found: list[Row],
) -> None:
    assert newest(rows_of(found), TWO, ROW)[ROW].to_list() == expected(found)


@given(ROWS, st.permutations(range(40)))
def test_of_rows_in_any_order_the_same_are_the_newest(found: list[Row], order: list[int]) -> None:
    frame = rows_of(found)
    moved = frame[[row for row in order if row < len(found)]]
    assert newest(moved, TWO, ROW)[ROW].sort().to_list() == expected(found)


def test_many_keys_that_meet_in_the_table_of_hashes_stay_apart() -> None:
    random = np.random.default_rng(7)
    keys = [f"{number:x}" * (1 + number % 3) for number in random.integers(0, 30_000, 60_000).tolist()]
    times = random.integers(0, 5, len(keys)).tolist()
    found: list[Row] = [(key, "", at, None) for key, at in zip(keys, times, strict=True)]
    assert newest(rows_of(found), TWO, ROW)[ROW].to_list() == expected(found)


def test_keys_that_begin_alike_and_those_of_bytes_that_lie_together_stay_apart() -> None:
    found: list[Row] = [
        ("ab", "c", 0, 0),
        ("a", "bc", 0, 0),
        ("abc", "", 0, 0),
        ("abc", "", 1, 0),
        ("abcdefghi", "", 0, 0),
    ]
    assert newest(rows_of(found), TWO, ROW)[ROW].to_list() == [0, 1, 3, 4]


def test_null_is_a_key_of_its_own() -> None:
    rows = rows_of([("", "a", 0, 0), ("", "a", 1, 0), ("", "a", 2, 0)])
    rows = rows.with_columns(workload_id=pl.Series([None, "", None], dtype=pl.String))
    assert newest(rows, TWO, ROW)[ROW].to_list() == [1, 2]
