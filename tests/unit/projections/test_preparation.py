"""Prepared batches that are written together do what they would do one after the other."""

from dataclasses import replace
from datetime import timedelta
from typing import cast

import polars as pl

from projections.hypertable import Hypertable
from projections.preparation import EventTimes, Preparation, Prepared, mergeable
from projections.raw_batch import RawBatch
from projections.sink import Rows, Step
from projections.table import Database, Mode, Table
from projections.writer import reduced
from schemas.dead_letter import STAGE_DECODE, DeadLetter
from schemas.registry import Registry
from schemas.reject import ROW
from tests.kafka_message import block, record

STATE = Table(
    "state", Database.POSTGRES, Mode.LATEST, {"t": lambda frame: frame},
    {"name": "text", "at": "bigint", "x": "bigint"}, key=("name",), order=("at",),
)  # fmt: skip


def prepared(first: int, *rows: tuple[str, int, int], dead: tuple[DeadLetter, ...] = ()) -> Prepared:
    """The batch of one partition from offset `first` on, a row a message."""
    frame = pl.DataFrame(rows, ["name", "at", "x"], orient="row").with_row_index(ROW)
    raw = RawBatch(
        {"t": [block(*(record(0, first + n) for n in range(len(rows))))]}, {("t", 0): Step(first, first + len(rows), 1)}
    )
    encoded = tuple(bytes([first + n]) for n in range(len(rows)))
    times = {"t": EventTimes(max(at for _, at, _ in rows), 1.0)}
    return Prepared(raw, (Rows(STATE, "t", frame, encoded),), dead, times, float(first))


def test_rows_of_batches_written_together_keep_their_order() -> None:
    whole = Prepared.merged([prepared(3, ("a", 1, 1), ("b", 5, 2)), prepared(5, ("b", 5, 3), ("a", 0, 4))])
    (rows,) = whole.rows
    assert rows.frame[ROW].to_list() == [0, 1, 2, 3]
    # Of b two rows have the same `at`: the later one in the log counts. Of a the later one is older.
    assert sorted(reduced(STATE, rows.frame).drop(ROW).rows()) == [("a", 1, 1), ("b", 5, 3)]
    assert rows.encoded == (b"\3", b"\4", b"\5", b"\6")
    assert whole.raw.steps == {("t", 0): Step(3, 7, 1)}
    assert (whole.began, whole.times) == (3.0, {"t": EventTimes(5, 1.0)})


def test_rows_copied_into_a_hypertable_go_in_the_order_of_time_and_of_one_time_in_that_of_the_log() -> None:
    columns = {"name": "text", "at": "timestamptz"}
    copied = Table("c", Database.TIMESCALE, Mode.APPEND, {}, columns, hypertable=Hypertable("at", chunk=timedelta(1)))
    frame = pl.DataFrame([("a", 2), ("b", 1), ("c", 2), ("d", 1)], ["name", "at"], orient="row").with_row_index(ROW)
    assert reduced(copied, frame)["name"].to_list() == ["b", "d", "a", "c"]
    assert reduced(replace(copied, hypertable=None), frame)["name"].to_list() == ["a", "b", "c", "d"]


def test_a_batch_with_dead_letters_is_written_alone() -> None:
    letter = DeadLetter.of(record(0, 1), worker="w", stage=STAGE_DECODE, error="E", reason="r")
    batches = [prepared(n, ("a", n, n), dead=(letter,) if n in {2, 3} else ()) for n in range(6)]
    groups = [[batch.raw.messages[0].offset for batch in group] for group in mergeable(batches)]
    assert groups == [[0, 1], [2], [3], [4, 5]]


def test_batches_that_are_joined_are_encoded_as_one_where_their_parts_were_not() -> None:
    asked: list[Rows] = []

    def encode(rows: Rows) -> Rows:
        asked.append(rows)
        return replace(rows, frame=reduced(rows.table, rows.frame))

    preparation = Preparation({}, (STATE,), cast("Registry", None), "w", lambda names: names, encode=encode)
    batches = [prepared(3, ("a", 1, 1), ("b", 5, 2)), prepared(5, ("b", 5, 3), ("a", 0, 4))]
    assert preparation.joined(batches).rows[0].encoded == (b"\3", b"\4", b"\5", b"\6")
    assert not asked
    plain = [replace(each, rows=tuple(replace(rows, encoded=None) for rows in each.rows)) for each in batches]
    (rows,) = preparation.joined(plain).rows
    assert sorted(rows.frame.drop(ROW).rows()) == [("a", 1, 1), ("b", 5, 3)]
    assert preparation.joined(plain[:1]) is plain[0]
    assert len(asked) == 1
