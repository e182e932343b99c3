"""Which dead letters a command is about, as people say it: by worker, stage, error, reason, time and place."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import typer

from hcp.dead_letter_log import Entry
from hcp.duration import parse_duration
from hcp.event_time import parse_time

Place = tuple[int, int]
"""Partition and offset of the refused message in its own topic."""


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """What is None or empty asks nothing. `since` and `until` are about the time of the refusal, `until` excluded.

    `reason` is a part of the reason, in any case.
    """

    worker: str | None = None
    stage: str | None = None
    error: str | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    places: frozenset[Place] = frozenset()

    def matches(self, entry: Entry) -> bool:
        """Whether the letter is one of those meant."""
        letter = entry.letter
        refused_at = at(entry.refused_at_ms)
        return (
            self.worker in {None, letter.worker}
            and self.stage in {None, letter.stage}
            and self.error in {None, letter.error}
            and (self.reason is None or self.reason.casefold() in letter.reason.casefold())
            and (self.since is None or refused_at >= self.since)
            and (self.until is None or refused_at < self.until)
            and (not self.places or (letter.partition, letter.offset) in self.places)
        )

    def chosen(self, entries: Iterable[Entry]) -> list[Entry]:
        """Returns the letters meant, oldest refusal first."""
        return sorted(filter(self.matches, entries), key=lambda entry: (entry.refused_at_ms, entry.letter.id))


def at(milliseconds: int) -> datetime:
    """Returns a Kafka timestamp as a time."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def parse_place(text: str) -> Place:
    """Returns `PARTITION:OFFSET` as numbers. Raises typer.BadParameter."""
    partition, separator, offset = text.partition(":")
    if not (separator and partition.isdecimal() and offset.isdecimal()):
        raise typer.BadParameter(f"expected PARTITION:OFFSET of the refused message such as 0:17, got {text!r}")
    return int(partition), int(offset)


def parse_moment(text: str, option: str, now: datetime) -> datetime:
    """Returns a time as `parse_time` does, or a duration such as `2h` before `now`. Raises typer.BadParameter."""
    try:
        return parse_time(text, option)
    except typer.BadParameter as error:
        try:
            return now - parse_duration(text)
        except typer.BadParameter:
            raise typer.BadParameter(f"{error}; or how long ago, such as 90s, 5m or 2h") from None
