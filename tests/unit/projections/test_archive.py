"""The archive's promises on every kind of store, with a crash at each step; no Kafka."""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.archive import Archive
from projections.archive_log import ArchivedFile, ArchiveError, Entry, Kind, Ledger, from_bytes, to_bytes
from projections.archive_store import ArchiveStore
from projections.archive_table import archive_table
from projections.error import FencedError, UnavailableError
from projections.parquet_file import decoded, mergeable
from projections.sink import Claim, Rows, Step
from projections.sinks.parquet import ParquetSink
from schemas.catalog import topic
from schemas.reject import ROW

AUDIT = topic("audit.events")
TABLE = archive_table(AUDIT)
PLACES = (("audit.events", 0), ("audit.events", 1))
BATCH = 3
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def rows(first: int, following: int) -> Rows:
    """Offsets of both partitions; even ones are of one day, odd ones of the next."""
    offsets = range(first, following)
    times = [NOON + timedelta(days=offset % 2) for _ in PLACES for offset in offsets]
    frame = pl.DataFrame(
        {
            "_partition": pl.Series([p for _, p in PLACES for _ in offsets], dtype=pl.Int32),
            "_offset": [offset for _ in PLACES for offset in offsets],
            "occurred_at": pl.Series(times, dtype=pl.Datetime("ms", "UTC")),
        }
    )
    return Rows(TABLE, "audit.events", frame.with_row_index(ROW))


def applied(sink: ParquetSink, claims: dict[tuple[str, int], Claim], following: int) -> None:
    """Applies what lies between the claims and `following`, in batches."""
    at = {place: claim.next_offset for place, claim in claims.items()}
    while (first := min(at.values())) < following:
        # After a crash between two partitions they are not at the same offset: each goes on from its own.
        behind = [place for place in at if at[place] == first]
        until = min([following, first + BATCH, *(offset for offset in at.values() if offset > first)])
        part = rows(first, until)
        ours = part.frame.filter(pl.col("_partition").is_in([partition for _, partition in behind]))
        steps = {place: Step(first, until, claims[place].epoch) for place in behind}
        sink.apply([Rows(part.table, part.topic, ours)], steps)
        at |= dict.fromkeys(behind, until)


def offsets(archive: Archive) -> list[tuple[int, int]]:
    """Partition and offset of every row that the logs name."""
    frames = [decoded(archive.read(file) or b"") for place in PLACES for file in archive.ledger(place).files.values()]
    return sorted(pl.concat(frames).select("_partition", "_offset").rows()) if frames else []


@pytest.fixture(params=["folder", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"file://{tmp_path}/archive" if request.param == "folder" else f"memory://{uuid.uuid4().hex}"


class CrashError(Exception):
    """The process is gone."""


class CrashingStore(ArchiveStore):
    """Crashes when it is about to do the n-th write or deletion, which is to say: just behind the one before."""

    def __init__(self, url: str, at: int) -> None:
        super().__init__(url)
        self._left = at

    def create(self, path: str, data: bytes) -> bool:
        self._count()
        return super().create(path, data)

    def put(self, path: str, data: bytes) -> None:
        self._count()
        super().put(path, data)

    def delete(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._count()
            super().delete([path])

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise CrashError


def test_a_crash_at_any_step_loses_and_doubles_no_row(url: str) -> None:
    until = 4 * BATCH
    for at in range(1, 1000):
        root = f"{url}/{at}"
        sink = ParquetSink(CrashingStore(root, at), "w", file_rows=BATCH)
        try:
            applied(sink, sink.claim(dict.fromkeys(PLACES, 0)), until)
        except CrashError:
            pass
        else:
            break
        archive = Archive(ArchiveStore(root))
        # A reader that comes now sees whole batches only.
        following = {partition: archive.ledger((name, partition)).following for name, partition in PLACES}
        assert offsets(archive) == [(p, offset) for p in sorted(following) for offset in range(following[p])]
        again = ParquetSink(archive.store, "w", file_rows=BATCH)
        claims = again.claim(dict.fromkeys(PLACES, 0))
        files = {path for place in PLACES for path in archive.ledger(place).files}
        assert set(archive.store.paths("topic=audit.events")) == files
        applied(again, claims, until)
        assert offsets(archive) == [(p, offset) for p in (0, 1) for offset in range(until)]
    # Two claims. Four batches of two partitions, each with a file for two dates and an entry. After every second batch
    # a date has two files of three rows together: eight merges, each with a file, an entry and two deletions.
    assert at - 1 == 2 + 4 * 2 * 3 + 8 * 4


def test_an_owner_that_was_overtaken_can_not_write_and_its_files_go(url: str) -> None:
    store = ArchiveStore(url)
    place = PLACES[0]
    sleeper, other = ParquetSink(store, "w"), ParquetSink(store, "w")
    old = sleeper.claim({place: 0})
    new = other.claim({place: 0})
    assert (old[place], new[place]) == (Claim(0, epoch=1), Claim(0, epoch=2))
    with pytest.raises(FencedError, match=r"audit\.events \[0\] is not as this worker left it"):
        sleeper.apply([rows(0, 2)], {place: Step(0, 2, epoch=1)})
    other.apply([rows(0, 4)], {place: Step(0, 4, epoch=2)})
    archive = Archive(store)
    assert offsets(archive) == [(0, offset) for offset in range(4)]
    # The sleeper had written its two files before it found its number taken.
    assert len(store.paths("topic=audit.events")) == 4
    ParquetSink(store, "w").claim({place: 0})
    assert set(store.paths("topic=audit.events")) == set(archive.ledger(place).files)


def test_the_topic_of_an_archive_is_that_of_the_first_claim_that_told_it(url: str) -> None:
    place = PLACES[0]
    told = [{}, {place[0]: "first"}, {place[0]: "other"}, {}]
    found = [ParquetSink(ArchiveStore(url), "w").claim({place: 0}, ids)[place] for ids in told]
    assert found == [Claim(0, 1), Claim(0, 2, "first"), Claim(0, 3, "first"), Claim(0, 4, "first")]


def test_a_claim_that_sleeps_deletes_no_file_of_a_later_owner(url: str) -> None:
    store = ArchiveStore(url)
    place = PLACES[0]
    archive = Archive(store)
    asleep = archive.append(place, Ledger(), Ledger().claim("asleep", 0))
    assert asleep is not None
    later = ParquetSink(store, "w")
    later.apply([rows(0, 4)], {place: Step(0, 4, later.claim({place: 0})[place].epoch)})
    assert archive.strays("audit.events", {0: asleep}) == []


def test_an_entry_is_created_once_and_again_by_who_made_it(url: str) -> None:
    store = ArchiveStore(url)
    assert store.create("a/b", b"mine")
    assert store.create("a/b", b"mine")
    assert not store.create("a/b", b"other")
    assert store.read("a/b") == b"mine"
    assert store.read("a/c") is None
    assert store.paths("a") == ["a/b"]
    assert store.paths("nothing") == []
    store.delete(["a/b", "a/c"])
    assert store.read("a/b") is None


def test_a_folder_that_can_not_be_written_is_away_and_an_unknown_url_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="archive, a: "):
        ArchiveStore(f"{tmp_path}/file").put("a", b"")
    with pytest.raises(ArchiveError, match="HCP_ARCHIVE_URL=nosuch://x"):
        ArchiveStore("nosuch://x")


def test_what_kafka_had_deleted_before_it_was_archived_is_a_gap_of_the_ledger() -> None:
    claimed = Ledger().after(Ledger().claim("w", 7))
    grown = claimed.after(claimed.batch("w", 10, ()))
    ledger = grown.after(grown.claim("w", 15))
    assert (ledger.start, ledger.following, ledger.gaps) == (7, 10, {10: 15})


STEPS = st.lists(st.tuples(st.sampled_from(["claim", "batch", "merge"]), st.integers(1, 9)), max_size=30)


@given(STEPS, st.integers(0, 20))
def test_a_ledger_is_the_same_from_any_checkpoint_on(steps: list[tuple[str, int]], cut: int) -> None:
    ledger = Ledger()
    entries, checkpoint = [], Ledger()
    for number, (kind, size) in enumerate([("claim", 1), *steps]):
        match kind:
            case "claim":
                entry = ledger.claim("w", 2 * size)
            case "batch":
                entry = ledger.batch("w", ledger.following + size, (a_file(ledger.following, size),))
            case _:
                parts = list(ledger.files.values())[:size]
                entry = ledger.merge("w", a_file(1000 + number, 1), parts)
        if number == cut:
            checkpoint = ledger
        ledger = ledger.after(entry)
        entries.append(entry)
    again = from_bytes(Ledger, to_bytes(checkpoint), "checkpoint")
    for entry in entries[checkpoint.number :]:
        again = again.after(from_bytes(Entry, to_bytes(entry), "entry"))
    assert again == ledger


def test_old_entries_are_deleted_and_the_ledger_stays(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projections.archive._LEDGER_EVERY", 4)
    monkeypatch.setattr("projections.archive._KEPT_ENTRIES", 8)
    monkeypatch.setattr("projections.archive._KEPT_LEDGERS", 4)
    place = PLACES[0]
    archive = Archive(ArchiveStore(url))
    ledger = Ledger()
    for number in range(1, 31):
        entry = ledger.claim("w", 3) if number % 7 == 1 else ledger.batch("w", ledger.following + 1, ())
        longer = archive.append(place, ledger, entry)
        assert longer is not None
        ledger = longer
        assert archive.ledger(place) == ledger
    # 28 was the last ledger's: behind it eight entries are kept, and the two after it.
    log = "_log/topic=audit.events/partition=0/"
    entries = [f"{log}{number:012}.json" for number in range(21, 31)]
    assert archive.store.paths(log) == sorted([*entries, f"{log}{28:012}.ledger.json"])


def test_an_owner_that_slept_through_the_deletion_of_its_number_deletes_nothing(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.archive._LEDGER_EVERY", 4)
    monkeypatch.setattr("projections.archive._KEPT_ENTRIES", 0)
    place = PLACES[0]
    store = ArchiveStore(url)
    sleeper = ParquetSink(store, "w", file_rows=BATCH)
    epoch = sleeper.claim({place: 0})[place].epoch
    sleeper.apply([rows(0, 3)], {place: Step(0, 3, epoch)})
    other = ParquetSink(store, "w", file_rows=100)
    claims = other.claim({place: 0})
    applied(other, claims, 3 * BATCH)
    # Its numbers are free again, and it has two small files to merge, which the other's ledger names.
    with pytest.raises(FencedError):
        sleeper.apply([rows(3, 6)], {place: Step(3, 6, epoch)})
    assert offsets(Archive(store)) == [(0, offset) for offset in range(3 * BATCH)]


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(Entry(Kind.BATCH, 0, "w", 0, 3), id="batch-without-claim"),
        pytest.param(Entry(Kind.CLAIM, 2, "w", 0, 0), id="claim-of-another-number"),
    ],
)
def test_an_entry_that_does_not_follow_is_refused(entry: Entry) -> None:
    with pytest.raises(ArchiveError, match="does not follow"):
        Ledger().after(entry)


def test_entries_leave_no_hole_and_remove_only_what_is_there() -> None:
    ledger = Ledger().after(Ledger().claim("w", 5))
    with pytest.raises(ArchiveError, match=r"offsets 6 to 9\) does not follow epoch 1 at offset 5"):
        ledger.after(Entry(Kind.BATCH, 1, "w", 6, 9))
    with pytest.raises(ArchiveError, match="removes files that the archive does not have"):
        ledger.after(Entry(Kind.MERGE, 1, "w", 5, 5, removed=("nowhere",)))


def a_file(first: int, count: int, date: str = "2026-01-01", columns: str = "c") -> ArchivedFile:
    return ArchivedFile(f"f-{first}-{count}", date, first, first + count, count, 100, columns)


@given(st.lists(st.tuples(st.integers(1, 300), st.sampled_from("ab"), st.sampled_from("cd")), max_size=60))
def test_merging_until_nothing_is_mergeable_leaves_few_small_files(sizes: list[tuple[int, str, str]]) -> None:
    limit, factor = 100, 4
    files = [a_file(1000 * number, count, date, columns) for number, (count, date, columns) in enumerate(sizes)]
    total = sum(file.rows for file in files)
    fresh = 10**6
    while groups := mergeable(files, limit, factor):
        for group in groups:
            assert len({(file.date, file.columns) for file in group}) == 1
            merged = a_file(fresh, sum(file.rows for file in group), group[0].date, group[0].columns)
            assert merged.rows < 2 * limit
            files = [file for file in files if file not in group] + [merged]
            fresh += 1
    assert sum(file.rows for file in files) == total
    for date in "ab":
        for columns in "cd":
            small = [f for f in files if (f.date, f.columns) == (date, columns) and f.rows < limit]
            # Tiers of fewer than 4, 16, 64 and 100 rows.
            assert len(small) <= 4 * (factor - 1)
