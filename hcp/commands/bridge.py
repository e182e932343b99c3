"""`hcp bridge`: real devices and systems in place of the simulated ones; each bridge is a worker in the foreground."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import typer
from aiohttp import ClientSession

from hcp import console, metrics_page, settings
from schemas.catalog import Topic
from schemas.registry import Registry
from simulators.bridge import api_key, http_endpoint, source_list
from simulators.bridge import gpus as gpu_source
from simulators.bridge import miners as miner_source
from simulators.bridge.delivery import Delivery
from simulators.bridge.http_endpoint import EndpointConfig, HttpEndpoint
from simulators.bridge.intake import INPUT_TOPICS, Intake
from simulators.bridge.poll import Poller, PollPolicy

Source = Callable[[Intake, asyncio.Event], Awaitable[None]]

_INTERVAL: float = typer.Option(10.0, "--interval", min=0.1, help="How often each is asked, s.")
_TIMEOUT: float = typer.Option(5.0, "--timeout", min=0.01, help="How long an answer is waited for, s.")
_BACK_OFF: float = typer.Option(300.0, "--back-off", min=0, help="How long one that fails is left alone at most, s.")
_AT_ONCE: int = typer.Option(64, "--at-once", min=1, help="How many are asked at the same time.")

app = typer.Typer(no_args_is_help=True, help=__doc__)


@app.command()
def key(
    name: str = typer.Argument(help="Who will hold the key, e.g. site-a."),
    topics: str = typer.Option(..., help="Topics that it may write, comma separated; * for all that take events."),
) -> None:
    """Make an API key for `hcp bridge http`: the key is for the sender, the entry for HCP_BRIDGE_API_KEYS."""
    made, entry = api_key.make(name, topics)
    console.out.print(f"key    {made}\nentry  {entry}", markup=False, soft_wrap=True)


@app.command()
def http() -> None:
    """Take events over HTTP: POST /v1/topics/TOPIC, one JSON object or a line each, answered when Kafka has them.

    Senders show their key as `Authorization: Bearer KEY`. Address, keys and limits are the settings HCP_BRIDGE_*.
    """
    config = settings.load()
    found = api_key.parse(config.bridge_api_keys.get_secret_value())
    endpoint = EndpointConfig(config.bridge_host, config.bridge_port, found, config.bridge_body_bytes)

    async def serve(intake: Intake, stop: asyncio.Event) -> None:
        server = HttpEndpoint(endpoint, intake)
        await server.start()
        console.say(f"{intake.worker}: http://{endpoint.host}:{server.port}/v1/topics/TOPIC for {len(found)} keys")
        await server.serve(stop)

    _run(config, http_endpoint.WORKER, INPUT_TOPICS, serve, timeout_s=config.bridge_delivery_s)


@app.command()
def miners(
    file: Path = typer.Argument(help="CSV of miners, with the columns named below."),  # noqa: B008
    interval_s: float = _INTERVAL,
    timeout_s: float = _TIMEOUT,
    back_off_s: float = _BACK_OFF,
    at_once: int = _AT_ONCE,
) -> None:
    """Ask miners over the cgminer API (port 4028) and put their readings on telemetry.asic.

    FILE has the columns host, port, device_id, facility_id, resource_group_id, and joule_per_th, by which power is
    estimated where a firmware does not say it. Read are Antminers (stock, LuxOS, Braiins), Whatsminers, Sealminers.
    """
    found = source_list.miners(file)
    policy = PollPolicy(interval_s, timeout_s, back_off_s, at_once)

    async def serve(intake: Intake, stop: asyncio.Event) -> None:
        console.say(f"{intake.worker}: asks {len(found)} miners every {interval_s:g} s")
        await Poller(intake, policy).run([miner_source.source(miner) for miner in found], stop)

    _run(settings.load(), miner_source.WORKER, (miner_source.ASIC,), serve)


@app.command()
def dcgm(  # noqa: PLR0917 - typer reads options from the parameters
    file: Path = typer.Argument(help="CSV of exporters: url, facility_id, resource_group_id."),  # noqa: B008
    workload_label: str | None = typer.Option(None, help="Label whose value is the workload's id, e.g. pod."),
    interval_s: float = _INTERVAL,
    timeout_s: float = _TIMEOUT,
    back_off_s: float = _BACK_OFF,
    at_once: int = _AT_ONCE,
) -> None:
    """Ask dcgm-exporters for their pages and put a reading of each GPU on telemetry.gpu; its device_id is the UUID."""
    found = source_list.exporters(file)
    policy = PollPolicy(interval_s, timeout_s, back_off_s, at_once)

    async def serve(intake: Intake, stop: asyncio.Event) -> None:
        console.say(f"{intake.worker}: asks {len(found)} exporters every {interval_s:g} s")
        async with ClientSession() as session:
            sources = [gpu_source.source(exporter, session, workload_label) for exporter in found]
            await Poller(intake, policy).run(sources, stop)

    _run(settings.load(), gpu_source.WORKER, (gpu_source.GPU,), serve)


@app.command()
def mqtt() -> None:
    """Take events from the MQTT broker HCP_BRIDGE_MQTT_URL: topics hcp/TOPIC/KEY, one JSON object a message.

    A message is acknowledged when Kafka has its event; what is refused goes to dead.TOPIC. The broker keeps messages of
    QoS 1 while the bridge is away, for the client id hcp-bridge-INSTANCE (HCP_INSTANCE). Needs the extra `mqtt`.
    """
    # Read with the command that needs it: its client is an extra.
    from simulators.bridge import mqtt as mqtt_source  # noqa: PLC0415

    config = settings.load()
    if config.bridge_mqtt_url is None:
        raise settings.SettingsError("HCP_BRIDGE_MQTT_URL is not set: mqtt://USER:PASSWORD@HOST:PORT")
    broker = mqtt_source.Broker.parse(config.bridge_mqtt_url.get_secret_value())

    async def serve(intake: Intake, stop: asyncio.Event) -> None:
        console.say(f"{intake.worker}: {mqtt_source.PREFIX}/+/# of {broker.host}:{broker.port}")
        await mqtt_source.MqttBridge(broker, f"hcp-bridge-{config.instance}", intake).run(stop)

    _run(config, mqtt_source.WORKER, INPUT_TOPICS, serve)


def _run(
    config: settings.Settings, worker: str, topics: Sequence[Topic], source: Source, *, timeout_s: float = 0
) -> None:
    """Runs a bridge until Ctrl-C or SIGTERM; `timeout_s` 0 waits for Kafka, however long it is away."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    metrics_page.serve(config, worker)
    delivery = Delivery(
        config.kafka_client_config(), worker, timeout_s=timeout_s, queue_events=config.bridge_queue_events
    )
    intake = Intake(Registry(config.schema_registry_url), delivery, topics)
    try:
        asyncio.run(_until_stopped(intake, source))
    finally:
        left = intake.close()
    console.say(f"{worker}: stopped" + (f", {left} events were not acknowledged" if left else ""))


async def _until_stopped(intake: Intake, source: Source) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    learning = asyncio.ensure_future(intake.learn_schemas())
    stopping = asyncio.ensure_future(stop.wait())
    # A registry that is away is waited for, but not against Ctrl-C.
    await asyncio.wait((learning, stopping), return_when=asyncio.FIRST_COMPLETED)
    if not learning.done():
        learning.cancel()
        return
    learning.result()
    try:
        await source(intake, stop)
    finally:
        stopping.cancel()
