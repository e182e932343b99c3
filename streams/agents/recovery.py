"""What an owner of facilities reads from the log before it handles anything: master data, and what was done before.

1. The event log has fenced off the predecessor: what it wrote is final.
2. The registry topics and the workloads' transitions are read whole, the newest per key decoded.
3. The newest decisions and evaluations give each facility's progress. The tail is long enough for weeks of decisions,
   and signals older than that are over.
4. The last offset of each input partition at this moment is the barrier: no decision before it is passed, so that the
   decisions missed are made in order, with all that was known at their time.

What is read is divided by the partitions of the facilities; see `streams.agents.assignment`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.catalog import Topic, topic
from schemas.codec import Codec, UndecodableError
from schemas.events import AllocationDecision, Profitability, WorkloadTransition
from schemas.log_position import group_reset, resumed
from streams.agents.assignment import INPUTS, ROUTED, facility_partition
from streams.agents.error import LogUnavailableError
from streams.agents.event_log import WORKER
from streams.agents.held_offset import Place
from streams.domain import trigger
from streams.domain.evaluation import EvaluationProgress
from streams.domain.market_state import MarketState
from streams.domain.standing import Standing
from streams.domain.workload import WorkloadBook

REGISTRY = ("registry.facilities", "registry.resources", "registry.customers")
MARKETS = ("market.ticks", "network.stats", "grid.prices", "grid.forecasts")
BROADCAST = (*MARKETS, *REGISTRY)
DECISION_TAIL = 20_000
_TIMEOUT_S = 30.0
# Enough to step over the markers of transactions at the end of a partition.
_MARKER_TAIL = 100


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the log says of one partition of facilities.

    `barrier`: last offset of each input partition that has events; `committed`: the next offset to read.
    """

    market: MarketState
    book: WorkloadBook
    progress: dict[str, trigger.Progress]
    standing: dict[str, Standing]
    evaluated: dict[str, EvaluationProgress]
    barrier: dict[Place, int]
    committed: dict[Place, int]


def market_group(group_id: str, number: int) -> str:
    """Group that holds the offsets of the topics that every owner reads, for one partition of facilities."""
    return f"{group_id}-{number}"


def recover(kafka: Mapping[str, Any], codec: Codec, group_id: str, numbers: Iterable[int]) -> dict[int, Recovered]:
    """Reads all that the owner of some partitions of facilities needs to go on.

    Raises LogUnavailableError, LostLogError and the registry's errors.
    """
    with unavailable():
        master = master_data(kafka, codec)
        transitions: list[WorkloadTransition] = newest_by_key(kafka, codec, topic("workloads.transitions"))
        decisions: defaultdict[str, list[AllocationDecision]] = defaultdict(list)
        for decision in decoded(kafka, codec, topic("allocations.decisions"), DECISION_TAIL):
            decisions[decision.facility_id].append(decision)
        evaluations: list[Profitability] = newest_by_key(kafka, codec, topic("economics.profitability"), DECISION_TAIL)
        last_offsets = _last_offsets(kafka, (*BROADCAST, "grid.signals"))
        found: dict[int, Recovered] = {}
        for number in sorted(numbers):
            market, book = MarketState(), WorkloadBook()
            for event in master:
                if concerns(event, number):
                    market.add(event)
            for transition in transitions:
                if concerns(transition, number):
                    book.apply(transition)
            made = {name: taken for name, taken in decisions.items() if facility_partition(name) == number}
            progress = {name: trigger.recovered(taken) for name, taken in made.items()}
            standing = {name: Standing.of(taken) for name, taken in made.items()}
            positions = _committed_of(kafka, group_id, number)
            found[number] = Recovered(
                market=market,
                book=book,
                progress={name: known for name, known in progress.items() if known is not None},
                standing={name: known for name, known in standing.items() if known is not None},
                evaluated={
                    e.facility_id: EvaluationProgress(e.evaluated_at, e.cause_event_id)
                    for e in evaluations
                    if concerns(e, number)
                },
                barrier={
                    place: last
                    for place, last in last_offsets.items()
                    if (place.topic != "grid.signals" or place.partition == number) and positions.get(place, 0) <= last
                },
                committed=positions,
            )
    return found


@contextmanager
def unavailable() -> Iterator[None]:
    """Raises LogUnavailableError where reading the log fails."""
    try:
        yield
    except KafkaException as error:
        raise LogUnavailableError(f"the log can't be read: {error}") from error


def concerns(event: Any, number: int) -> bool:
    """Whether an event is about a facility of a partition, or about none."""
    facility_id: str | None = getattr(event, "facility_id", None)
    return facility_id is None or facility_partition(facility_id) == number


def _committed_of(kafka: Mapping[str, Any], group_id: str, number: int) -> dict[Place, int]:
    market = [Place(name, p) for name in BROADCAST for p in range(topic(name).partitions)]
    own = [Place(name, number) for name in (ROUTED, *INPUTS)]
    return {**committed(kafka, market_group(group_id, number), market), **committed(kafka, group_id, own)}


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
        # So long the broker holds back the report of the end, which comes behind the marker of each transaction.
        "fetch.wait.max.ms": 10,
    }
    consumer = Consumer(settings)
    try:
        for partition, (low, high) in enumerate(_watermarks(kafka, source)):
            start = low if tail is None else max(low, high - tail)
            if start >= high:
                continue
            consumer.assign([TopicPartition(source.name, partition, start)])
            yield from _until(consumer, high)
    finally:
        consumer.close()


def _watermarks(kafka: Mapping[str, Any], source: Topic) -> list[tuple[int, int]]:
    # Of the log as it is written: a consumer that reads committed events only is told the start of the first open
    # transaction for its end.
    settings = {**kafka, "group.id": "hcp-agents-recovery", "isolation.level": "read_uncommitted"}
    consumer = Consumer(settings)
    try:
        places = (TopicPartition(source.name, partition) for partition in range(source.partitions))
        return [consumer.get_watermark_offsets(place, _TIMEOUT_S) for place in places]
    finally:
        consumer.close()


def _until(consumer: Consumer, end: int) -> Iterator[Message]:
    # Up to the end as it was at the start: a topic that is written to all the time never reports that it has ended.
    # Where markers of transactions are its last offsets, the report comes, or a message behind them. A report before
    # that end is of an open transaction of another owner: what a predecessor committed behind it has to be waited for.
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
            if (message.offset() or 0) >= end:
                return
        else:
            raise KafkaException(error)


def decoded(kafka: Mapping[str, Any], codec: Codec, source: Topic, tail: int | None = None) -> Iterator[Any]:
    """The events of the last `tail` messages (all, if None); what can't be decoded is left out."""
    for message in messages(kafka, source, tail):
        event = _decode(codec, source, message.value())
        if event is not None:
            yield event


def _decode(codec: Codec, source: Topic, value: bytes | None) -> Any:
    try:
        return codec.decode(source, value)
    except UndecodableError:
        return None  # its projection dead-letters it


def ends(kafka: Mapping[str, Any], names: Iterable[str]) -> dict[Place, int]:
    """The present end of each partition of some topics, open transactions with it."""
    return {
        Place(name, partition): high
        for name in names
        for partition, (_, high) in enumerate(_watermarks(kafka, topic(name)))
    }


def _last_offsets(kafka: Mapping[str, Any], names: Iterable[str]) -> dict[Place, int]:
    last: dict[Place, int] = {}
    for name in names:
        for message in messages(kafka, topic(name), _MARKER_TAIL):
            last[Place(name, message.partition() or 0)] = message.offset() or 0
    return last


def committed(kafka: Mapping[str, Any], group_id: str, places: list[Place]) -> dict[Place, int]:
    """The offset at which a group goes on in each place; none where it has committed none.

    Raises LogUnavailableError, and LostLogError where a log ends before what was committed.
    """
    consumer = Consumer({**kafka, "group.id": group_id, "enable.auto.commit": False})
    starts: dict[Place, int] = {}
    try:
        with unavailable():
            found = consumer.committed([TopicPartition(p.topic, p.partition) for p in places], _TIMEOUT_S)
            for entry in found:
                if entry.offset >= 0:
                    place = (entry.topic, entry.partition)
                    bounds = consumer.get_watermark_offsets(entry, _TIMEOUT_S)
                    mend = group_reset(group_id, place)
                    starts[Place(*place)] = resumed(WORKER, place, entry.offset, bounds, mend=mend)
    finally:
        consumer.close()
    return starts
