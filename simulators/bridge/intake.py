"""What a source says, checked against schema and rules, and on its topic or set aside: the core of every bridge.

Checks run in one thread of their own, so that a large batch does not hold up the event loop.
"""

import asyncio
import hashlib
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from schemas import metric
from schemas.catalog import TOPICS, Topic
from schemas.dead_letter import REASON_CHARACTERS, DeadLetter
from schemas.event_line import EncodedEvent, EventLines, RefusedLine
from schemas.registry import Registry, RegistryUnavailableError
from simulators.bridge.delivery import EVENT_BYTES, Delivery

INPUT_TOPICS: tuple[Topic, ...] = tuple(
    topic
    for topic in TOPICS
    if topic.name.partition(".")[0] in {"telemetry", "market", "network", "grid", "registry"}
    or topic.name == "workloads.requests"
)
"""Topics that the world outside writes. The others belong to the workers: what they count once must stay theirs."""

REFUSED_ERROR = "InvalidEventError"
"""Class of the error in the dead letter of what a bridge refused."""

_TOGETHER = 1_000
_REGISTRY_AGAIN_S = 1.0
_LOG = logging.getLogger(__name__)


class Intake:
    """Checks and delivers what comes from outside to some topics. Used from one event loop."""

    def __init__(self, registry: Registry, delivery: Delivery, topics: Iterable[Topic]) -> None:
        self.delivery = delivery
        self.worker = delivery.worker
        self._registry = registry
        self._topics = tuple(topics)
        self._lines = {topic.name: EventLines(topic, registry) for topic in self._topics}
        self._checks = ThreadPoolExecutor(1, "bridge-checks")

    async def learn_schemas(self) -> None:
        """Asks the registry for all schemas that the checks need, and waits for it while it is away.

        Raises UnknownSchemaError where one is not registered.
        """
        registry_up = metric.DEPENDENCY_UP.labels(self.worker, "registry")
        for topic in self._topics:
            while True:
                try:
                    schema_id = await asyncio.to_thread(self._registry.schema_id, topic)
                    await asyncio.to_thread(self._registry.writer_schema, schema_id)
                except RegistryUnavailableError as error:
                    registry_up.set(0)
                    _LOG.warning("waiting for the registry: %s", error)
                    await asyncio.sleep(_REGISTRY_AGAIN_S)
                else:
                    registry_up.set(1)
                    break

    async def checked(self, topic: Topic, lines: Sequence[str]) -> list[EncodedEvent | RefusedLine]:
        """Returns the verdict on each line that is not blank, in order; lines are numbered from 1.

        Raises the registry's errors, only where `learn_schemas` was not called.
        """
        check = self._lines[topic.name].checked
        found = await asyncio.get_running_loop().run_in_executor(self._checks, lambda: list(check(lines, _TOGETHER)))
        metric.EVENTS_IN.labels(self.worker, topic.name).inc(len(found))
        refused = sum(isinstance(verdict, RefusedLine) for verdict in found)
        metric.BRIDGE_REFUSED.labels(self.worker, topic.name).inc(refused)
        return found

    async def refuse(self, topic: Topic, key: str, content: bytes, *, stage: str, reason: str) -> None:
        """Sets bytes aside that can't become an event of the topic; returns once Kafka has them."""
        _LOG.warning("%s %s: %s", topic.name, key, reason[:REASON_CHARACTERS])
        await self.delivery.set_aside(letter(self.worker, topic, key, content, stage=stage, reason=reason))

    def close(self) -> int:
        """Ends the checks and the producer; returns the number of events that Kafka did not acknowledge."""
        self._checks.shutdown()
        return self.delivery.close()


def letter(worker: str, topic: Topic, key: str, content: bytes, *, stage: str, reason: str) -> DeadLetter:
    """Returns the dead letter of bytes that were never on a topic, cut to what a message takes.

    Its offset is made of key and bytes: the same ones again are the same letter.
    """
    digest = hashlib.sha256(key.encode() + b"\0" + content).digest()
    return DeadLetter(
        topic=topic.name,
        partition=0,
        offset=int.from_bytes(digest[:7]),
        key=key.encode(),
        value=content[:EVENT_BYTES],
        original_headers=[],
        worker=worker,
        stage=stage,
        error=REFUSED_ERROR,
        reason=reason,
    )
