"""Dead letters of a projection worker once more, into that worker's store and nowhere else.

Putting a letter back on its topic would hand it to consumers that have counted it already, and tables that append would
take it twice. So it goes the worker's own way, from the bytes to the rows:
 1. A letter that the worker has not passed is left alone: the worker comes to the message by itself.
 2. The value is decoded, checked and made rows, as in the worker.
 3. The store writes the rows and notes the letter as replayed, both or neither. A letter that is noted already changes
    nothing, so a replay may be repeated after a crash at any point, or run twice at once.
What came of it is for the caller to say on the dead-letter topic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, Self, runtime_checkable

import polars as pl

from projections.batch import TopicReader
from projections.error import ProjectionError, RefusedError
from projections.sink import Rows
from projections.worker import ProjectionConfig
from schemas.codec import Codec
from schemas.dead_letter import STAGE_WRITE, DeadLetter, LetterId
from schemas.facility_directory import FacilityDirectory
from schemas.message_block import Place
from schemas.registry import Registry
from schemas.reject import ROW


class Outcome(StrEnum):
    """What came of a replay.

    REPLAYED: its rows are in the store. ALREADY: they were, before this replay. REFUSED: it failed again. NOT_PASSED:
    the worker has still to read the message. NOT_TAKEN: no table of the worker comes from the letter's topic.
    """

    REPLAYED = "replayed"
    ALREADY = "already replayed"
    REFUSED = "refused again"
    NOT_PASSED = "not passed by the worker yet"
    NOT_TAKEN = "not taken by any table"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A letter and what came of it; one that failed again has its new reason and one try more."""

    letter: DeadLetter
    outcome: Outcome


@runtime_checkable
class ReplaySink(Protocol):
    """A store that can take letters exactly once."""

    def next_offsets(self, places: Sequence[Place]) -> dict[Place, int]:
        """Returns the next offset of those partitions that the worker has a place in. Raises UnavailableError."""

    def replay(self, rows: Sequence[Rows], letters: Mapping[int, LetterId], *, is_trial: bool) -> set[LetterId]:
        """Writes the rows of those letters that were not replayed before, notes them, and returns them; all or none.

        `letters` are named by the `_row` of their rows. A trial leaves nothing behind. Raises RefusedError where the
        store refuses what a row holds (nothing is written then), UnavailableError where the store is away.
        """

    def close(self) -> None:
        """Ends the connection; never raises."""


class DeadLetterReplay:
    """Replays letters of one worker. A context manager; raises UnavailableError where the store is away."""

    def __init__(self, config: ProjectionConfig, registry: Registry) -> None:
        self._worker = config.worker
        names = config.topics or {}
        wanted = {name for table in config.tables for name in table.sources}
        self._sources = {names.get(name, name): config.catalog(name) for name in wanted}
        self._tables = config.tables
        sink = config.sink()
        if not isinstance(sink, ReplaySink):
            sink.close()
            raise ProjectionError(f"{self._worker}: its store can't take dead letters once more")
        self._sink: ReplaySink = sink
        self._facilities = FacilityDirectory(config.kafka, Codec(registry))
        self._readers = {
            name: TopicReader(source, registry, self._worker, self._facilities.knowing)
            for name, source in self._sources.items()
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._sink.close()
        self._facilities.close()

    def replay(self, letters: Sequence[DeadLetter], *, is_trial: bool = False) -> list[Verdict]:
        """Returns what came of each letter, in order; of several with one id the last counts. A trial changes nothing.

        Raises ProjectionError for a letter of another worker, UnavailableError, KafkaException and
        RegistryUnavailableError. What was replayed before an error stays.
        """
        for letter in letters:
            if letter.worker != self._worker:
                raise ProjectionError(f"{letter.id} is not a letter of {self._worker}")
        verdicts: dict[LetterId, Verdict] = {}
        by_topic: dict[str, list[DeadLetter]] = {}
        newest = {letter.id: letter for letter in letters}
        for letter in newest.values():
            by_topic.setdefault(letter.topic, []).append(letter)
        for name, some in by_topic.items():
            if name not in self._readers:
                verdicts |= {letter.id: Verdict(letter, Outcome.NOT_TAKEN) for letter in some}
                continue
            passed = self._passed(some)
            verdicts |= {letter.id: Verdict(letter, Outcome.NOT_PASSED) for letter in some}
            verdicts |= {verdict.letter.id: verdict for verdict in self._replayed(name, passed, is_trial)}
        return [verdicts[letter_id] for letter_id in newest]

    def _passed(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        reached = self._sink.next_offsets(list({(letter.topic, letter.partition) for letter in letters}))
        return [letter for letter in letters if letter.offset < reached.get((letter.topic, letter.partition), 0)]

    def _replayed(self, name: str, letters: Sequence[DeadLetter], is_trial: bool) -> list[Verdict]:
        """Steps 2 and 3; `_row` is the position among the letters."""
        checked = self._readers[name].check([letter.value for letter in letters])
        refused = {
            reject.row: letters[reject.row].again(stage=stage, error=reject.error, reason=reject.reason)
            for stage, reject in checked.refused
        }
        source = self._sources[name].name
        rows = [
            Rows(table, name, table.sources[source](checked.frame))
            for table in self._tables
            if source in table.sources and not checked.frame.is_empty()
        ]
        good = {row: letter for row, letter in enumerate(letters) if row not in refused}
        written = self._written(rows, good, is_trial) if good else []
        return [*written, *(Verdict(letter, Outcome.REFUSED) for letter in refused.values())]

    def _written(self, rows: Sequence[Rows], letters: Mapping[int, DeadLetter], is_trial: bool) -> list[Verdict]:
        """A letter that the store refuses costs only itself: halves are written by themselves, down to that letter."""
        try:
            fresh = self._sink.replay(rows, {row: letter.id for row, letter in letters.items()}, is_trial=is_trial)
        except RefusedError as refusal:
            if len(letters) == 1:
                (letter,) = letters.values()
                again = letter.again(stage=STAGE_WRITE, error=refusal.error, reason=refusal.reason)
                return [Verdict(again, Outcome.REFUSED)]
            numbers = list(letters)
            halves = numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]
            return [
                verdict
                for half in halves
                for verdict in self._written(_only(rows, half), {row: letters[row] for row in half}, is_trial)
            ]
        return [
            Verdict(letter, Outcome.REPLAYED if letter.id in fresh else Outcome.ALREADY) for letter in letters.values()
        ]


def _only(rows: Sequence[Rows], numbers: Sequence[int]) -> list[Rows]:
    return [Rows(part.table, part.topic, part.frame.filter(pl.col(ROW).is_in(numbers))) for part in rows]
