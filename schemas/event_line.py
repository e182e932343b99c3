"""Lines of JSON to checked, encoded events: what `hcp produce` and the bridges put on a topic, and what they refuse."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from uuid import NAMESPACE_DNS, uuid5

from schemas import rule
from schemas.catalog import Topic
from schemas.codec import Codec, InvalidEventError, from_json
from schemas.columnar import ColumnarDecoder
from schemas.registry import Registry

NAMESPACE = uuid5(NAMESPACE_DNS, "produce.mara-hcp")
"""Namespace of the ids of events that were given without one."""


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """An event that may go: its line, Kafka key and value."""

    line: int
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that may not go, and why; the reason starts with the offending `field` where one is to blame."""

    line: int
    reason: str
    field: str = ""

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


class EventLines:
    """Checks lines for one topic: JSON, schema, then the contract's value rules."""

    def __init__(self, topic: Topic, registry: Registry) -> None:
        self._topic = topic
        self._codec = Codec(registry)
        self._decoder = ColumnarDecoder(topic, registry)
        self._has_event_id = any(f.name == "event_id" for f in fields(topic.event_class))

    def checked(self, lines: Iterable[str], together: int = 1) -> Iterator[EncodedEvent | RefusedLine]:
        """Yields the verdict on each line that is not blank, in order; lines are numbered from 1.

        So many lines are checked `together`: many are faster, one at a time is at once. Raises the registry's errors.
        """
        numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
        while batch := list(islice(numbered, together)):
            yield from self._checked(batch)

    def _checked(self, batch: Sequence[tuple[int, str]]) -> Iterator[EncodedEvent | RefusedLine]:
        verdicts = [self._encoded(number, line) for number, line in batch]
        events = [verdict for verdict in verdicts if isinstance(verdict, EncodedEvent)]
        # The way of a reader: what its rules refuse must not get onto the topic.
        decoded = self._decoder.decode([event.value for event in events])
        rejects = (*rule.violations(self._topic.event_class, decoded.frame), *decoded.rejects)
        refused = {events[reject.row].line: reject.reason for reject in rejects}
        for verdict in verdicts:
            reason = refused.get(verdict.line)
            yield verdict if reason is None else RefusedLine(verdict.line, reason, reason.partition(":")[0])

    def _encoded(self, number: int, line: str) -> EncodedEvent | RefusedLine:
        try:
            event = from_json(self._topic.event_class, self._identified(line))
            value = self._codec.encode(self._topic, event)
        except InvalidEventError as error:
            return RefusedLine(number, str(error), error.field)
        return EncodedEvent(number, str(getattr(event, self._topic.key_field)).encode(), value)

    def _identified(self, line: str) -> str:
        """Returns the line with an event_id made of what it says, where it has none: the same line, the same event."""
        if not self._has_event_id:
            return line
        try:
            raw = json.loads(line)
        except (ValueError, RecursionError):
            return line
        if not isinstance(raw, dict) or "event_id" in raw:
            return line
        canonical = json.dumps(raw, sort_keys=True, separators=(",", ":"))
        return json.dumps({**raw, "event_id": str(uuid5(NAMESPACE, f"{self._topic.name}/{canonical}"))})
