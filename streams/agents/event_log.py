"""Appends to the log: all that one input causes, and the offset behind it, in one Kafka transaction.

Starting it fences off any worker with the same transactional id and aborts what that one left open (KIP-98), so what
is read from the log after that is final.
"""

import asyncio
from collections.abc import Iterable, Mapping
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


class EventLog:
    """The writing end of the log for one owner. Appends are serialised; safe to call from several tasks of one
    loop."""

    def __init__(self, codec: Codec, group_id: str, transactional_id: str, client: Mapping[str, Any]) -> None:
        self._codec = codec
        self._group_id = group_id
        self._settings = {**client, "transactional_id": transactional_id}
        self._producer: AIOKafkaProducer | None = None
        self._lock = asyncio.Lock()

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
        encoded = [
            (topic, getattr(event, topic.key_field).encode(), self._codec.encode(topic, event))
            for topic, event in events
        ]
        letters = list(dead)
        async with self._lock:
            try:
                await self._write(encoded, offsets or {}, letters, group_id or self._group_id)
            except ProducerFenced as error:
                raise FencedError("another worker took over what this one appends for") from error
            except KafkaError as error:
                raise LogUnavailableError(f"a transaction failed: {type(error).__name__}: {error}") from error
        for topic, _, _ in encoded:
            metric.EVENTS_OUT.labels(WORKER, topic.name).inc()
        for letter in letters:
            metric.DEAD_LETTERS.labels(WORKER, letter.topic, letter.stage).inc()

    async def _write(
        self,
        encoded: list[tuple[Topic, bytes, bytes]],
        offsets: Mapping[Place, int],
        letters: list[DeadLetter],
        group_id: str,
    ) -> None:
        producer = self._producer
        if producer is None:
            raise ConfigurationError("the event log has to be started before the first append")
        async with producer.transaction():
            for topic, key, value in encoded:
                await producer.send(topic.name, value=value, key=key)
            for letter in letters:
                headers = [(k, v.encode() if isinstance(v, str) else v or b"") for k, v in letter.headers]
                await producer.send(letter.target, value=letter.value, key=letter.key, headers=headers)
            if offsets:
                positions = {TopicPartition(p.topic, p.partition): offset for p, offset in offsets.items()}
                await producer.send_offsets_to_transaction(positions, group_id)
