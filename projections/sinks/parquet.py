"""A Parquet archive as a sink: the files of a batch become part of it by one new entry in their partition's log.

Protocol, for each partition by itself (`projections.archive_log` has the fold and why the number is the fence):
 1. `claim` reads the log and creates the next entry, a claim. Whoever owned the partition before holds a number that is
    taken now: what they write behind this point can't become part of the archive.
 2. Files that the log does not name and whose writers are shut out, or dead, are deleted.
 3. `apply` writes the batch's data files, one a date of event time, under names that nobody else uses. Readers do not
    see them, as no log names them. A crash here leaves strays for 2.
 4. It creates the next entry, which names the files and the offset after the batch. That is the commit: the entry
    exists whole or not at all. A crash before it changes nothing; one behind it has lost nothing.
 5. Where enough small files have come together they are written as one, under a new name, and an entry puts it in their
    place. Then they are deleted, unless the log has gone on without this worker. A crash before leaves strays for 2.
A batch of several partitions is several commits: each moves its own offset with its own rows, so a crash between two
leaves both right.
"""

import time
import uuid
from collections.abc import Mapping, Sequence

import polars as pl

from projections.archive import Archive, data_path
from projections.archive_log import ArchivedFile, ArchiveError, Entry, Ledger
from projections.archive_store import DEPENDENCY, ArchiveStore
from projections.error import FencedError, UnavailableError
from projections.log_column import OFFSET, PARTITION
from projections.parquet_file import decoded, encoded, fingerprint, mergeable
from projections.sink import NO_IDS, Claim, Rows, Step
from schemas import metric
from schemas.catalog import topic
from schemas.message_block import Place
from schemas.reject import ROW

FILE_ROWS = 1_000_000
_CLAIMS = 20
"""How often a claim is tried: another claim, or a predecessor's last batch, may take the number in between."""


class ParquetSink:
    """See `projections.sink.Sink`. Takes rows with `projections.log_column.LOG_COLUMNS`, one table a topic.

    Files of fewer than `file_rows` rows are merged.
    """

    dependency = DEPENDENCY
    fresh_start = "archive this log in another place (HCP_ARCHIVE_URL)"

    def __init__(self, store: ArchiveStore, worker: str, file_rows: int = FILE_ROWS) -> None:
        self._archive = Archive(store)
        self._worker = worker
        self._writer = uuid.uuid4().hex
        self._file_rows = file_rows
        self._ledgers: dict[Place, Ledger] = {}

    def claim(self, oldest: Mapping[Place, int], topic_ids: Mapping[str, str] = NO_IDS) -> dict[Place, Claim]:
        """See Sink. Steps 1 and 2."""
        for place, offset in oldest.items():
            self._ledgers[place] = self._claimed(place, offset, topic_ids.get(place[0], ""))
        for name in {name for name, _ in oldest}:
            ours = {partition: self._ledgers[name, partition] for topic_, partition in oldest if topic_ == name}
            self._archive.store.delete(self._archive.strays(name, ours))
        ledgers = {place: self._ledgers[place] for place in oldest}
        return {place: Claim(found.following, found.epoch, found.topic_id) for place, found in ledgers.items()}

    def release(self, places: Sequence[Place]) -> None:
        """See Sink. Nothing is held that another could need."""
        for place in places:
            self._ledgers.pop(place, None)

    def encode(self, rows: Rows) -> Rows:
        """See Sink."""
        return rows

    def apply(self, rows: Sequence[Rows], steps: Mapping[Place, Step]) -> dict[str, int]:
        """See Sink. Steps 3 to 5."""
        started = time.monotonic()
        files = {place: self._write(place, rows) for place in self._owned(steps)}
        wrote = time.monotonic()
        for place, step in steps.items():
            ledger = self._ledgers[place]
            self._append(place, ledger.batch(self._writer, step.following, files[place]))
        metric.WRITE_SECONDS.labels(self._worker).observe(wrote - started)
        metric.COMMIT_SECONDS.labels(self._worker).observe(time.monotonic() - wrote)
        for place in steps:
            self._merge(place, {file.date for file in files[place]})
        written: dict[str, int] = {}
        for part in rows:
            written[part.table.name] = written.get(part.table.name, 0) + len(part.frame)
        return written

    def close(self) -> None:
        """See Sink. There is no connection of its own."""

    def _claimed(self, place: Place, oldest: int, topic_id: str) -> Ledger:
        for _ in range(_CLAIMS):
            known = self._archive.ledger(place)
            claimed = self._archive.append(place, known, known.claim(self._writer, oldest, topic_id))
            if claimed is not None:
                return claimed
        why = "others claim it again and again, or the store hides entries"
        raise UnavailableError(f"{place[0]} [{place[1]}]: {why}", DEPENDENCY)

    def _owned(self, steps: Mapping[Place, Step]) -> list[Place]:
        for place, step in steps.items():
            ledger = self._ledgers.get(place, Ledger())
            if (ledger.epoch, ledger.following) != (step.epoch, step.expected):
                raise self._fenced(place)
        return list(steps)

    def _write(self, place: Place, rows: Sequence[Rows]) -> tuple[ArchivedFile, ...]:
        name, partition = place
        files = []
        for part in rows:
            if part.topic == name:
                time_field = topic(next(iter(part.table.sources))).time_field
                ours = part.frame.filter(pl.col(PARTITION) == partition).drop(ROW)
                for date, frame in _by_date(ours, time_field).items():
                    files.append(self._put(place, date, frame))
        return tuple(files)

    def _put(self, place: Place, date: str, frame: pl.DataFrame) -> ArchivedFile:
        sorted_frame = frame.sort(OFFSET)
        first, following = sorted_frame[OFFSET][0], sorted_frame[OFFSET][-1] + 1
        path = data_path(place, date, first, following, self._ledgers[place].epoch)
        data = encoded(sorted_frame)
        self._archive.store.put(path, data)
        return ArchivedFile(path, date, first, following, len(frame), len(data), fingerprint(frame))

    def _append(self, place: Place, entry: Entry) -> None:
        longer = self._archive.append(place, self._ledgers[place], entry)
        if longer is None:
            raise self._fenced(place)
        self._ledgers[place] = longer

    def _merge(self, place: Place, dates: set[str]) -> None:
        files = [file for file in self._ledgers[place].files.values() if file.date in dates]
        for parts in mergeable(files, self._file_rows):
            merged = self._put(place, parts[0].date, pl.concat([self._frame(part) for part in parts]))
            self._append(place, self._ledgers[place].merge(self._writer, merged, parts))
            if not self._archive.is_at(place, self._ledgers[place]):
                raise self._fenced(place)
            self._archive.store.delete(part.path for part in parts)

    def _frame(self, file: ArchivedFile) -> pl.DataFrame:
        data = self._archive.read(file)
        if data is None:
            raise ArchiveError(f"{file.path} is missing from the archive")
        return decoded(data)

    def _fenced(self, place: Place) -> FencedError:
        return FencedError(
            f"{self._worker}: {place[0]} [{place[1]}] is not as this worker left it: another worker has claimed it; "
            "this one stops"
        )


def _by_date(frame: pl.DataFrame, time_field: str) -> dict[str, pl.DataFrame]:
    """Returns the rows by the UTC date of their event time, YYYY-MM-DD."""
    parts = frame.with_columns(_date=pl.col(time_field).dt.strftime("%Y-%m-%d")).partition_by(
        "_date", as_dict=True, include_key=False
    )
    return {str(date): part for (date,), part in parts.items()}
