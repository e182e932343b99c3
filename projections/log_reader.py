"""A topic from its first record to its end as it is when asked: from the archive as far as that goes, then from Kafka.

What comes is what projections take: decoded, checked, without the records that they refuse.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from projections.archive import Archive
from projections.archive_reader import ArchiveReader, LogFrame
from projections.batch import TopicReader
from projections.error import ProjectionError, UnavailableError
from projections.log_column import with_log_columns
from schemas.catalog import Cleanup, Topic
from schemas.codec import Codec
from schemas.facility_directory import FacilityDirectory
from schemas.log_position import topic_ids
from schemas.message_block import MessageBlock, Record
from schemas.registry import Registry
from schemas.reject import ROW

_TIMEOUT_S = 10.0
_SHORT_S = 0.2
_BATCH = 20_000
_PARTITION_EOF = KafkaError._PARTITION_EOF  # noqa: SLF001 - librdkafka's local codes have no other name


class LogReadError(ProjectionError):
    """The log can't be read as it is asked for; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Extent:
    """What there is of a partition: archived from `start` to before `archived`, in Kafka from `oldest` to before `end`.

    Without an archive `start` and `archived` are `oldest`. `rows` are those archived; `gaps` (from → to) are nowhere.
    """

    start: int
    archived: int
    oldest: int
    end: int
    rows: int
    gaps: Mapping[int, int]


class LogReader:
    """Reads topics; `archive` may be None. Close it. Raises UnavailableError where Kafka or the archive is away."""

    def __init__(self, kafka: Mapping[str, Any], registry: Registry, archive: Archive | None) -> None:
        self._kafka = kafka
        self._registry = registry
        self._archive = archive
        self._facilities = FacilityDirectory(kafka, Codec(registry))
        self._consumer = Consumer(
            {
                **kafka,
                "group.id": "hcp-log-reader",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 100,
                "log_level": 3,
            }
        )

    def close(self) -> None:
        """Ends the connections."""
        self._consumer.close()
        self._facilities.close()

    def extents(self, topic: Topic, name: str | None = None) -> dict[int, Extent]:
        """Returns what there is of each partition; `name` is Kafka's name of the topic where it is another.

        Raises LogReadError where there is no such topic, or the archive is another's.
        """
        kafka_name = name or topic.name
        found = {}
        topic_id = self._topic_id(kafka_name) if self._archive else ""
        for partition in self._partitions(kafka_name):
            try:
                place = TopicPartition(kafka_name, partition)
                oldest, end = self._consumer.get_watermark_offsets(place, _TIMEOUT_S)
            except KafkaException as error:
                raise UnavailableError(f"{kafka_name} [{partition}]: {error}") from error
            ledger = self._archive.ledger((kafka_name, partition)) if self._archive else None
            if ledger is None or ledger.number == 0:
                found[partition] = Extent(oldest, oldest, oldest, end, 0, {})
                continue
            if ledger.following > end or ledger.topic_id not in {"", topic_id}:
                raise LogReadError(
                    f"{kafka_name} [{partition}]: the archive has offsets up to {ledger.following} and Kafka's end is "
                    f"{end}: they are not of the same topic; set HCP_ARCHIVE_URL to an archive of its own"
                )
            gaps = dict(ledger.gaps) | ({ledger.following: oldest} if oldest > ledger.following else {})
            rows = sum(file.rows for file in ledger.files.values())
            found[partition] = Extent(ledger.start, ledger.following, oldest, end, rows, gaps)
        return found

    def frames(self, topic: Topic, extents: Mapping[int, Extent], name: str | None = None) -> Iterator[LogFrame]:
        """Yields the partitions one after the other, each in log order and without a hole up to its `end`.

        Raises LogReadError where Kafka deletes what is being read.
        """
        kafka_name = name or topic.name
        reader = TopicReader(topic, self._registry, "hcp-log-reader", self._known_facilities)
        for partition, extent in sorted(extents.items()):
            at = extent.start
            if self._archive is not None and extent.archived > extent.start:
                for archived in ArchiveReader(self._archive, (kafka_name, partition), topic).frames():
                    yield archived
                    at = archived.next_offset
            at = max(at, extent.oldest)
            for messages in self._batches(TopicPartition(kafka_name, partition, at), extent.end):
                following = int(messages.offsets[-1]) + 1
                frame = with_log_columns(reader.read(messages).frame, messages).drop(ROW)
                yield LogFrame(partition, at, following, frame)
                at = following

    def _batches(self, start: TopicPartition, end: int) -> Iterator[MessageBlock]:
        if start.offset >= end:
            return
        idle_s, is_at_end = 0.0, False
        try:
            self._consumer.assign([start])
            while not is_at_end:
                messages = self._consumer.consume(_BATCH, _SHORT_S)
                idle_s = 0.0 if messages else idle_s + _SHORT_S
                if idle_s > _TIMEOUT_S:
                    raise UnavailableError(f"{start.topic} [{start.partition}]: Kafka sends nothing")
                taken, is_at_end = _before(end, messages)
                if taken:
                    yield MessageBlock.of(list(map(Record.of, taken)))
        except KafkaException as error:
            if error.args[0].code() in {KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET}:  # noqa: SLF001
                raise LogReadError(
                    f"{start.topic} [{start.partition}]: Kafka deletes what is being read; run it again"
                ) from error
            raise UnavailableError(f"{start.topic} [{start.partition}]: {error}") from error

    def _topic_id(self, name: str) -> str:
        try:
            return topic_ids(self._kafka, [name])[name]
        except KafkaException as error:
            raise UnavailableError(f"Kafka can't be asked for {name}: {error}; is it up (`hcp status`)?") from error

    def _partitions(self, name: str) -> Collection[int]:
        try:
            found = self._consumer.list_topics(name, timeout=_TIMEOUT_S).topics[name]
        except KafkaException as error:
            raise UnavailableError(f"Kafka can't be asked for {name}: {error}; is it up (`hcp status`)?") from error
        if found.error is not None:
            raise LogReadError(f"there is no topic {name}: `hcp schemas register` creates the topics of the contract")
        return sorted(found.partitions)

    def _known_facilities(self, wanted: Collection[str]) -> Collection[str]:
        try:
            return self._facilities.knowing(wanted)
        except KafkaException as error:
            raise UnavailableError(f"the registered facilities can't be read: {error}") from error


def _before(end: int, messages: Sequence[Message]) -> tuple[list[Message], bool]:
    """Returns the messages before that offset, and whether it is reached. Raises KafkaException."""
    taken, is_at_end = [], False
    for message in messages:
        error, offset = message.error(), message.offset() or 0
        if error is not None and error.code() != _PARTITION_EOF:
            raise KafkaException(error)
        # The end may be a transaction's marker, which is not a message.
        is_at_end = is_at_end or error is not None or offset >= end - 1
        if error is None and offset < end:
            taken.append(message)
    return taken, is_at_end


def losses(topic: Topic, extents: Mapping[int, Extent]) -> list[str]:
    """Returns what the log no longer has, in sentences; empty where it is whole."""
    said = []
    for partition, extent in sorted(extents.items()):
        place = f"{topic.name} [{partition}]"
        if extent.start > 0:
            said.append(f"{place}: the records before offset {extent.start} are gone")
        said += [f"{place}: the records from offset {first} to {to - 1} are gone" for first, to in extent.gaps.items()]
        if topic.cleanup is not Cleanup.COMPACT or extent.end == 0:
            continue
        archived = extent.archived - extent.start
        if extent.start > 0 or archived == 0:
            said.append(
                f"{place} is compacted and not archived from its start: Kafka forgets all but the newest of a key"
            )
        elif extent.rows < archived:
            said.append(
                f"{place} is compacted: of its first {archived} records {archived - extent.rows} are not in the "
                "archive, as they were compacted before, or refused"
            )
    return said
