"""The newest events of a few topics, kept up to date by a thread: what the live view of `hcp demo` shows."""

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition

from schemas import events
from schemas.catalog import TOPICS, topic
from schemas.codec import Codec, UndecodableError
from schemas.registry import Registry, RegistryError

_FOLLOWED = ("allocations.decisions", "economics.profitability", "market.ticks", "grid.prices")
_TIMEOUT_S = 5.0


@dataclass(slots=True)
class Seen:
    """What has been seen so far; written by the tail thread, read by the view. Fields are replaced, not changed."""

    decisions: deque[events.AllocationDecision] = field(default_factory=lambda: deque(maxlen=6))
    latest_decision: dict[str, events.AllocationDecision] = field(default_factory=dict)
    profitability: dict[str, events.Profitability] = field(default_factory=dict)
    ticks: dict[str, events.MarketTick] = field(default_factory=dict)
    prices: dict[str, events.GridPrice] = field(default_factory=dict)
    first_decision_s: float | None = None
    error: str | None = None


class StreamTail:
    """Follows topics from their present end. `rates` gives events a second by topic since it was last called."""

    def __init__(self, kafka: Mapping[str, Any], registry_url: str, started_at: float) -> None:
        self.seen = Seen()
        self._kafka = {**kafka, "group.id": "hcp-live-view", "enable.auto.commit": False}
        self._codec = Codec(Registry(registry_url))
        self._started_at = started_at
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="stream-tail", daemon=True)
        self._offsets = Consumer(dict(self._kafka))
        self._last: dict[str, int] = {}
        self._last_at = 0.0

    def start(self) -> None:
        """Starts to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Stops and waits for the thread."""
        self._stop.set()
        self._thread.join()
        self._offsets.close()

    def rates(self) -> dict[str, tuple[int, float]]:
        """Returns per topic the events in the log and the events a second since the last call."""
        now = time.monotonic()
        ends: dict[str, int] = {}
        for entry in TOPICS:
            total = 0
            for partition in range(entry.partitions):
                try:
                    low, high = self._offsets.get_watermark_offsets(TopicPartition(entry.name, partition), _TIMEOUT_S)
                except KafkaException:
                    return {}
                total += high - low
            ends[entry.name] = total
        elapsed = now - self._last_at
        rates = {name: (end, (end - self._last.get(name, end)) / elapsed) for name, end in ends.items()}
        self._last, self._last_at = ends, now
        return rates

    def _follow(self) -> None:
        consumer = Consumer({**self._kafka, "isolation.level": "read_committed"})
        consumer.assign(
            [TopicPartition(name, p, OFFSET_END) for name in _FOLLOWED for p in range(topic(name).partitions)]
        )
        while not self._stop.is_set():
            message = consumer.poll(0.2)
            if message is None or message.error() is not None:
                continue
            try:
                self._take(self._codec.decode(topic(message.topic() or ""), message.value()))
            except (UndecodableError, RegistryError) as error:
                self.seen.error = str(error)
        consumer.close()

    def _take(self, event: object) -> None:
        seen = self.seen
        match event:
            case events.AllocationDecision():
                if seen.first_decision_s is None:
                    seen.first_decision_s = time.monotonic() - self._started_at
                seen.decisions.appendleft(event)
                seen.latest_decision = {**seen.latest_decision, event.facility_id: event}
            case events.Profitability():
                seen.profitability = {**seen.profitability, event.facility_id: event}
            case events.MarketTick():
                seen.ticks = {**seen.ticks, event.instrument: event}
            case events.GridPrice():
                if event.market is events.GridMarket.REAL_TIME:
                    seen.prices = {**seen.prices, event.settlement_point: event}
