"""Polling many sources, each on its own: none that is slow, silent or talks nonsense holds up another.

A source is asked every `interval_s`; one that fails is left alone twice as long each time, up to `back_off_s`. While
Kafka is away each source waits with the events of its last poll, so nothing piles up.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from schemas import metric
from schemas.catalog import Topic
from schemas.dead_letter import STAGE_DECODE, STAGE_RULE
from schemas.event_line import EncodedEvent, RefusedLine
from simulators.bridge.error import BridgeError, BusyError, NotDeliveredError
from simulators.bridge.intake import Intake

_BUSY_S = 0.1
_LOG = logging.getLogger(__name__)

Event = Mapping[str, Any]
"""An event as JSON has it."""


class UnreadableError(BridgeError):
    """A source answered with what can't become an event; `content` is what it said."""

    def __init__(self, content: bytes, reason: str) -> None:
        super().__init__(reason)
        self.content = content


@dataclass(frozen=True, slots=True)
class PollPolicy:
    """How often, how long, how many at once."""

    interval_s: float
    timeout_s: float
    back_off_s: float
    at_once: int

    def wait_s(self, failures: int) -> float:
        """Returns how long a source is left alone that has failed so many times in a row."""
        return min(self.interval_s * 2.0 ** min(failures, 30), max(self.back_off_s, self.interval_s))


@dataclass(frozen=True, slots=True)
class Source:
    """Something that is asked. `read` returns what it says at a time, and the events in it.

    `read` raises OSError or TimeoutError where the source does not answer, and UnreadableError.
    """

    name: str
    topic: Topic
    read: Callable[[datetime], Awaitable[tuple[bytes, Sequence[Event]]]]


class Poller:
    """Asks sources until it is told to stop."""

    def __init__(self, intake: Intake, policy: PollPolicy) -> None:
        self._intake = intake
        self._policy = policy
        self._turns = asyncio.Semaphore(policy.at_once)

    async def run(self, sources: Sequence[Source], stop: asyncio.Event) -> None:
        """Asks all sources until `stop`. Raises DeliveryError where the producer is unusable."""
        tasks = [asyncio.ensure_future(self._watch(source)) for source in sources]
        stopping = asyncio.ensure_future(stop.wait())
        # A source never ends but by an error that is not its own.
        done, running = await asyncio.wait((stopping, *tasks), return_when=asyncio.FIRST_COMPLETED)
        for task in running:
            task.cancel()
        await asyncio.wait((stopping, *tasks))
        for task in done:
            task.result()

    async def _watch(self, source: Source) -> None:
        failures = 0
        failure: str | None = None
        while True:
            try:
                failure, is_useless = await self._polled(source, failure)
            except NotDeliveredError as error:
                metric.BRIDGE_POLLS.labels(self._intake.worker, "undelivered").inc()
                failure, is_useless = str(error), True
            failures = failures + 1 if is_useless else 0
            await asyncio.sleep(self._policy.wait_s(failures))

    async def _polled(self, source: Source, before: str | None) -> tuple[str | None, bool]:
        """Asks once; returns why it failed, None where it did not, and whether nothing good came of it.

        A source that goes on to fail as it did `before` is counted, not set aside and logged over and over.
        """
        polls = metric.BRIDGE_POLLS
        worker = self._intake.worker
        try:
            async with self._turns, asyncio.timeout(self._policy.timeout_s):
                content, events = await source.read(datetime.now(UTC))
        except (OSError, TimeoutError) as error:
            polls.labels(worker, "unreachable").inc()
            reason = f"does not answer: {error or type(error).__name__}"
            if reason != before:
                _LOG.warning("%s: %s", source.name, reason)
            return reason, True
        except UnreadableError as error:
            polls.labels(worker, "unreadable").inc()
            if str(error) != before:
                await self._set_aside(source, error.content, STAGE_DECODE, str(error))
            return str(error), True
        verdicts = await self._intake.checked(source.topic, [json.dumps(event) for event in events])
        good = [verdict for verdict in verdicts if isinstance(verdict, EncodedEvent)]
        await self._deliver(source.topic, good)
        refused = [verdict for verdict in verdicts if isinstance(verdict, RefusedLine)]
        if refused:
            polls.labels(worker, "unreadable").inc()
            reason = "; ".join(f"{events[line.line - 1].get('device_id')}: {line.reason}" for line in refused)
            if reason != before:
                await self._set_aside(source, content, STAGE_RULE, reason)
            return reason, not good
        polls.labels(worker, "ok").inc()
        if before is not None:
            _LOG.warning("%s: answers again", source.name)
        return None, False

    async def _set_aside(self, source: Source, content: bytes, stage: str, reason: str) -> None:
        await self._intake.refuse(source.topic, source.name, content, stage=stage, reason=reason)

    async def _deliver(self, topic: Topic, events: Sequence[EncodedEvent]) -> None:
        while events:
            try:
                await self._intake.delivery.deliver(topic, events)
            except BusyError:
                await asyncio.sleep(_BUSY_S)
            else:
                return
