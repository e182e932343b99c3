"""A part of the log, read without a consumer group: from given offsets up to given ends, and no further."""

import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from projections.error import ProjectionError, UnavailableError
from schemas.log_position import topic_ids
from schemas.message_block import MessageBlock, Place, Record

Bounds = Mapping[Place, tuple[int, int]]
"""Of each partition the oldest offset that there is, and the end."""

_REQUEST_S = 10.0
_POLL_S = 0.1
_SILENCE_S = 30.0
"""Longer than a broker takes to elect a leader; a log that says nothing for so long is not there."""
_PARTITION_EOF = KafkaError._PARTITION_EOF  # noqa: SLF001 - librdkafka's local codes have no other name


class LogRange:
    """Reads committed records of some topics. Not thread-safe."""

    def __init__(self, kafka: Mapping[str, Any], group_id: str, topics: Collection[str]) -> None:
        self._topics = sorted(topics)
        self._kafka = kafka
        self._consumer = Consumer(
            {
                **kafka,
                # Never joined, and nothing is committed to it: the database has the offsets.
                "group.id": group_id,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
                "queued.min.messages": 50_000,
                "fetch.queue.backoff.ms": 5,
                "log_level": 3,
            }
        )

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Leaves the broker."""
        self._consumer.close()

    def bounds(self) -> dict[Place, tuple[int, int]]:
        """Returns the oldest offset of each partition and its end. Raises KafkaException and ProjectionError."""
        found: dict[Place, tuple[int, int]] = {}
        for name in self._topics:
            metadata = self._consumer.list_topics(name, timeout=_REQUEST_S).topics[name]
            if metadata.error is not None:
                raise ProjectionError(f"there is no topic {name}: `hcp schemas register` creates those of the contract")
            for partition in metadata.partitions:
                place = TopicPartition(name, partition)
                found[name, partition] = self._consumer.get_watermark_offsets(place, _REQUEST_S)
        return found

    def topic_ids(self) -> dict[str, str]:
        """Returns the id of each topic. Raises KafkaException."""
        return topic_ids(self._kafka, self._topics)

    def read(self, starts: Mapping[Place, int], ends: Mapping[Place, int], size: int) -> Iterator[MessageBlock]:
        """Yields the messages between, up to `size` at a time, in the order of each partition; empty blocks meanwhile.

        Raises KafkaException, and UnavailableError where the log stops before an end.
        """
        unread = {place: end for place, end in ends.items() if starts[place] < end}
        if not unread:
            return
        self._consumer.assign([TopicPartition(*place, starts[place]) for place in unread])
        heard_at = time.monotonic()
        try:
            while unread:
                consumed = self._consumer.consume(size, _POLL_S)
                within = _within(consumed, unread)
                if consumed:
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at > _SILENCE_S:
                    raise UnavailableError(f"the log is silent before {unread}: is the stack up (`hcp status`)?")
                yield MessageBlock.of(list(map(Record.of, within)))
        finally:
            self._consumer.unassign()


def _within(consumed: list[Message], unread: dict[Place, int]) -> list[Message]:
    """Returns the messages before their partition's end, and takes the partitions that have reached it off `unread`."""
    within = []
    for message in consumed:
        place, offset = (message.topic() or "", message.partition() or 0), message.offset() or 0
        error = message.error()
        if error is not None and error.code() != _PARTITION_EOF:
            raise KafkaException(error)
        end = unread.get(place)
        if end is None:
            continue
        if error is None and offset < end:
            within.append(message)
        # The record before an end may be a transaction's marker, which is not a message; the end of the log says so.
        if offset >= end - (error is None):
            del unread[place]
    return within
