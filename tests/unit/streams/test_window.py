"""Windows over one partition: what is counted, what is late, and that neither batches nor restarts change it."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.window import OFFSET, Aggregation, PartitionWindows, Resume, WindowPolicy

SPEC = Aggregation(time="time", keys=("group",), device="device", sums=("power_w",), maxima=("temp_c",))
POLICY = WindowPolicy(window_ms=15_000, grace_ms=5_000)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Reading = tuple[float, str, float]
"""Event time (s), device, power (W)."""


def frame(readings: list[Reading], first_offset: int = 0) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "time": [EPOCH + timedelta(seconds=s) for s, _, _ in readings],
            "group": ["g"] * len(readings),
            "device": [device for _, device, _ in readings],
            "power_w": [power for _, _, power in readings],
            "temp_c": [60.0] * len(readings),
            OFFSET: list(range(first_offset, first_offset + len(readings))),
        },
        schema={
            "time": pl.Datetime("ms", "UTC"),
            "group": pl.String,
            "device": pl.String,
            "power_w": pl.Float64,
            "temp_c": pl.Float64,
            OFFSET: pl.Int64,
        },
    )


def rows(closed: pl.DataFrame) -> list[tuple[Any, ...]]:
    return closed.select("window_start_ms", "readings", "devices", "power_w_sum").rows()


def test_a_window_closes_when_stream_time_reaches_its_end_plus_the_grace() -> None:
    windows = PartitionWindows(SPEC, POLICY)
    # [0, 15) stays open at 19.999 and closes at 20 = 15 + 5.
    assert rows(windows.fold(frame([(1, "a", 100.5), (14, "b", 200.25), (19.999, "a", 1.0)])).closed) == []
    assert rows(windows.fold(frame([(20, "a", 1.0)], 3)).closed) == [(0, 2, 2, 300.75)]


def test_a_device_that_sends_twice_is_one_device() -> None:
    windows = PartitionWindows(SPEC, POLICY)
    windows.fold(frame([(1, "a", 1.0)]))
    assert rows(windows.fold(frame([(2, "a", 2.0), (30, "a", 0.0)], 1)).closed) == [(0, 2, 1, 3.0)]


def test_of_the_copies_of_a_reading_the_first_counts_however_far_apart_they_come() -> None:
    windows = PartitionWindows(SPEC, POLICY)
    windows.fold(frame([(1, "a", 1.0), (1, "b", 4.0), (1, "a", 1.0)]))
    folded = windows.fold(frame([(1, "a", 7.0), (2, "a", 2.0), (16, "a", 5.0), (16, "a", 5.0), (20, "b", 0.0)], 3))
    assert (rows(folded.closed), folded.copies) == ([(0, 3, 2, 7.0)], 2)
    folded = windows.fold(frame([(35, "b", 0.0)], 8))
    assert (rows(folded.closed), folded.copies) == ([(15_000, 2, 2, 5.0)], 1)


def test_a_record_whose_window_closed_before_it_came_is_late_and_not_counted() -> None:
    windows = PartitionWindows(SPEC, POLICY)
    folded = windows.fold(frame([(1, "a", 1.0), (20, "a", 1.0), (2, "b", 5.0), (16, "b", 7.0)]))
    assert rows(folded.closed) == [(0, 1, 1, 1.0)]
    assert folded.late["device"].to_list() == ["b"]
    assert rows(windows.fold(frame([(35, "a", 0.0)], 4)).closed) == [(15_000, 2, 2, 8.0)]


def test_a_record_within_the_grace_is_counted() -> None:
    windows = PartitionWindows(SPEC, POLICY)
    folded = windows.fold(frame([(19, "a", 1.0), (14, "b", 5.0), (20, "a", 1.0)]))
    assert rows(folded.closed) == [(0, 1, 1, 5.0)]
    assert folded.late.is_empty()


def test_a_policy_without_length_is_refused() -> None:
    with pytest.raises(ValueError, match="window_ms must be positive"):
        WindowPolicy(window_ms=0, grace_ms=0)


READINGS = st.lists(
    st.tuples(
        st.floats(0, 120, allow_nan=False).map(lambda s: round(s, 3)),
        st.sampled_from("abc"),
        st.floats(0, 4000, allow_nan=False),
    ),
    min_size=1,
    max_size=60,
)


def fold_all(readings: list[Reading], cuts: list[int]) -> tuple[list[Any], list[int], int]:
    windows = PartitionWindows(SPEC, POLICY)
    closed, late, copies = [], [], 0
    edges = [0, *sorted(c % (len(readings) + 1) for c in cuts), len(readings)]
    for start, end in pairwise(edges):
        folded = windows.fold(frame(readings[start:end], start))
        closed += folded.closed.rows()
        late += folded.late[OFFSET].to_list()
        copies += folded.copies
    return closed, late, copies


@given(READINGS, st.lists(st.integers(0, 100), max_size=6))
def test_how_records_are_cut_into_batches_changes_nothing(readings: list[Reading], cuts: list[int]) -> None:
    assert fold_all(readings, cuts) == fold_all(readings, [])


@given(READINGS)
def test_every_record_is_counted_once_or_late_or_is_a_copy(readings: list[Reading]) -> None:
    closed, late, copies = fold_all([*readings, (1000.0, "end", 0.0)], [])
    assert sum(row[2] for row in closed) + len(late) + copies == len(readings)
    moments = {(at, device) for n, (at, device, _) in enumerate(readings) if n not in late}
    assert sum(row[2] for row in closed) == len(moments)


@given(READINGS, st.lists(st.integers(0, 100), min_size=1, max_size=6), st.data())
def test_a_restart_from_what_was_committed_changes_nothing(
    readings: list[Reading], cuts: list[int], data: st.DataObject
) -> None:
    whole = fold_all(readings, [])
    windows = PartitionWindows(SPEC, POLICY)
    closed: list[Any] = []
    late: list[int] = []
    position, handled_before, copies = 0, 0, 0
    for cut in sorted(c % (len(readings) + 1) for c in cuts):
        if cut <= position:
            continue
        folded = windows.fold(frame(readings[position:cut], position))
        closed += folded.closed.rows()
        late += folded.late[OFFSET].to_list()
        copies += folded.copies
        position = cut
        if data.draw(st.booleans(), label=f"restart at {cut}"):
            handled_before = max(position, handled_before)
            oldest = windows.oldest_offset()
            windows = PartitionWindows(SPEC, POLICY, Resume(windows.closed_until_ms, handled_before))
            position = position if oldest is None else oldest
    folded = windows.fold(frame(readings[position:], position))
    closed += folded.closed.rows()
    late += folded.late[OFFSET].to_list()
    assert (closed, late, copies + folded.copies) == whole


@given(READINGS)
def test_sums_do_not_depend_on_the_order_within_a_window(readings: list[Reading]) -> None:
    # Of copies the first counts: here there are none.
    inside = [(s / 9, f"{device}{n}", power) for n, (s, device, power) in enumerate(readings)]
    end: Reading = (1000.0, "end", 0.0)
    assert fold_all([*inside, end], []) == fold_all([*reversed(inside), end], [])
