"""Reading an archive back: in log order, with today's columns, through merges; and what the check finds."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.archive import Archive
from projections.archive_check import problems
from projections.archive_log import ArchivedFile, ArchiveError
from projections.archive_reader import ArchivedLog, ArchiveReader
from projections.archive_store import ArchiveStore
from projections.archive_table import archive_table
from projections.log_reader import Extent, losses
from projections.parquet_file import decoded, encoded
from projections.sink import Rows, Step
from projections.sinks.parquet import ParquetSink
from schemas.catalog import topic
from schemas.reject import ROW

AUDIT = topic("audit.events")
PLACE = ("audit.events", 0)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
Event = tuple[int, int]
"""Offset, and day."""


class Written:
    """An archive of one partition in memory, written in batches."""

    def __init__(self, start: int = 0, file_rows: int = 1000) -> None:
        self.archive = Archive(ArchiveStore(f"memory://{uuid.uuid4().hex}"))
        self._sink = ParquetSink(self.archive.store, "w", file_rows)
        claim = self._sink.claim({PLACE: start})[PLACE]
        self._at, self._epoch = claim.next_offset, claim.epoch

    def add(self, events: Sequence[Event], following: int) -> None:
        frame = pl.DataFrame(
            {
                "actor": [f"a{offset}" for offset, _ in events],
                "occurred_at": pl.Series([NOON + timedelta(days=d) for _, d in events], dtype=pl.Datetime("ms", "UTC")),
                "_partition": pl.Series([0] * len(events), dtype=pl.Int32),
                "_offset": pl.Series([offset for offset, _ in events], dtype=pl.Int64),
                "_timestamp": pl.Series([NOON] * len(events), dtype=pl.Datetime("ms", "UTC")),
                "_key": pl.Series([b"k"] * len(events), dtype=pl.Binary),
            }
        )
        rows = [Rows(archive_table(AUDIT), AUDIT.name, frame.with_row_index(ROW))] if events else []
        self._sink.apply(rows, {PLACE: Step(self._at, following, self._epoch)})
        self._at = following

    def reader(self, window: int = 5) -> ArchiveReader:
        return ArchiveReader(self.archive, PLACE, AUDIT, window)

    @property
    def files(self) -> list[ArchivedFile]:
        return sorted(self.archive.ledger(PLACE).files.values(), key=lambda file: file.path)


# Batches of events; an event is a day, or None where its record was refused.
BATCHES = st.lists(st.lists(st.sampled_from([0, 1, 2, None]), min_size=1, max_size=6), max_size=12)


@given(BATCHES, st.integers(1, 9), st.integers(1, 30), st.integers(0, 40))
def test_frames_are_the_log_in_order_whatever_the_files_are(
    batches: list[list[int | None]], window: int, file_rows: int, start: int
) -> None:
    written, at = Written(start, file_rows), start
    expected = []
    for batch in batches:
        events = [(at + number, day) for number, day in enumerate(batch) if day is not None]
        at += len(batch)
        written.add(events, at)
        expected += [(offset, f"a{offset}", NOON + timedelta(days=day)) for offset, day in events]
    frames = list(written.reader(window).frames())
    assert [f.first_offset for f in frames] + [at] == [start] + [f.next_offset for f in frames]
    found = []
    for frame in frames:
        assert frame.frame["_offset"].is_between(frame.first_offset, frame.next_offset, closed="left").all()
        found += frame.frame.select("_offset", "actor", "occurred_at").rows()
    assert found == expected
    assert problems(written.archive, PLACE)[1] == []


def test_reading_may_begin_in_the_middle() -> None:
    written = Written()
    written.add([(0, 0), (1, 0), (2, 0)], 3)
    assert [f.frame["_offset"].to_list() for f in written.reader().frames(first=2)] == [[2]]


def test_a_file_of_an_older_schema_gets_the_defaults_of_todays() -> None:
    written = Written()
    written.add([(0, 0)], 1)
    (frame,) = ArchivedLog(written.archive).frames("audit.events")
    # The file has no `details`, whose default is {}, nor `outcome`, which has none.
    assert frame.frame.select("actor", "details", "outcome").rows() == [("a0", "{}", None)]
    assert frame.frame.columns[:8] == [field["name"] for field in AUDIT.schema["fields"]]


def test_files_may_be_merged_while_they_are_read() -> None:
    written = Written(file_rows=1000)
    for offset in range(7):
        written.add([(offset, 0)], offset + 1)
    reading = written.reader(window=2).frames()
    found = next(reading).frame["_offset"].to_list()
    written.add([(7, 0)], 8)
    assert len(written.files) == 1
    found += [offset for frame in reading for offset in frame.frame["_offset"].to_list()]
    assert found == list(range(8))


def test_a_missing_file_is_an_error_for_the_reader() -> None:
    written = Written()
    written.add([(0, 0)], 1)
    written.archive.store.delete([written.files[0].path])
    with pytest.raises(ArchiveError, match=r"audit\.events \[0\]: a file with offsets 0 to 1 is missing"):
        list(written.reader().frames())


def changed(data: bytes, **columns: pl.Expr | pl.Series) -> bytes:
    return encoded(decoded(data).with_columns(**columns))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param(lambda _: None, "is missing", id="missing"),
        pytest.param(lambda data: data[:-9], "can't be read", id="cut"),
        pytest.param(lambda data: encoded(decoded(data)[:-1]), "has 2 rows, and 3 by the log", id="fewer"),
        pytest.param(
            lambda data: changed(data, _offset=pl.col("_offset") + 1), "has offsets 1 to 3, and 0", id="moved"
        ),
        pytest.param(lambda data: changed(data, _offset=pl.Series([0, 0, 2])), "1 rows are there twice", id="twice"),
        pytest.param(lambda data: changed(data, _offset=pl.Series([1, 0, 2])), "is not in order", id="order"),
        pytest.param(
            lambda data: changed(data, _partition=pl.lit(1)), "has rows of other partitions", id="other-partition"
        ),
    ],
)
def test_the_check_finds_a_file_that_is_not_what_the_log_says(change: object, problem: str) -> None:
    written = Written()
    written.add([(0, 0), (1, 0), (2, 0)], 3)
    path, store = written.files[0].path, written.archive.store
    data = change(store.read(path))  # type: ignore[operator]
    store.delete([path])
    if data is not None:
        store.put(path, data)
    assert any(problem in found for found in problems(written.archive, PLACE)[1])


def test_the_check_finds_a_row_that_two_files_have() -> None:
    written = Written()
    written.add([(0, 0), (1, 0), (2, 1)], 3)
    other = next(file for file in written.files if file.date == "2026-01-01")
    ledger = written.archive.ledger(PLACE)
    again = replace(other, path=other.path.replace("part-", "part-0"), following=2)
    written.archive.store.put(again.path, written.archive.read(other) or b"")
    assert written.archive.append(PLACE, ledger, ledger.batch("w", 3, (again,)))
    (found,) = problems(written.archive, PLACE)[1]
    assert found.startswith("2 rows are there twice, among ")


@pytest.mark.parametrize(
    ("name", "extent", "said"),
    [
        pytest.param("audit.events", Extent(0, 0, 0, 9, 0, {}), [], id="whole-without-archive"),
        pytest.param("audit.events", Extent(0, 5, 3, 9, 4, {}), [], id="archive-then-kafka"),
        pytest.param("audit.events", Extent(3, 3, 3, 9, 0, {}), ["before offset 3 are gone"], id="retention"),
        pytest.param("audit.events", Extent(0, 5, 7, 9, 5, {5: 7}), ["from offset 5 to 6 are gone"], id="gap"),
        pytest.param("registry.customers", Extent(0, 0, 0, 9, 0, {}), ["not archived from its start"], id="compacted"),
        pytest.param("registry.customers", Extent(0, 9, 0, 9, 9, {}), [], id="compacted-and-archived"),
        pytest.param("registry.customers", Extent(0, 9, 0, 9, 7, {}), ["of its first 9 records 2"], id="archived-late"),
        pytest.param("registry.customers", Extent(0, 0, 0, 0, 0, {}), [], id="empty"),
    ],
)
def test_what_the_log_has_lost_is_said(name: str, extent: Extent, said: list[str]) -> None:
    found = losses(topic(name), {0: extent})
    assert len(found) == len(said)
    assert all(part in sentence for part, sentence in zip(said, found, strict=True))
