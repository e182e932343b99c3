"""The forecast worker: reads all power prices and publishes what is to be expected from each new one on.

It keeps nothing and commits nothing: it reads `grid.prices` from the oldest price on whenever it starts, and publishes
for the newest price of each settlement point once it has caught up. A price's forecast has an id of that price, so one
that is published twice, by a restart or a second worker, is one to all who read it. Points that have a day-ahead market
need none. What can't be decoded or breaks a rule is left out; its projection has made a dead letter of it.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import polars as pl
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from schemas import metric
from schemas.backoff import Backoff
from schemas.catalog import topic
from schemas.codec import Codec
from schemas.columnar import ColumnarDecoder
from schemas.events import GridMarket, GridPrice, PriceForecast
from schemas.registry import Registry, RegistryUnavailableError
from schemas.reject import ROW
from schemas.rule import accepted, violations
from streams.domain.forecast.forecaster import Forecaster

log = logging.getLogger(__name__)

WORKER = "forecast"
INPUT = topic("grid.prices")
OUTPUT = topic("grid.forecasts")
_BATCH = 10_000
_POLL_S = 0.2
_REQUEST_S = 10.0
_DELIVERY_S = 30.0
_SHOW_EVERY_S = 1.0
_MAX_AHEAD_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class ForecastConfig:
    """How the worker runs. `kafka` has librdkafka names."""

    kafka: Mapping[str, Any]
    registry_url: str


def run(config: ForecastConfig, stop: threading.Event) -> None:
    """Runs until `stop` is set; waits with backoff while the broker or the registry is away.

    Raises UnknownSchemaError where the schemas are not registered.
    """
    registry = Registry(config.registry_url)
    backoff = Backoff(WORKER, "from the oldest price")
    while not stop.is_set():
        session: ForecastSession | None = None
        try:
            session = ForecastSession(config, registry)
            while not stop.is_set():
                session.step()
                backoff.succeeded()
        except (KafkaException, RegistryUnavailableError) as error:
            down = "registry" if isinstance(error, RegistryUnavailableError) else "kafka"
            backoff.wait(stop, down, error)
        finally:
            if session is not None:
                session.close()


class _Points:
    """What is known of each settlement point and length of intervals; one with a day-ahead price is not forecast."""

    def __init__(self) -> None:
        # By the length as well, so that one price of another length does not end the history of the others.
        self._forecasters: defaultdict[tuple[str, int], Forecaster] = defaultdict(Forecaster)
        self._with_auction: set[str] = set()
        self._told: dict[tuple[str, int], str] = {}

    def add(self, price: GridPrice) -> None:
        if price.market is GridMarket.DAY_AHEAD:
            self._with_auction.add(price.settlement_point)
        elif price.settlement_point not in self._with_auction:
            self._forecasters[price.settlement_point, price.interval_s].add(price)

    def due(self) -> list[PriceForecast]:
        """The forecasts of the prices that are new since they were asked for last."""
        found = []
        for key, forecaster in sorted(self._forecasters.items(), key=itemgetter(0)):
            newest = forecaster.newest
            if key[0] in self._with_auction or newest is None or self._told.get(key) == newest.event_id:
                continue
            self._told[key] = newest.event_id
            forecast = forecaster.forecast()
            if forecast is not None:
                found.append(forecast)
        return found


class ForecastSession:
    """One consumer and one producer. Any KafkaException out of it means: close it and make another."""

    def __init__(self, config: ForecastConfig, registry: Registry) -> None:
        self._codec = Codec(registry)
        self._decoder = ColumnarDecoder(INPUT, registry)
        self._points = _Points()
        self._failed: KafkaError | None = None
        self._shown_at = 0.0
        registry.schema_id(OUTPUT)
        self._consumer = Consumer(
            {
                **config.kafka,
                # Never joined, and nothing is committed to it.
                "group.id": "hcp-forecast",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                "logger": log,
            }
        )
        self._producer = Producer(
            {
                **config.kafka,
                "enable.idempotence": True,
                "linger.ms": 5,
                "compression.type": "lz4",
                "partitioner": "murmur2_random",
                "logger": log,
            }
        )
        partitions = self._consumer.list_topics(INPUT.name, _REQUEST_S).topics[INPUT.name].partitions
        self._unread = set(partitions)
        self._next: dict[int, int] = {}
        self._consumer.assign([TopicPartition(INPUT.name, number, OFFSET_BEGINNING) for number in partitions])
        for dependency in ("kafka", "registry"):
            metric.DEPENDENCY_UP.labels(WORKER, dependency).set(1)

    def step(self) -> None:
        """Takes what has come within a fifth of a second, and forecasts from it once all there was has been read.

        Raises KafkaException and RegistryUnavailableError.
        """
        messages = self._consumer.consume(_BATCH, _POLL_S)
        with metric.PROCESSING_SECONDS.labels(WORKER).time():
            self._take(self._prices(messages))
            if not self._unread:
                self._publish(self._points.due())
        if time.monotonic() - self._shown_at >= _SHOW_EVERY_S:
            self._shown_at = time.monotonic()
            self._show_lag()

    def close(self) -> None:
        """Leaves the broker."""
        self._consumer.close()

    def _prices(self, messages: Sequence[Message]) -> list[Message]:
        found = []
        for message in messages:
            error = message.error()
            if error is None:
                self._next[message.partition() or 0] = (message.offset() or 0) + 1
                found.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name for the end
                # Behind the markers of transactions, which no message stands for.
                self._next[message.partition() or 0] = message.offset() or 0
                self._unread.discard(message.partition() or 0)
            else:
                raise KafkaException(error)
        return found

    def _take(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        frame = self._decoder.decode([message.value() for message in messages]).frame
        frame = accepted(frame, violations(INPUT.event_class, frame))
        arrived = pl.Series([message.timestamp()[1] for message in messages], dtype=pl.Int64).gather(frame[ROW])
        # A price of a clock that is far ahead would be the newest for as long.
        frame = frame.filter(frame["observed_at"].dt.epoch("ms") <= arrived + _MAX_AHEAD_MS).drop(ROW)
        for row in frame.iter_rows(named=True):
            self._points.add(GridPrice(**{**row, "market": GridMarket(row["market"])}))
        metric.EVENTS_IN.labels(WORKER, INPUT.name).inc(len(messages))
        if not frame.is_empty():
            metric.EVENT_TIME.labels(WORKER, INPUT.name).set(frame["observed_at"].max().timestamp())  # type: ignore[union-attr]

    def _publish(self, forecasts: Sequence[PriceForecast]) -> None:
        if not forecasts:
            return
        for forecast in forecasts:
            value = self._codec.encode(OUTPUT, forecast)
            self._producer.produce(OUTPUT.name, value, forecast.settlement_point.encode(), on_delivery=self._delivered)
        left = self._producer.flush(_DELIVERY_S)
        if self._failed is not None or left:
            raise KafkaException(self._failed or KafkaError(KafkaError._TIMED_OUT, "forecasts were not delivered"))  # noqa: SLF001
        metric.EVENTS_OUT.labels(WORKER, OUTPUT.name).inc(len(forecasts))
        for forecast in forecasts:
            for score in forecast.scores:
                loss = metric.FORECAST_LOSS.labels(forecast.settlement_point, score.method)
                loss.set(score.pinball_loss_usd_mwh)

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        self._failed = error or self._failed

    def _show_lag(self) -> None:
        for number, position in self._next.items():
            # Asked for, not remembered: a price comes once an hour, and a broker that is gone would not be missed.
            _, end = self._consumer.get_watermark_offsets(TopicPartition(INPUT.name, number), _REQUEST_S)
            metric.LAG_EVENTS.labels(WORKER, INPUT.name, str(number)).set(max(0, end - position))
