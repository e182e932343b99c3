"""The facilities that are registered, as the workers that check references need them: read from the compacted topic."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from schemas.catalog import topic
from schemas.codec import Codec, UndecodableError

_TOPIC = topic("registry.facilities")
_TIMEOUT_S = 10.0


class FacilityDirectory:
    """Ids of all registered facilities. An id that is not known yet makes `refresh` read the topic to its end.

    Not thread-safe. Close it when done.
    """

    def __init__(self, kafka: Mapping[str, Any], codec: Codec) -> None:
        # No group: every reader sees the whole topic, and nothing is committed.
        self._consumer = Consumer({**kafka, "group.id": "hcp-facility-directory", "enable.auto.commit": False})
        self._codec = codec
        self._next: dict[int, int] = {}
        self._known: frozenset[str] = frozenset()

    @property
    def known(self) -> frozenset[str]:
        """Facility ids seen up to the last refresh."""
        return self._known

    def refresh(self) -> frozenset[str]:
        """Reads the topic up to its present end and returns the ids. Raises KafkaException."""
        metadata = self._consumer.list_topics(_TOPIC.name, _TIMEOUT_S).topics[_TOPIC.name]
        ends: dict[int, int] = {}
        for partition in metadata.partitions:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(_TOPIC.name, partition), _TIMEOUT_S)
            self._next[partition] = max(self._next.get(partition, low), low)
            ends[partition] = high
        self._consumer.assign([TopicPartition(_TOPIC.name, p, self._next[p]) for p in ends])
        known = set(self._known)
        while any(self._next[partition] < end for partition, end in ends.items()):
            message = self._consumer.poll(_TIMEOUT_S)
            if message is None:
                break  # compaction or a transaction marker took the last offsets
            error = message.error()
            if error is not None:
                raise KafkaException(error)
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            self._next[partition] = offset + 1
            try:
                known.add(self._codec.decode(_TOPIC, message.value()).facility_id)
            except UndecodableError:
                continue  # the projection of this topic dead-letters it
        self._known = frozenset(known)
        return self._known

    def close(self) -> None:
        """Leaves the broker."""
        self._consumer.close()
