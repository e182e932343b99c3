"""The newest messages of a topic, and those that come: what `hcp tail` shows."""

import contextlib
import json
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.catalog import Topic
from schemas.codec import Codec, UndecodableError, to_json

_TIMEOUT_S = 10.0
_SHORT_S = 0.1
_BATCH = 1000
_BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_PARTITION_EOF = KafkaError._PARTITION_EOF  # noqa: SLF001 - librdkafka's local codes have no other name
_TIMED_OUT = KafkaError._TIMED_OUT  # noqa: SLF001
_LEADERLESS = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)


class LogError(Exception):
    """The topic can't be read; the message says why and what to do."""


class EventLog:
    """Reads one topic, or its dead letters, without a consumer group."""

    def __init__(self, kafka: Mapping[str, Any], name: str) -> None:
        self._name = name
        self._consumer = Consumer(
            {
                **kafka,
                "group.id": "hcp-tail",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 100,
                # What fails is raised; librdkafka says so again for every try to connect.
                "log_level": 2,
            }
        )

    def close(self) -> None:
        """Ends the connection."""
        self._consumer.close()

    def newest(self, count: int, key: str | None) -> list[Message]:
        """Returns the newest messages (of a key) over all partitions, in order of their Kafka time.

        With a key the whole topic is read. Raises LogError.
        """
        try:
            starts = self._starts(count if key is None else None)
            self._consumer.assign([start for start, _ in starts])
            kept = self._newest_of_each({start.partition: end for start, end in starts}, key, count)
        except KafkaException as error:
            raise self._unreadable(error) from error
        # Stable: messages of one partition stay in order of the log.
        kept.sort(key=lambda message: message.timestamp()[1])
        return kept[len(kept) - min(count, len(kept)) :]

    def whole(self) -> Iterator[Message]:
        """Yields all messages up to the end as it is now, those of one partition in order. Raises LogError."""
        try:
            starts = [(start, end) for start, end in self._starts(None) if end > start.offset]
            self._consumer.assign([start for start, _ in starts])
            yield from self._until_end({start.partition: end for start, end in starts})
        except KafkaException as error:
            raise self._unreadable(error) from error

    def following(self, key: str | None) -> Iterator[Message | None]:
        """Yields messages that come after `newest`, None about every tenth of a second without one."""
        while True:
            for message in self._consumer.consume(_BATCH, _SHORT_S):
                if message.error() is None and _has_key(message, key):
                    yield message
            yield None

    def _unreadable(self, error: KafkaException) -> LogError:
        return LogError(f"{self._name} cannot be read: {error}; is the stack up (`hcp status`)?")

    def _starts(self, count: int | None) -> list[tuple[TopicPartition, int]]:
        """Returns where to start in each partition that is not empty, and its end."""
        found = self._consumer.list_topics(self._name, timeout=_TIMEOUT_S).topics[self._name]
        if found.error is not None:
            raise LogError(f"there is no topic {self._name}: `hcp schemas register` creates the topics of the contract")
        starts = []
        for partition in found.partitions:
            low, high = self._watermarks(TopicPartition(self._name, partition))
            # Transactions leave markers in the log: a few more offsets than messages.
            first = low if count is None else max(low, high - 2 * count - 10)
            starts.append((TopicPartition(self._name, partition, first), high))
        return starts

    def _watermarks(self, partition: TopicPartition) -> tuple[int, int]:
        """Returns the first and the next offset. A broker that was started again refuses until leaders are elected."""
        for wait_s in _BACKOFF_S:
            try:
                return self._consumer.get_watermark_offsets(partition, _TIMEOUT_S)
            except KafkaException as error:
                if error.args[0].code() not in _LEADERLESS:
                    raise
                time.sleep(wait_s)
        return self._consumer.get_watermark_offsets(partition, _TIMEOUT_S)

    def _newest_of_each(self, ends: dict[int, int], key: str | None, count: int) -> list[Message]:
        kept: dict[int, deque[Message]] = {partition: deque(maxlen=count) for partition in ends}
        for message in self._until_end(ends):
            if _has_key(message, key):
                kept[message.partition() or 0].append(message)
        return [message for partition in sorted(kept) for message in kept[partition]]

    def _until_end(self, ends: dict[int, int]) -> Iterator[Message]:
        """Yields each partition up to its end as it was when it was asked: a busy log has none."""
        left = set(ends)
        idle_s = 0.0
        while left:
            messages = self._consumer.consume(_BATCH, _SHORT_S)
            idle_s = 0.0 if messages else idle_s + _SHORT_S
            if idle_s > _TIMEOUT_S:
                raise KafkaException(KafkaError(_TIMED_OUT))
            for message in messages:
                error, partition, offset = message.error(), message.partition() or 0, message.offset() or 0
                if error is not None and error.code() != _PARTITION_EOF:
                    raise KafkaException(error)
                if error is None and offset < ends[partition]:
                    yield message
                # The end may be a transaction's marker, which is not a message.
                if error is not None or offset >= ends[partition] - 1:
                    left.discard(partition)


def line(message: Message, topic: Topic, codec: Codec) -> str:
    """Returns the message as a line of JSON: the event, or where it stands and why it is none."""
    try:
        return to_json(codec.decode(topic, message.value()))
    except UndecodableError as error:
        return json.dumps({**_place(message), "error": str(error), "value_hex": _hex(message.value())})


def dead_letter_line(message: Message, topic: Topic, codec: Codec) -> str:
    """Returns a dead letter as a line of JSON: its place, headers, the event where the bytes are one, and the bytes."""
    event = None
    with contextlib.suppress(UndecodableError):
        event = json.loads(to_json(codec.decode(topic, message.value())))
    headers = [[str(header[0]), _text(header[1])] for header in message.headers() or ()]
    return json.dumps({**_place(message), "headers": headers, "event": event, "value_hex": _hex(message.value())})


def _place(message: Message) -> dict[str, object]:
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "key": _text(message.key()),
    }


def _text(value: str | bytes | None) -> str | None:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _hex(value: str | bytes | None) -> str | None:
    return (value.encode() if isinstance(value, str) else value).hex() if value is not None else None


def _has_key(message: Message, key: str | None) -> bool:
    return key is None or _text(message.key()) == key
