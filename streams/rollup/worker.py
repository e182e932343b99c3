"""The rollup worker: readings to windows, exactly once. `streams.rollup.session` has the protocol."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException

from schemas.backoff import Backoff
from schemas.catalog import Topic, topic
from schemas.registry import Registry, RegistryUnavailableError
from streams.rollup.partition import WORKER
from streams.rollup.session import RollupSession
from streams.rollup.source import SOURCES, Source

OUTPUT = topic("fleet.windows")


@dataclass(frozen=True, slots=True)
class RollupConfig:
    """How the worker runs.

    `kafka` has librdkafka names. `instance` names the transactional id: a second worker with the same number takes
    over from the first. `batch` is the most messages handled at once, which bounds memory.
    """

    kafka: Mapping[str, Any]
    registry_url: str
    instance: int = 0
    window_s: int = 15
    grace_s: int = 15
    max_ahead_s: int = 3600
    batch: int = 50_000
    group_id: str = "hcp-rollup"
    output: Topic = OUTPUT
    sources: tuple[Source, ...] = SOURCES


def run(config: RollupConfig, stop: threading.Event) -> None:
    """Runs until `stop` is set; waits with backoff while the broker or the registry is away.

    Raises UnknownSchemaError where the schemas are not registered, and LostLogError.
    """
    registry = Registry(config.registry_url)
    backoff = Backoff(WORKER, "from the committed offsets")
    while not stop.is_set():
        session: RollupSession | None = None
        try:
            session = RollupSession(config, registry)
            while not stop.is_set():
                session.step()
                backoff.succeeded()
            session.finish()
        except (KafkaException, RegistryUnavailableError) as error:
            # The session's memory is worth nothing now; the next one starts from what is committed.
            down = "registry" if isinstance(error, RegistryUnavailableError) else "kafka"
            backoff.wait(stop, down, error)
        finally:
            if session is not None:
                session.close()
