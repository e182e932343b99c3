"""From a Kafka message to a typed event, or to the dead letter that says why it is none."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from schemas import metric
from schemas.catalog import topic as catalog_topic
from schemas.codec import Codec, UndecodableError
from schemas.dead_letter import STAGE_DECODE, STAGE_RULE, DeadLetter
from schemas.registry import RegistryUnavailableError
from schemas.reject import ROW
from schemas.rule import RULE_ERROR, RULES, violations
from streams.agents.event_log import WORKER
from streams.agents.held_offset import Place

log = logging.getLogger(__name__)

# An event time far ahead of its arrival would move the stream time, and nothing that is right would count any more.
LEAD = timedelta(hours=1)
_BACKOFF_S = (0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A Kafka message as it came; `ingested_at_s` is its record timestamp, Unix seconds."""

    place: Place
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    ingested_at_s: float

    def dead_letter(self, stage: str, error: str, reason: str) -> DeadLetter:
        """Returns the message as a dead letter."""
        return DeadLetter(
            topic=self.place.topic,
            partition=self.place.partition,
            offset=self.offset,
            key=self.key,
            value=self.value,
            original_headers=self.headers,
            worker=WORKER,
            stage=stage,
            error=error,
            reason=reason,
            timestamp_ms=round(self.ingested_at_s * 1000),
        )


class Intake:
    """Decodes messages and checks the rules of the contract."""

    def __init__(self, codec: Codec, pause: Callable[[float], Awaitable[Any]] = asyncio.sleep) -> None:
        self._codec = codec
        self._pause = pause

    async def event(self, message: RawMessage) -> Any | DeadLetter:
        """Returns the event of a message or its dead letter; waits while the registry does not answer."""
        topic = catalog_topic(message.place.topic)
        tries = 0
        while True:
            try:
                event = self._codec.decode(topic, message.value)
                break
            except UndecodableError as error:
                return message.dead_letter(STAGE_DECODE, type(error).__name__, str(error))
            except RegistryUnavailableError as error:
                metric.DEPENDENCY_UP.labels(WORKER, "registry").set(0)
                if tries == 0:
                    log.warning("schema registry does not answer, waiting: %s", error)
                await self._pause(_BACKOFF_S[min(tries, len(_BACKOFF_S) - 1)])
                tries += 1
        metric.DEPENDENCY_UP.labels(WORKER, "registry").set(1)
        at: datetime = getattr(event, topic.time_field)
        if at > datetime.fromtimestamp(message.ingested_at_s, UTC) + LEAD:
            reason = f"{topic.time_field}: must not be more than an hour ahead of its arrival, got {at.isoformat()}"
            return message.dead_letter(STAGE_RULE, RULE_ERROR, reason)
        broken = _broken_rule(event)
        return event if broken is None else message.dead_letter(STAGE_RULE, RULE_ERROR, broken)


def _broken_rule(event: Any) -> str | None:
    kind = type(event)
    if kind not in RULES:
        return None
    wanted = [f.name for f in fields(kind) if isinstance(getattr(event, f.name), int | float | str)]
    frame = pl.DataFrame({ROW: [0], **{name: [_plain(getattr(event, name))] for name in wanted}})
    found = violations(kind, frame)
    return found[0].reason if found else None


def _plain(value: Any) -> Any:
    # Enumerations of the contract are strings to a frame.
    return str(value) if isinstance(value, str) else value
