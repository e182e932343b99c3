"""Lines of JSON to checked, encoded events: what `hcp produce` puts on a topic, and what it refuses and why."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
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
    """A line that may not go, and why; the reason starts with the offending field where one is to blame."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


class EventLines:
    """Checks lines for one topic: JSON, schema, then the contract's value rules."""

    def __init__(self, topic: Topic, registry: Registry) -> None:
        self._topic = topic
        self._codec = Codec(registry)
        self._decoder = ColumnarDecoder(topic, registry)
        self._has_event_id = any(f.name == "event_id" for f in fields(topic.event_class))

    def checked(self, lines: Iterable[str]) -> Iterator[EncodedEvent | RefusedLine]:
        """Yields the verdict on each line that is not blank, in order; lines are numbered from 1.

        Raises the registry's errors.
        """
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield self._checked(number, line)

    def _checked(self, number: int, line: str) -> EncodedEvent | RefusedLine:
        try:
            event = from_json(self._topic.event_class, self._identified(line))
            value = self._codec.encode(self._topic, event)
        except InvalidEventError as error:
            return RefusedLine(number, str(error))
        # The way of a reader: what its rules refuse must not get onto the topic.
        batch = self._decoder.decode([value])
        for reject in (*batch.rejects, *rule.violations(self._topic.event_class, batch.frame)):
            return RefusedLine(number, reject.reason)
        return EncodedEvent(number, str(getattr(event, self._topic.key_field)).encode(), value)

    def _identified(self, line: str) -> str:
        """Returns the line with an event_id made of what it says, where it has none: the same line, the same event."""
        if not self._has_event_id:
            return line
        try:
            raw = json.loads(line)
        except ValueError:
            return line
        if not isinstance(raw, dict) or "event_id" in raw:
            return line
        canonical = json.dumps(raw, sort_keys=True, separators=(",", ":"))
        return json.dumps({**raw, "event_id": str(uuid5(NAMESPACE, f"{self._topic.name}/{canonical}"))})
