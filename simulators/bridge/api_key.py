"""Who may send what over HTTP: API keys, known by their SHA-256 only, each limited to topics.

An entry is `NAME:SHA256:TOPIC,TOPIC`, or `*` for all topics that take events from outside; entries are separated by
blanks or line ends. A key is long and random, so a plain hash of it can't be guessed back.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from simulators.bridge.intake import INPUT_TOPICS
from simulators.error import ConfigurationError

KEY_BYTES = 32
_SHA256 = re.compile(r"[0-9a-f]{64}")
_KNOWN = frozenset(topic.name for topic in INPUT_TOPICS)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A sender's name, the SHA-256 of its key (hex), and the topics that it may write."""

    name: str
    sha256: str
    topics: frozenset[str]


def parse(text: str) -> tuple[ApiKey, ...]:
    """Returns the keys of a setting. Raises ConfigurationError, which names the entry but never shows its hash."""
    keys = tuple(_key(entry) for entry in text.split())
    if not keys:
        raise ConfigurationError("HCP_BRIDGE_API_KEYS has no key: `hcp bridge key NAME --topics …` makes one")
    names = [key.name for key in keys]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(f"HCP_BRIDGE_API_KEYS: {', '.join(twice)} is there twice")
    return keys


def holder(keys: Sequence[ApiKey], authorization: str | None) -> ApiKey | None:
    """Returns whose key an `Authorization` header carries, None where it is nobody's.

    All keys are compared, each in constant time: how long it takes says nothing of them.
    """
    scheme, _, presented = (authorization or "").partition(" ")
    digest = hashlib.sha256(presented.strip().encode(errors="replace")).hexdigest()
    found = [key for key in keys if hmac.compare_digest(key.sha256, digest)]
    return found[0] if found and scheme.lower() == "bearer" else None


def make(name: str, topics: str) -> tuple[str, str]:
    """Returns a new key and its entry. Raises ConfigurationError for a bad name or topic."""
    key = secrets.token_urlsafe(KEY_BYTES)
    entry = f"{name}:{hashlib.sha256(key.encode()).hexdigest()}:{topics}"
    parse(entry)
    return key, entry


def _key(entry: str) -> ApiKey:
    name, _, rest = entry.partition(":")
    sha256, _, topics = rest.partition(":")
    if not name or not _SHA256.fullmatch(sha256.lower()) or not topics:
        raise ConfigurationError(
            f"HCP_BRIDGE_API_KEYS: {name!r}: expected NAME:SHA256:TOPIC,TOPIC, or * for all topics"
        )
    allowed = _KNOWN if topics == "*" else frozenset(topics.split(","))
    unknown = sorted(allowed - _KNOWN)
    if unknown:
        raise ConfigurationError(
            f"HCP_BRIDGE_API_KEYS: {name}: {', '.join(unknown)} takes no events from outside; "
            f"these do: {', '.join(sorted(_KNOWN))}"
        )
    return ApiKey(name, sha256.lower(), allowed)
