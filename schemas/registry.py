"""The schema registry as the codec needs it: ids, the schemas behind them, and the compatibility gate."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from schemas.catalog import Topic

_NOT_FOUND = 404
_CONFLICT = 409
_AGAIN_S = (0.2, 1.0)


class RegistryError(Exception):
    """Base of what can go wrong with the registry."""


class RegistryUnavailableError(RegistryError):
    """The registry does not answer: wait and try again."""


class IncompatibleSchemaError(RegistryError):
    """The registry refuses the schema; the message carries its reasons."""


class UnknownSchemaError(RegistryError):
    """The registry has no schema of that id or subject; asking again will not help."""


@dataclass(frozen=True, slots=True)
class Incompatibility:
    """Why the registry refuses a schema: `reasons` are its own words, one per broken rule."""

    subject: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.subject}: " + "; ".join(self.reasons)

    def error(self) -> IncompatibleSchemaError:
        """Returns it as an exception."""
        return IncompatibleSchemaError(str(self))


class Registry:
    """A Confluent-compatible registry. Answers about ids are cached for ever: an id never changes its meaning.

    Not shared between processes; safe to use from several threads.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = SchemaRegistryClient({"url": url, "timeout": 10, "max.retries": 2})
        self._ids: dict[str, int] = {}
        self._writer_schemas: dict[int, dict[str, Any]] = {}

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def schema_id(self, topic: Topic) -> int:
        """Returns the id of the topic's current schema.

        Raises UnknownSchemaError where it is not registered (the mend is `hcp schemas register`), and
        RegistryUnavailableError.
        """
        if topic.name not in self._ids:
            with _translated(f"{topic.subject}: schema is not registered; run `hcp schemas register`"):
                found = self._client.lookup_schema(topic.subject, _avro(topic), False)
            self._ids[topic.name] = _schema_id(found.schema_id)
        return self._ids[topic.name]

    def writer_schema(self, schema_id: int) -> dict[str, Any]:
        """Returns the schema behind an id, as parsed JSON. Raises UnknownSchemaError and RegistryUnavailableError."""
        if schema_id not in self._writer_schemas:
            with _translated(f"no schema has the id {schema_id}"):
                found = self._client.get_schema(schema_id)
            self._writer_schemas[schema_id] = json.loads(found.schema_str or "null")
        return self._writer_schemas[schema_id]

    def register(self, topic: Topic) -> int:
        """Sets the subject's compatibility, registers its schema and returns the id; doing it again changes nothing.

        Raises IncompatibleSchemaError with the registry's reason.
        """
        with _translated(f"{topic.subject}: cannot be registered"):
            self._client.set_compatibility(topic.subject, topic.compatibility)
            self._ids[topic.name] = self._client.register_schema(topic.subject, _avro(topic), False)
        return self._ids[topic.name]

    def check(self, topic: Topic) -> Incompatibility | None:
        """Returns why the topic's schema may not replace those registered, None where it may (or none is)."""
        with _translated(topic.subject):
            if not self._has_versions(topic.subject):
                return None
            self._client.set_compatibility(topic.subject, topic.compatibility)
            verdict = self._compatibility(topic)
        if verdict["is_compatible"]:
            return None
        reasons = verdict.get("messages") or [self._refusal(topic)]
        return Incompatibility(topic.subject, tuple(reasons))

    def _refusal(self, topic: Topic) -> str:
        # Apicurio says only yes or no when it is asked, and why when it refuses. It has just said that it would.
        try:
            self._client.register_schema(topic.subject, _avro(topic), False)
        except SchemaRegistryError as error:
            if error.http_status_code == _CONFLICT:
                return str(error.error_message).rpartition("RuleViolationException: ")[2]
            raise
        raise RegistryError(f"{topic.subject}: the registry called the schema incompatible, then took it")

    def _compatibility(self, topic: Topic) -> dict[str, Any]:
        # The client answers with a bare bool; the reasons come only from the verbose call itself.
        request = urllib.request.Request(  # noqa: S310 - the registry's own URL, from the settings
            f"{self.url}/compatibility/subjects/{topic.subject}/versions?verbose=true",
            data=json.dumps({"schema": topic.schema_text, "schemaType": "AVRO"}).encode(),
            headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
        )
        for wait_s in _AGAIN_S:
            try:
                return _answer(request)
            except ConnectionError:
                # It took the question and hung up, as a server does that has much to do; asking changes nothing.
                time.sleep(wait_s)
        return _answer(request)

    def _has_versions(self, subject: str) -> bool:
        try:
            return bool(self._client.get_versions(subject))
        except SchemaRegistryError as error:
            if error.http_status_code == _NOT_FOUND:
                return False
            raise


def _avro(topic: Topic) -> Schema:
    return Schema(topic.schema_text, "AVRO")


def _answer(request: urllib.request.Request) -> dict[str, Any]:
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - see where it is made
        found: dict[str, Any] = json.load(answer)
    return found


def _schema_id(value: int | None) -> int:
    if value is None:
        raise UnknownSchemaError("the registry answered without a schema id")
    return value


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except SchemaRegistryError as error:
        if error.http_status_code == _NOT_FOUND:
            raise UnknownSchemaError(what) from error
        if error.http_status_code == _CONFLICT:
            raise IncompatibleSchemaError(f"{what}: {error.error_message}") from error
        raise RegistryUnavailableError(f"{what}: {error}") from error
    except OSError as error:
        raise RegistryUnavailableError(f"{what}: registry does not answer: {error}") from error
