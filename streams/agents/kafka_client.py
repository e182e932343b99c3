"""Faust's and aiokafka's Kafka clients from a librdkafka configuration, reading committed events only."""

import ssl
from collections.abc import Mapping
from typing import Any

import aiokafka
import faust
from aiokafka.errors import IllegalStateError
from faust.transport.drivers.aiokafka import (
    AIOKafkaConsumerThread,
    Consumer,
    Transport,
    credentials_to_aiokafka_auth,
)
from faust.types import TP
from faust.types.auth import CredentialsT

from streams.agents.error import ConfigurationError


class ReadCommittedThread(AIOKafkaConsumerThread):
    """A consumer that never sees events of an aborted transaction.

    Faust ties that to its own transactions, which are not used here: its producer would have to be the one that writes.
    """

    def _create_worker_consumer(self, transport: Transport) -> aiokafka.AIOKafkaConsumer:
        self.consumer.in_transaction = True
        try:
            return super()._create_worker_consumer(transport)
        finally:
            self.consumer.in_transaction = False


class ReadCommittedConsumer(Consumer):
    """Faust's consumer on that thread."""

    def _new_consumer_thread(self) -> ReadCommittedThread:
        return ReadCommittedThread(self, loop=self.loop, beacon=self.beacon)

    async def unread(self, place: TP, position: int) -> int:
        """How far behind a partition's end its reader is, whose next offset is `position`.

        Markers of transactions are offsets that no message stands for: once all that was handed over has been handled,
        the client is behind them. Faust counts from the offset sought, then from the last one handed over.
        """
        try:
            if self._read_offset[place] in {position - 1, position}:
                position = max(position, await self.position(place) or 0)
            return max((self.highwater(place) or 0) - position, 0)
        except IllegalStateError:
            return 0  # given to another worker just now


class ReadCommittedTransport(Transport):
    """Faust's transport with that consumer."""

    Consumer = ReadCommittedConsumer


def broker_urls(kafka: Mapping[str, Any]) -> list[str]:
    """Faust's URLs of the brokers. Raises ConfigurationError where there are none."""
    servers = str(kafka.get("bootstrap.servers", ""))
    if not servers:
        raise ConfigurationError("bootstrap.servers is not set")
    return [f"aiokafka://{server.strip()}" for server in servers.split(",")]


def credentials(kafka: Mapping[str, Any]) -> CredentialsT | None:
    """Faust's credentials. Raises ConfigurationError for a protocol or mechanism that it does not have."""
    protocol = kafka.get("security.protocol", "PLAINTEXT")
    context = _ssl_context(kafka) if protocol in {"SSL", "SASL_SSL"} else None
    match protocol:
        case "PLAINTEXT":
            return None
        case "SSL":
            return faust.SSLCredentials(context=context)
        case "SASL_PLAINTEXT" | "SASL_SSL":
            return faust.SASLCredentials(
                username=kafka.get("sasl.username"),
                password=kafka.get("sasl.password"),
                mechanism=kafka.get("sasl.mechanism", "PLAIN"),
                ssl_context=context,
            )
        case _:
            raise ConfigurationError(f"security.protocol {protocol!r} is not supported")


def producer_settings(kafka: Mapping[str, Any]) -> dict[str, Any]:
    """Connection settings of an aiokafka producer."""
    servers = [server.strip() for server in str(kafka["bootstrap.servers"]).split(",")]
    return {"bootstrap_servers": servers, **credentials_to_aiokafka_auth(credentials(kafka))}


def _ssl_context(kafka: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=kafka.get("ssl.ca.location"))
    certificate = kafka.get("ssl.certificate.location")
    if certificate:
        context.load_cert_chain(certificate, kafka.get("ssl.key.location"))
    return context
