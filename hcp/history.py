"""A user's own history as events of a topic: in order of event time, each with the place that it came from."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hcp.history_file import opened
from hcp.history_mapping import BadCellError, HistoryMapping
from schemas.event_line import EncodedEvent, EventLines, RefusedLine
from simulators.timeline import to_ms

_TOGETHER = 500


@dataclass(frozen=True, slots=True, order=True)
class HistoryRow:
    """A row that has a time; ordered by it, then by its place."""

    at_ms: int
    file: int
    line: int
    text: str
    """Its event as a line of JSON."""


@dataclass(frozen=True, slots=True)
class Due:
    """An event that may go, and its time."""

    at_ms: int
    event: EncodedEvent


class History:
    """The rows of all files between two times; `refuse` is told of each that can't become an event, and why."""

    def __init__(
        self,
        paths: Sequence[Path],
        mapping: HistoryMapping,
        refuse: Callable[[str], None],
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> None:
        """Reads the files. Raises HistoryError."""
        self._paths = paths
        self._refuse = refuse
        self._since_ms = None if since is None else to_ms(since)
        self._until_ms = None if until is None else to_ms(until)
        self.refused = 0
        """Rows that were refused so far."""
        self.rows = sorted(row for number in range(len(paths)) for row in self._read(number, mapping))

    def events(self, lines: EventLines) -> Iterator[Due]:
        """Yields what may go, in order of time; what schema or rules refuse is told of. Raises the registry's errors.

        The same rows give the same events, ids among them.
        """
        for verdict in lines.checked((row.text for row in self.rows), _TOGETHER):
            row = self.rows[verdict.line - 1]
            match verdict:
                case EncodedEvent():
                    yield Due(row.at_ms, verdict)
                case RefusedLine():
                    self._tell(row.file, row.line, verdict.reason)

    def _read(self, number: int, mapping: HistoryMapping) -> Iterator[HistoryRow]:
        file = opened(self._paths[number])
        here = mapping.of(file.columns)
        for line, row in file.rows:
            try:
                record = here.record(row)
            except BadCellError as error:
                self._tell(number, line, str(error))
                continue
            at_ms = to_ms(record[mapping.topic.time_field])
            is_wanted = (self._since_ms is None or at_ms >= self._since_ms) and (
                self._until_ms is None or at_ms < self._until_ms
            )
            if is_wanted:
                yield HistoryRow(at_ms, number, line, json.dumps(record, default=_iso))

    def _tell(self, file: int, line: int, reason: str) -> None:
        self.refused += 1
        self._refuse(f"{self._paths[file]}:{line}: {reason}")


def _iso(value: object) -> str:
    # To the millisecond, as events hold it.
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    return str(value)
