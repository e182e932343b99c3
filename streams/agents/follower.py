"""Reads whole topics, every partition of them, as each worker must that prices its own facilities by common markets."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.catalog import topic
from streams.agents.error import LogUnavailableError
from streams.agents.held_offset import Place
from streams.agents.intake import RawMessage


class Follower:
    """A consumer without a group: it has no part in rebalances, and its caller says where it begins."""

    def __init__(self, client: Mapping[str, Any], topics: Iterable[str]) -> None:
        self._client = dict(client)
        self._places = [Place(name, p) for name in topics for p in range(topic(name).partitions)]
        self._consumer: AIOKafkaConsumer | None = None

    async def follow(self, positions: Mapping[Place, int], take: Callable[[RawMessage], Awaitable[None]]) -> None:
        """Hands over every committed message from `positions` on (else from the oldest), until it is cancelled.

        Raises LogUnavailableError, and what `take` raises.
        """
        # Made here, because the client binds itself to the running loop.
        consumer = AIOKafkaConsumer(
            **self._client, enable_auto_commit=False, isolation_level="read_committed", auto_offset_reset="earliest"
        )
        try:
            await consumer.start()
            consumer.assign([TopicPartition(p.topic, p.partition) for p in self._places])
            for place in self._places:
                consumer.seek(TopicPartition(place.topic, place.partition), positions.get(place, 0))
            self._consumer = consumer
            async for message in consumer:
                await take(_raw(message))
        except KafkaError as error:
            raise LogUnavailableError(f"the log can't be read: {type(error).__name__}: {error}") from error
        finally:
            self._consumer = None
            await consumer.stop()

    async def unread(self, place: Place) -> int:
        """How far behind a partition's end this reader is; 0 where it does not read now."""
        if self._consumer is None:
            return 0
        partition = TopicPartition(place.topic, place.partition)
        position: int = await self._consumer.position(partition)
        end: int = self._consumer.highwater(partition) or 0
        return max(end - position, 0)


def _raw(message: Any) -> RawMessage:
    return RawMessage(
        place=Place(message.topic, message.partition),
        offset=message.offset,
        key=message.key,
        value=message.value,
        headers=list(message.headers),
        ingested_at_s=message.timestamp / 1000,
    )
