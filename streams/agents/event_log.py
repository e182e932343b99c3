"""Appends to the log: all that one input causes, and the offset behind it, in one Kafka transaction.

What is begun while a transaction is open waits, and goes into the next one together, in order: a transaction costs the
broker and us the same however much is in it.

Starting it fences off any worker with the same transactional id and aborts what that one left open (KIP-98), so what
is read from the log after that is final.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced

from schemas import metric
from schemas.catalog import DEAD_LETTER_MAX_BYTES, Topic
from schemas.codec import Codec
from schemas.dead_letter import DeadLetter
from streams.agents.error import ConfigurationError, FencedError, LogUnavailableError
from streams.agents.held_offset import Place

WORKER = "agents"
# Events of a transaction, about: those of one append stay together.
_MOST_EVENTS = 500


@dataclass(slots=True)
class _Append:
    """What is in the log together or not at all. `group_id` is of the offsets."""

    events: Sequence[tuple[Topic, bytes, bytes]]
    dead: Sequence[DeadLetter]
    offsets: Mapping[Place, int]
    group_id: str
    is_written: bool = False


class EventLog:
    """The writing end of the log for one owner. Appends are serialised; safe to call from several tasks of one loop.

    After an append that failed none succeeds.
    """

    def __init__(self, codec: Codec, group_id: str, transactional_id: str, client: Mapping[str, Any]) -> None:
        self._codec = codec
        self._group_id = group_id
        self._settings = {**client, "transactional_id": transactional_id}
        self._producer: AIOKafkaProducer | None = None
        self._lock = asyncio.Lock()
        self._begun: deque[_Append] = deque()
        self._failure: Exception | None = None

    async def start(self) -> None:
        """Connects and fences off a predecessor. Raises LogUnavailableError."""
        # Made here, because the client binds itself to the running loop.
        self._producer = AIOKafkaProducer(
            **self._settings, transaction_timeout_ms=30_000, acks="all", max_request_size=DEAD_LETTER_MAX_BYTES
        )
        try:
            await self._producer.start()
        except KafkaError as error:
            raise LogUnavailableError(f"the broker does not answer: {error}") from error

    async def stop(self) -> None:
        """Leaves the broker."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await producer.stop()

    async def append(
        self,
        events: Iterable[tuple[Topic, Any]] = (),
        offsets: Mapping[Place, int] | None = None,
        dead: Iterable[DeadLetter] = (),
        group_id: str | None = None,
    ) -> None:
        """Appends events and dead letters in order and commits offsets with them, all or nothing.

        The offsets are of `group_id`, the log's own by default.

        Raises FencedError where another worker took over, LogUnavailableError where the broker does not take it in
        time.
        """
        await self.begin(events, offsets, dead, group_id)

    def begin(
        self,
        events: Iterable[tuple[Topic, Any]] = (),
        offsets: Mapping[Place, int] | None = None,
        dead: Iterable[DeadLetter] = (),
        group_id: str | None = None,
    ) -> Awaitable[None]:
        """As `append`, with a place in the log's order from now on; what it returns has to be awaited."""
        encoded = [
            (topic, getattr(event, topic.key_field).encode(), self._codec.encode(topic, event))
            for topic, event in events
        ]
        entry = _Append(encoded, list(dead), offsets or {}, group_id or self._group_id)
        self._begun.append(entry)
        return self._written(entry)

    async def _written(self, entry: _Append) -> None:
        # Whoever has the lock writes for all that wait. One that is cancelled meanwhile leaves its entry to the next.
        async with self._lock:
            if self._failure is not None:
                raise self._failure
            if entry.is_written:
                return
            together = self._together()
            try:
                await self._write(together)
            except ProducerFenced as error:
                self._failure = FencedError("another worker took over what this one appends for")
                raise self._failure from error
            except KafkaError as error:
                self._failure = LogUnavailableError(f"a transaction failed: {type(error).__name__}: {error}")
                raise self._failure from error
            for written in together:
                self._begun.popleft()
                written.is_written = True
        for written in together:
            for topic, _, _ in written.events:
                metric.EVENTS_OUT.labels(WORKER, topic.name).inc()
            for letter in written.dead:
                metric.DEAD_LETTERS.labels(WORKER, letter.topic, letter.stage).inc()

    def _together(self) -> list[_Append]:
        """The next ones for one transaction, which commits offsets of one group only."""
        found: list[_Append] = []
        group_id, events = None, 0
        for entry in self._begun:
            events += len(entry.events)
            if found and events > _MOST_EVENTS:
                break
            if entry.offsets:
                if group_id not in {None, entry.group_id}:
                    break
                group_id = entry.group_id
            found.append(entry)
        return found

    async def _write(self, together: Sequence[_Append]) -> None:
        producer = self._producer
        if producer is None:
            raise ConfigurationError("the event log has to be started before the first append")
        offsets = {p: offset for entry in together for p, offset in entry.offsets.items()}
        async with producer.transaction():
            # First: while they join the transaction the broker refuses what is produced, and a retry takes 100 ms.
            if offsets:
                positions = {TopicPartition(p.topic, p.partition): offset for p, offset in offsets.items()}
                group_id = next(entry.group_id for entry in together if entry.offsets)
                await producer.send_offsets_to_transaction(positions, group_id)
            for entry in together:
                for topic, key, value in entry.events:
                    await producer.send(topic.name, value=value, key=key)
                for letter in entry.dead:
                    headers = [(k, v.encode() if isinstance(v, str) else v or b"") for k, v in letter.headers]
                    await producer.send(letter.target, value=letter.value, key=letter.key, headers=headers)
