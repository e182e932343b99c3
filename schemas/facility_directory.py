"""The facilities that are registered, as the workers that check references need them: read from the compacted topic."""

from collections.abc import Collection, Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from schemas.catalog import topic
from schemas.codec import Codec, UndecodableError

_TOPIC = topic("registry.facilities")
_TIMEOUT_S = 10.0


class FacilityDirectory:
    """Ids of all registered facilities. An id that is not known yet makes `refresh` read the topic to its end.

    Not thread-safe. Close it when done.
    """

    def __init__(self, kafka: Mapping[str, Any], codec: Codec) -> None:
        # The group is never joined: every reader sees the whole topic, and nothing is committed.
        self._consumer = Consumer(
            {
                **kafka,
                "group.id": "hcp-facility-directory",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                # So long the broker holds back the report of the end, for which every worker waits as it starts.
                "fetch.wait.max.ms": 10,
            }
        )
        self._codec = codec
        self._next: dict[int, int] = {}
        self._known: frozenset[str] = frozenset()

    @property
    def known(self) -> frozenset[str]:
        """Facility ids seen up to the last refresh."""
        return self._known

    def knowing(self, wanted: Collection[str]) -> frozenset[str]:
        """Returns the ids known, looked up anew where one of those wanted is not. Raises KafkaException."""
        return self._known if self._known.issuperset(wanted) else self.refresh()

    def refresh(self) -> frozenset[str]:
        """Reads the topic up to its present end and returns the ids. Raises KafkaException."""
        metadata = self._consumer.list_topics(_TOPIC.name, _TIMEOUT_S).topics[_TOPIC.name]
        starts = [TopicPartition(_TOPIC.name, p, self._next.get(p, OFFSET_BEGINNING)) for p in metadata.partitions]
        self._consumer.assign(starts)
        unread = set(metadata.partitions)
        known = set(self._known)
        while unread:
            message = self._consumer.poll(_TIMEOUT_S)
            if message is None:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{_TOPIC.name} can't be read"))  # noqa: SLF001
            error = message.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's own codes start with _
                    raise KafkaException(error)
                unread.discard(message.partition() or 0)
                continue
            self._next[message.partition() or 0] = (message.offset() or 0) + 1
            try:
                known.add(self._codec.decode(_TOPIC, message.value()).facility_id)
            except UndecodableError:
                continue  # the projection of this topic dead-letters it
        self._consumer.unassign()
        self._known = frozenset(known)
        return self._known

    def close(self) -> None:
        """Leaves the broker."""
        self._consumer.close()
