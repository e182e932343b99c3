"""One consumer with one sink, from assignment to the first failure.

Protocol:
 1. On assignment each partition is claimed: the sink gives it a new epoch, which shuts earlier owners out, and says
    where to go on. A partition that the sink does not know starts at the oldest record that Kafka has; one whose log
    ends before that offset, or is of a topic that was made anew, stops the worker (`schemas.log_position`).
 2. A batch, gathered over several reads where the store wants large ones, is decoded, checked and made rows, without
    the sink. What was gathered of a partition that is given away is forgotten.
 3. Dead letters are produced and awaited. (A crash behind this point repeats them: at least once, told apart by the
    source offset in their headers.)
 4. The sink writes the rows and moves the offsets, all or none, and only for this owner's epoch and from where it left
    them. A crash before that is done changes nothing.
 5. Where the store, the broker or the registry is away, everything in memory is forgotten and 1 follows, with backoff:
    so a commit whose answer was lost is not repeated.
 6. Before partitions are given back, what is in hand is applied.
2 and 4 run in threads of their own (`projections.pipeline`); the batches stay in order.
"""

import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaException, TopicPartition

from projections.batch_size import BatchPolicy, BatchSize
from projections.consumer_setting import consumer_settings
from projections.dead_letter_limit import DeadLetterLimit
from projections.dead_letter_producer import DeadLetterProducer
from projections.error import ProjectionError, RefusedError
from projections.gathering import Gathering
from projections.pipeline import AS_READY, TOGETHER, Pipeline
from projections.preparation import Preparation, Prepared, mergeable, of_refused
from projections.raw_batch import RawBatch
from projections.sink import Claim
from projections.table import Mode
from schemas import metric
from schemas.codec import Codec
from schemas.facility_directory import FacilityDirectory
from schemas.log_position import LostLogError, require_same_topic, resumed, topic_ids
from schemas.message_block import Place
from schemas.message_queue import MessageQueue
from schemas.registry import Registry

if TYPE_CHECKING:
    from projections.worker import ProjectionConfig

_POLL_S = 0.05
_AT_ONCE_S = 0.005
"""For what follows a full batch: the last messages of a backlog need not wait for more, nor those before for them."""
_PAUSE_AFTER_S = 1.0
_REQUEST_S = 10.0
_SHOW_EVERY_S = 1.0


class ProjectionSession:
    """Any error out of it means: close it, and make another where that can help."""

    def __init__(self, config: "ProjectionConfig", registry: Registry) -> None:
        self._worker = config.worker
        self._kafka = config.kafka
        names = config.topics or {}
        wanted = sorted({name for table in config.tables for name in table.sources})
        self._sources = {names.get(name, name): config.catalog(name) for name in wanted}
        self._sink = config.sink()
        self._facilities = FacilityDirectory(config.kafka, Codec(registry))
        self._prepare = Preparation(
            self._sources, config.tables, registry, self._worker, self._facilities.knowing,
            encode=self._sink.encode, has_log_columns=config.has_log_columns,
        )  # fmt: skip
        has_keys = all(table.mode is not Mode.APPEND for table in config.tables)
        pipeline = TOGETHER if has_keys else AS_READY
        self._pipeline: Pipeline[RawBatch, Prepared] = Pipeline(self._prepare, self._apply_all, pipeline)
        memory = BatchPolicy(config.memory_mb * 2**20, pipeline)
        self._size = BatchSize(memory)
        self._gathering = Gathering(config.gather, memory)
        self._limit = DeadLetterLimit(config.dead_letter_limit)
        self._owned: dict[Place, Claim] = {}
        self._applied: dict[Place, int] = {}
        self._told: dict[Place, int] = {}
        self._pace_ms: dict[str, float] = {}
        self._failure: Exception | None = None
        self._is_paused = False
        self._is_behind = False
        self._shown_at = 0.0
        self._finished_at = 0.0
        self._letters = DeadLetterProducer(config.kafka)
        self._consumer = Consumer(consumer_settings(config.kafka, self._worker, config.memory_mb))
        self._queue = MessageQueue(self._consumer)
        self._consumer.subscribe(
            list(self._sources), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )
        for dependency in ("kafka", "registry", self._sink.dependency):
            metric.DEPENDENCY_UP.labels(self._worker, dependency).set(1)

    def step(self) -> None:
        """Reads what has come within a twentieth of a second and hands it on; raises what became of earlier batches."""
        if self._pipeline.is_full:
            self._wait()
        else:
            self._poll()
            wanted = self._size.current
            messages = self._queue.take(wanted, _AT_ONCE_S if self._is_behind else _POLL_S)
            self._is_behind = len(messages) == wanted
            if messages:
                self._size.bound(messages.payload_bytes / len(messages))
            self._gathering.add(messages, time.monotonic())
            if self._gathering.is_due(time.monotonic()):
                self._submit()
            self._pipeline.expect(more=self._is_behind)
        self._show_lag_when_due()

    def _poll(self) -> None:
        """Lets the client tell what is no message, such as a rebalance. Raises what went wrong in it, or before."""
        message = self._consumer.poll(0)
        if self._failure is not None:
            raise self._failure
        if message is not None and (error := message.error()) is not None:
            raise KafkaException(error)
        assert message is None, "a message of a partition that was not routed"

    @property
    def has_work(self) -> bool:
        """Whether a batch is in hand, or a part of one."""
        return bool(self._gathering) or not self._pipeline.is_empty

    def finish(self) -> None:
        """Applies what is in hand."""
        while self._pipeline.is_full:
            self._pipeline.wait(_POLL_S)
        self._submit()
        self._pipeline.drain()
        self._tell_kafka()

    def close(self) -> None:
        """Leaves the group, the broker and the store."""
        self._pipeline.close()
        self._queue.close()
        self._consumer.close()
        self._facilities.close()
        self._sink.close()

    def _submit(self) -> None:
        raw = RawBatch.of(self._gathering.take(), self._owned)
        for place, step in raw.steps.items():
            self._owned[place] = Claim(step.following, step.epoch)
        if raw:
            self._pipeline.submit(raw)

    def _wait(self) -> None:
        """Waits for the pipeline. A long wait pauses the partitions, so that the consumer can stay in the group."""
        since = time.monotonic()
        try:
            while self._pipeline.is_full:
                self._pipeline.wait(_POLL_S)
                if not self._is_paused and time.monotonic() - since > _PAUSE_AFTER_S:
                    self._is_paused = True
                    self._consumer.pause(self._consumer.assignment())
                if self._is_paused:
                    self._poll()
                    self._show_lag_when_due()
        finally:
            if self._is_paused:
                self._is_paused = False
                self._consumer.resume(self._consumer.assignment())

    def _apply_all(self, batches: list[Prepared]) -> None:
        """Steps 3 and 4 of the protocol, in the thread that applies. What has waited is written together.

        The batches are taken out of the list: once they are joined, nothing of their rows is needed any more.
        """
        groups = deque(mergeable(batches))
        batches.clear()
        while groups:
            self._apply(self._prepare.joined(groups.popleft()))

    def _apply(self, prepared: Prepared) -> None:
        example = prepared.dead[-1].reason if prepared.dead else ""
        self._limit.observe(len(prepared.raw), len(prepared.dead), example)
        self._letters.begin()
        try:
            self._write(prepared)
        except RefusedError as refusal:
            self._apply_divided(prepared.raw, refusal)
        count = len(prepared.raw)
        now = time.monotonic()
        # While catching up, the time from one batch's end to the next is that of the slowest step, whichever it is.
        self._size.observe(count, now - max(self._finished_at, prepared.began))
        self._finished_at = now
        metric.BATCH_EVENTS.labels(self._worker).observe(count)
        metric.BATCH_LIMIT.labels(self._worker).set(self._size.current)
        metric.PROCESSING_SECONDS.labels(self._worker).observe(time.monotonic() - prepared.began)
        for name, times in prepared.times.items():
            metric.EVENT_TIME.labels(self._worker, name).set(times.newest_ms / 1000)
            self._pace_ms[name] = times.pace_ms

    def _apply_divided(self, raw: RawBatch, refusal: RefusedError) -> None:
        """A row that the store refuses costs only its event: halves are applied by themselves, down to that event."""
        if len(raw) == 1:
            letter = of_refused(raw.messages[0], self._worker, refusal.error, refusal.reason)
            self._limit.observe(0, 1, letter.reason)
            self._write(Prepared(raw, (), (letter,), {}, 0.0))
            return
        for half in raw.halves():
            try:
                self._write(self._prepare(half))
            except RefusedError as inner:
                self._apply_divided(half, inner)

    def _write(self, prepared: Prepared) -> None:
        self._letters.bury(prepared.dead)
        written = self._sink.apply(prepared.rows, prepared.raw.steps)
        for (name, partition), step in prepared.raw.steps.items():
            self._applied[name, partition] = step.following
            metric.APPLIED_OFFSET.labels(self._worker, name, partition).set(step.following)
        for table, count in written.items():
            metric.ROWS_WRITTEN.labels(self._worker, table).inc(count)
        for name, blocks in prepared.raw.by_topic.items():
            metric.EVENTS_IN.labels(self._worker, name).inc(sum(map(len, blocks)))
        for letter in prepared.dead:
            metric.DEAD_LETTERS.labels(self._worker, letter.topic, letter.stage).inc()

    def _show_lag_when_due(self) -> None:
        if time.monotonic() - self._shown_at >= _SHOW_EVERY_S:
            # A broker that is away shows elsewhere.
            with suppress(KafkaException):
                self._show_lag()
            self._tell_kafka()

    def _show_lag(self) -> None:
        self._shown_at = time.monotonic()
        seconds: dict[str, float] = dict.fromkeys(self._sources, 0.0)
        for (name, partition), claim in list(self._owned.items()):
            place = TopicPartition(name, partition)
            # The client learns the end of a log from what it fetches; while it is paused, it has to ask.
            _, high = self._consumer.get_watermark_offsets(place, _SHOW_EVERY_S, cached=not self._is_paused)
            applied = self._applied.get((name, partition), claim.next_offset)
            if applied == claim.next_offset and not self._gathering:
                # Transaction markers take offsets too, which are passed though no record of them was applied.
                applied = max(applied, self._consumer.position([place])[0].offset)
            lag = max(0, high - applied) if high >= 0 else 0
            metric.LAG_EVENTS.labels(self._worker, name, partition).set(lag)
            seconds[name] = max(seconds[name], lag * self._pace_ms.get(name, 0.0) / 1000)
        for name, lag_s in seconds.items():
            metric.LAG_SECONDS.labels(self._worker, name).set(lag_s)

    def _tell_kafka(self) -> None:
        """Commits to the group what is applied, for tools that show its lag; the store's offsets are what counts."""
        new = {place: at for place, at in self._applied.items() if place in self._owned and self._told.get(place) != at}
        if new:
            with suppress(KafkaException):
                offsets = [TopicPartition(*place, at) for place, at in new.items()]
                self._consumer.commit(offsets=offsets)
            self._told |= new

    def _assigned(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        # Step 1. An exception here would be lost in the client's callback.
        try:
            self._pipeline.drain()
            bounds = {
                (place.topic, place.partition): consumer.get_watermark_offsets(place, _REQUEST_S) for place in assigned
            }
            ids = topic_ids(self._kafka, {place.topic for place in assigned})
            claims = self._sink.claim({place: oldest for place, (oldest, _) in bounds.items()}, ids)
            for place, claim in claims.items():
                require_same_topic(self._worker, place, claim.topic_id, ids[place[0]], mend=self._sink.fresh_start)
            starts = [
                TopicPartition(
                    *place,
                    resumed(self._worker, place, claim.next_offset, bounds[place], mend=self._sink.fresh_start),
                )
                for place, claim in claims.items()
            ]
        except (ProjectionError, KafkaException, LostLogError) as error:
            self._failure = error
            return
        self._owned.update(claims)
        self._applied.update({place: claim.next_offset for place, claim in claims.items()})
        self._queue.route(claims)
        consumer.incremental_assign(starts)
        if self._is_paused:
            consumer.pause(starts)

    def _revoked(self, _consumer: Consumer, revoked: list[TopicPartition]) -> None:
        # Step 6.
        places = [(place.topic, place.partition) for place in revoked]
        self._gathering.forget(places)
        self._queue.release(places)
        try:
            self._pipeline.drain()
            self._tell_kafka()
            self._sink.release(places)
        except Exception as error:  # noqa: BLE001 - raised by `step`: an exception here would be lost in the callback
            self._failure = error
        for name, partition in places:
            self._owned.pop((name, partition), None)
            metric.LAG_EVENTS.labels(self._worker, name, partition).set(0)
