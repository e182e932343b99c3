"""How a projection worker's Kafka client is set, in librdkafka's names."""

import logging
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)


def consumer_settings(kafka: Mapping[str, Any], worker: str, memory_mb: int) -> dict[str, Any]:
    """Returns the settings of the consumer of a worker that may have so many MB in flight."""
    return {
        **kafka,
        "group.id": worker,
        "enable.auto.commit": False,
        # Where to begin is always said: see `schemas.log_position`.
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "partition.assignment.strategy": "cooperative-sticky",
        # The shortest that brokers allow by default: so long is a partition without an owner after a kill -9.
        # Heartbeats come from the client's own thread, which no batch holds up.
        "session.timeout.ms": 6_000,
        "heartbeat.interval.ms": 1_500,
        "fetch.wait.max.ms": 50,
        # What is fetched ahead is a part of the memory too; small messages cost more than their bytes. And what is read
        # soon is still in the processor's cache: with 50,000 reading took a tenth more of its time.
        "queued.min.messages": 20_000,
        # The default, 1 s, leaves the worker without messages after each full queue.
        "fetch.queue.backoff.ms": 5,
        "queued.max.messages.kbytes": max(1_024, memory_mb * 1_024 // 16),
        "logger": log,
    }
