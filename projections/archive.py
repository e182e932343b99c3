"""An archive: for each partition its log, and the Parquet files that the log names.

    _log/topic=<topic>/partition=<partition>/<number>.json              an entry, created once
    _log/topic=<topic>/partition=<partition>/<number>.ledger.json       the fold up to there, where reading starts
    topic=<topic>/date=<date>/part-<partition>-<first>-<following>-<epoch>.parquet
Only files that a log names are part of the archive: others are what a crash left, and go at the next claim.

Old entries are deleted behind a ledger, all but the last thousand. So an owner that slept through a thousand entries of
its successors may create one of those numbers again. Nobody reads it, as reading starts at a ledger behind it, and its
rows are not missed, as the successors have written them; only it must not delete what it believes to have merged, for
which `is_at` is asked.
"""

import re
from collections.abc import Collection, Mapping

from projections.archive_log import ArchivedFile, ArchiveError, Entry, Ledger, from_bytes, to_bytes
from projections.archive_store import DRAFT, ArchiveStore
from schemas.message_block import Place

_LEDGER_EVERY = 64
_KEPT_ENTRIES = 1024
_KEPT_LEDGERS = 2 * _LEDGER_EVERY
_ENTRY = re.compile(r"_log/topic=(?P<topic>[^/]+)/partition=(?P<partition>\d+)/(?P<number>\d+)\.json")
_LEDGER = re.compile(r".*/(\d+)\.ledger\.json")
_DATA = re.compile(r"topic=[^/]+/date=[^/]+/part-(?P<partition>\d+)-\d+-\d+-(?P<epoch>\d+)\.parquet(\..*)?")


class Archive:
    """The archive at one place."""

    def __init__(self, store: ArchiveStore) -> None:
        self.store = store

    def places(self, topics: Collection[str] | None = None) -> list[Place]:
        """Returns the partitions that have a log, sorted; of these topics, where some are named."""
        folders = ["_log"] if topics is None else [f"_log/topic={topic}" for topic in topics]
        found = [_ENTRY.fullmatch(path) for folder in folders for path in self.store.paths(folder)]
        return sorted({(match["topic"], int(match["partition"])) for match in found if match})

    def ledger(self, place: Place) -> Ledger:
        """Returns what the archive holds of a partition; an empty ledger where it has no log. Raises ArchiveError."""
        entries, ledgers = self._numbers(place)
        newest = max(ledgers, default=0)
        ledger = Ledger() if newest == 0 else from_bytes(Ledger, *self._read(_ledger_path(place, newest)))
        for number in range(newest + 1, max(entries, default=0) + 1):
            ledger = ledger.after(from_bytes(Entry, *self._read(_entry_path(place, number))))
        return ledger

    def append(self, place: Place, ledger: Ledger, entry: Entry) -> Ledger | None:
        """Adds the entry after those that `ledger` has; returns the ledger with it.

        None where the log has gone on without this writer: it no longer owns the partition.
        """
        longer = ledger.after(entry)
        if not self.store.create(_entry_path(place, longer.number), to_bytes(entry)):
            return None
        if longer.number % _LEDGER_EVERY == 0:
            # Created, not put: who comes a thousand entries late must not replace it.
            self.store.create(_ledger_path(place, longer.number), to_bytes(longer))
            self._forget(place, longer.number)
        return longer

    def is_at(self, place: Place, ledger: Ledger) -> bool:
        """Returns whether no entry has been added since the ledger's last one."""
        entries, ledgers = self._numbers(place)
        return max(entries + ledgers, default=0) == ledger.number

    def strays(self, topic: str, ledgers: Mapping[int, Ledger]) -> list[str]:
        """Returns the files of these partitions that are no part of the archive and can't become one.

        A file of a later epoch than the ledger's is left alone: its writer has claimed since, and owns it.
        """
        found = []
        for path in self.store.paths(f"topic={topic}"):
            match = _DATA.fullmatch(path)
            ledger = ledgers.get(int(match["partition"])) if match else None
            if match and ledger and path not in ledger.files and int(match["epoch"]) < ledger.epoch:
                found.append(path)
        for partition in ledgers:
            # Who draws up an entry there now is shut out already, or will find its draft gone and start again.
            found += [path for path in self.store.paths(_log((topic, partition))) if path.endswith(DRAFT)]
        return found

    def read(self, file: ArchivedFile) -> bytes | None:
        """Returns a data file's bytes; None where it is gone, as after a merge."""
        return self.store.read(file.path)

    def _numbers(self, place: Place) -> tuple[list[int], list[int]]:
        """Returns the numbers of the entries and of the ledgers that there are."""
        entries, ledgers = [], []
        for path in self.store.paths(_log(place)):
            if match := _ENTRY.fullmatch(path):
                entries.append(int(match["number"]))
            elif match := _LEDGER.fullmatch(path):
                ledgers.append(int(match[1]))
        return entries, ledgers

    def _forget(self, place: Place, number: int) -> None:
        last = number - _KEPT_ENTRIES
        old = [_entry_path(place, old) for old in range(last - _LEDGER_EVERY + 1, last + 1) if old > 0]
        self.store.delete([*old, _ledger_path(place, number - _KEPT_LEDGERS)])

    def _read(self, path: str) -> tuple[bytes, str]:
        data = self.store.read(path)
        if data is None:
            raise ArchiveError(f"{path} is missing from the archive")
        return data, path


def data_path(place: Place, date: str, first: int, following: int, epoch: int) -> str:
    """Returns the path of a data file."""
    topic, partition = place
    return f"topic={topic}/date={date}/part-{partition}-{first:020}-{following:020}-{epoch}.parquet"


def _log(place: Place) -> str:
    return f"_log/topic={place[0]}/partition={place[1]}"


def _entry_path(place: Place, number: int) -> str:
    return f"{_log(place)}/{number:012}.json"


def _ledger_path(place: Place, number: int) -> str:
    return f"{_log(place)}/{number:012}.ledger.json"
