"""The projection worker: topics to the tables of one store, exactly once. `projections.session` has the protocol."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from projections.error import FencedError, UnavailableError
from projections.gathering import GatherPolicy
from projections.session import ProjectionSession
from projections.sink import Sink
from projections.table import Table
from schemas import metric
from schemas.backoff import Backoff
from schemas.catalog import Topic, topic
from schemas.registry import Registry, RegistryUnavailableError

MEMORY_MB = 256
DEAD_LETTER_LIMIT = 0.5


@dataclass(frozen=True, slots=True)
class ProjectionConfig:
    """How the worker runs.

    `kafka` has librdkafka names. `worker` names the consumer group, the offsets and the metrics. `sink` opens the
    store: it is called for every session. `memory_mb` bounds what is in flight, whatever the backlog. `topics` gives
    topics other names and `catalog` says what they carry, for tests. `dead_letter_limit` is the share of bad events at
    which the worker stops; 1 never. `gather` makes batches larger and slower. `has_log_columns` gives rows their place
    in the log (`projections.log_column`).
    """

    kafka: Mapping[str, Any]
    registry_url: str
    worker: str
    sink: Callable[[], Sink]
    tables: tuple[Table, ...]
    memory_mb: int = MEMORY_MB
    dead_letter_limit: float = DEAD_LETTER_LIMIT
    topics: Mapping[str, str] | None = None
    catalog: Callable[[str], Topic] = topic
    gather: GatherPolicy | None = None
    has_log_columns: bool = False


def run(config: ProjectionConfig, stop: threading.Event) -> None:
    """Runs until `stop` is set; waits with backoff while a dependency is away. A stop finishes the batches in hand.

    Raises FencedError where another worker has taken over what this one was at, TooManyDeadError, LostLogError, and
    ProjectionError where the store does not fit the tables.
    """
    registry = Registry(config.registry_url)
    backoff = Backoff(config.worker, "from the stored offsets")
    try:
        while not stop.is_set():
            session: ProjectionSession | None = None
            try:
                session = ProjectionSession(config, registry)
                while not stop.is_set():
                    session.step()
                    if session.has_work:
                        backoff.succeeded()
                session.finish()
            except (KafkaException, RegistryUnavailableError, UnavailableError) as error:
                backoff.wait(stop, _dependency(error), error, _mend(error))
            except FencedError:
                metric.FENCED.labels(config.worker).inc()
                raise
            finally:
                if session is not None:
                    session.close()
    finally:
        registry.close()


def _mend(error: Exception) -> str:
    is_unknown = isinstance(error, KafkaException) and error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    return "; `hcp schemas register` creates the topics" if is_unknown else ""


def _dependency(error: Exception) -> str:
    match error:
        case KafkaException():
            return "kafka"
        case UnavailableError():
            return error.dependency
        case _:
            return "registry"
