"""HTTP for senders: POST /v1/topics/{topic} with one JSON event, or lines of them; answered when Kafka has them.

    200  all are on the topic                     401, 403  no key, or not for this topic
    422  none is: each bad line is named          404       no such topic
    429  none is: too many wait, try again later  413       too large
    503  not all are: send the same again; an event without an event_id gets the same one again

/health says whether Kafka answers, /metrics is Prometheus'.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from schemas.catalog import Topic
from schemas.event_line import EncodedEvent, RefusedLine
from simulators.bridge import api_key
from simulators.bridge.api_key import ApiKey
from simulators.bridge.error import BusyError, NotDeliveredError, TooLargeError
from simulators.bridge.intake import INPUT_TOPICS, Intake
from simulators.error import ConfigurationError

WORKER = "bridge-http"
_RETRY_AFTER = {"Retry-After": "2"}
_REFUSALS_SHOWN = 100
_TOPICS = {topic.name: topic for topic in INPUT_TOPICS}


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """Where to listen, for whom, and how large a request's body may be, in bytes."""

    host: str
    port: int
    keys: Sequence[ApiKey]
    body_bytes: int


class HttpEndpoint:
    """Serves until it is told to stop; `port` is known once `start` is done."""

    def __init__(self, config: EndpointConfig, intake: Intake) -> None:
        self._config = config
        self._intake = intake
        app = web.Application(client_max_size=config.body_bytes)
        app.router.add_post("/v1/topics/{topic}", self._post)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", _metrics)
        self._runner = web.AppRunner(app, access_log=None)
        self.port = 0

    async def start(self) -> None:
        """Listens. Raises ConfigurationError where the address can't be used."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._config.host, self._config.port, reuse_address=True)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigurationError(
                f"{self._config.host}:{self._config.port} can't be listened on: {error}"
            ) from error
        self.port = self._runner.addresses[0][1]

    async def serve(self, stop: asyncio.Event) -> None:
        """Serves until `stop`; requests that are being answered are answered."""
        try:
            await stop.wait()
        finally:
            await self._runner.cleanup()

    async def _post(self, request: web.Request) -> web.Response:
        key = api_key.holder(self._config.keys, request.headers.get("Authorization"))
        if key is None:
            return _problem(401, "a known API key is needed", headers={"WWW-Authenticate": "Bearer"})
        topic = _TOPICS.get(request.match_info["topic"])
        if topic is None:
            return _problem(404, f"no such topic for events from outside; there are: {', '.join(sorted(_TOPICS))}")
        if topic.name not in key.topics:
            return _problem(403, f"the key {key.name!r} is not for {topic.name}")
        return await self._taken(topic, request)

    async def _taken(self, topic: Topic, request: web.Request) -> web.Response:
        try:
            body = (await request.read()).decode()
        except web.HTTPRequestEntityTooLarge:
            return _problem(413, f"a body has {self._config.body_bytes} bytes at most")
        except UnicodeDecodeError as error:
            return _problem(422, f"not UTF-8: {error}")
        # Lines end at \n alone: JSON text may hold the other line ends that splitlines() knows.
        lines = [body] if request.content_type == "application/json" else body.split("\n")
        verdicts = await self._intake.checked(topic, lines)
        refused = [verdict for verdict in verdicts if isinstance(verdict, RefusedLine)]
        if refused or not verdicts:
            return _refusal(refused)
        return await self._delivered(topic, [event for event in verdicts if isinstance(event, EncodedEvent)])

    async def _delivered(self, topic: Topic, events: Sequence[EncodedEvent]) -> web.Response:
        try:
            await self._intake.delivery.deliver(topic, events)
        except TooLargeError as error:
            return _problem(413, str(error))
        except BusyError as error:
            return _problem(429, str(error), headers=_RETRY_AFTER)
        except NotDeliveredError as error:
            return _problem(503, str(error), headers=_RETRY_AFTER)
        return web.json_response({"delivered": len(events)})

    async def _health(self, _request: web.Request) -> web.Response:
        is_up = self._intake.delivery.is_up
        return web.json_response({"kafka": is_up}, status=200 if is_up else 503)


async def _metrics(_request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _problem(status: int, reason: str, *, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": reason}, status=status, headers=headers)


def _refusal(refused: Sequence[RefusedLine]) -> web.Response:
    if not refused:
        return _problem(422, "no event: the body is empty")
    errors = [
        {"line": line.line, "field": line.field, "rule": line.reason.removeprefix(f"{line.field}: ")}
        for line in refused[:_REFUSALS_SHOWN]
    ]
    return web.json_response({"error": f"{len(refused)} lines are refused, none is sent", "errors": errors}, status=422)
