"""What a starting worker reads from the log before it handles anything: master data, and what was done before it.

1. The event log has fenced off the predecessor: what it wrote is final.
2. The registry topics and the workloads' transitions are read whole, the newest per key decoded.
3. The newest decisions and evaluations give each facility's progress. The tail is long enough for weeks of decisions,
and
   signals older than that are over.
4. The last offset of each input topic at this moment is the barrier: no decision before it is passed, so that the
decisions
   missed are made in order, with all that was known at their time.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.catalog import Topic, topic
from schemas.codec import Codec, UndecodableError
from schemas.events import AllocationDecision, Profitability
from streams.agents.error import LogUnavailableError
from streams.agents.held_offset import Place
from streams.domain import dispatch
from streams.domain.evaluation import EvaluationProgress
from streams.domain.market_state import MarketState
from streams.domain.workload import WorkloadBook

REGISTRY = ("registry.facilities", "registry.resources", "registry.customers")
BARRIER = ("market.ticks", "network.stats", "grid.prices", "grid.signals")
DECISION_TAIL = 20_000
_TIMEOUT_S = 30.0
# Enough to step over the markers of transactions at the end of a partition.
_MARKER_TAIL = 100


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the log says at the start. `barrier`: last offset of each input partition that has events."""

    market: MarketState
    book: WorkloadBook
    progress: dict[str, dispatch.Progress]
    newest_decision: dict[str, AllocationDecision]
    evaluated: dict[str, EvaluationProgress]
    barrier: dict[Place, int]


def recover(kafka: Mapping[str, Any], codec: Codec, group_id: str) -> Recovered:
    """Reads all that a worker needs to go on. Raises LogUnavailableError and the registry's errors."""
    try:
        market = MarketState()
        for event in master_data(kafka, codec):
            market.add(event)
        book = WorkloadBook()
        for transition in newest_by_key(kafka, codec, topic("workloads.transitions")):
            book.apply(transition)
        decisions: defaultdict[str, list[AllocationDecision]] = defaultdict(list)
        for decision in _decoded(kafka, codec, topic("allocations.decisions"), DECISION_TAIL):
            decisions[decision.facility_id].append(decision)
        progress = {name: dispatch.recovered(made) for name, made in decisions.items()}
        evaluations: list[Profitability] = newest_by_key(kafka, codec, topic("economics.profitability"), DECISION_TAIL)
        return Recovered(
            market=market,
            book=book,
            progress={name: found for name, found in progress.items() if found is not None},
            newest_decision={name: made[-1] for name, made in decisions.items()},
            evaluated={e.facility_id: EvaluationProgress(e.evaluated_at, e.cause_event_id) for e in evaluations},
            barrier=_barrier(kafka, group_id),
        )
    except KafkaException as error:
        raise LogUnavailableError(f"the log can't be read: {error}") from error


def master_data(kafka: Mapping[str, Any], codec: Codec) -> list[Any]:
    """The newest record of each facility, resource group and customer."""
    return [event for name in REGISTRY for event in newest_by_key(kafka, codec, topic(name))]


def newest_by_key(kafka: Mapping[str, Any], codec: Codec, source: Topic, tail: int | None = None) -> list[Any]:
    """The newest event of each key, of the last `tail` messages (all, if None); what can't be decoded is left out."""
    newest: dict[bytes, bytes] = {}
    for message in messages(kafka, source, tail):
        key, value = message.key(), message.value()
        if isinstance(key, bytes) and value is not None:
            newest[key] = value
    return [event for value in newest.values() if (event := _decode(codec, source, value)) is not None]


def messages(kafka: Mapping[str, Any], source: Topic, tail: int | None = None) -> Iterator[Message]:
    """The committed messages of a topic up to its present end, partition by partition."""
    settings = {
        **kafka,
        "group.id": "hcp-agents-recovery",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
    }
    consumer = Consumer(settings)
    try:
        for partition in range(source.partitions):
            low, high = consumer.get_watermark_offsets(TopicPartition(source.name, partition), _TIMEOUT_S)
            start = low if tail is None else max(low, high - tail)
            if start >= high:
                continue
            consumer.assign([TopicPartition(source.name, partition, start)])
            yield from _until(consumer, high)
    finally:
        consumer.close()


def _until(consumer: Consumer, end: int) -> Iterator[Message]:
    # Up to the end as it was at the start: a topic that is written to all the time never reports that it has ended.
    # Where markers of transactions are its last offsets, the report comes, or a message behind them.
    while True:
        message = consumer.poll(_TIMEOUT_S)
        if message is None:
            raise LogUnavailableError(f"the broker sent nothing for {_TIMEOUT_S:.0f} s")
        error = message.error()
        if error is None:
            offset = message.offset() or 0
            if offset < end:
                yield message
            if offset >= end - 1:
                return
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name for the end
            return
        else:
            raise KafkaException(error)


def _decoded(kafka: Mapping[str, Any], codec: Codec, source: Topic, tail: int) -> Iterator[Any]:
    for message in messages(kafka, source, tail):
        event = _decode(codec, source, message.value())
        if event is not None:
            yield event


def _decode(codec: Codec, source: Topic, value: bytes | None) -> Any:
    try:
        return codec.decode(source, value)
    except UndecodableError:
        return None  # its projection dead-letters it


def _barrier(kafka: Mapping[str, Any], group_id: str) -> dict[Place, int]:
    last: dict[Place, int] = {}
    for name in BARRIER:
        for message in messages(kafka, topic(name), _MARKER_TAIL):
            last[Place(name, message.partition() or 0)] = message.offset() or 0
    committed = _committed(kafka, group_id, list(last))
    return {place: offset for place, offset in last.items() if committed.get(place, 0) <= offset}


def _committed(kafka: Mapping[str, Any], group_id: str, places: list[Place]) -> dict[Place, int]:
    consumer = Consumer({**kafka, "group.id": group_id, "enable.auto.commit": False})
    try:
        found = consumer.committed([TopicPartition(p.topic, p.partition) for p in places], _TIMEOUT_S)
    finally:
        consumer.close()
    return {Place(entry.topic, entry.partition): entry.offset for entry in found}
