"""API keys of `hcp bridge http`."""

import hashlib

import pytest

from simulators.bridge import api_key
from simulators.bridge.intake import INPUT_TOPICS
from simulators.error import ConfigurationError


def entry(name: str, key: str, topics: str) -> str:
    """An entry of the setting."""
    return f"{name}:{hashlib.sha256(key.encode()).hexdigest()}:{topics}"


KEYS = api_key.parse(f"{entry('site-a', 'first', 'grid.prices,telemetry.asic')}\n{entry('all', 'second', '*')}")


def test_a_key_is_for_its_topics_and_a_star_for_all_that_take_events() -> None:
    assert [(key.name, key.topics) for key in KEYS] == [
        ("site-a", frozenset({"grid.prices", "telemetry.asic"})),
        ("all", frozenset(topic.name for topic in INPUT_TOPICS)),
    ]


def test_what_the_workers_write_takes_no_events_from_outside() -> None:
    names = {topic.name for topic in INPUT_TOPICS}
    assert "workloads.requests" in names
    assert not names & {"workloads.routed", "workloads.transitions", "fleet.windows", "audit.events"}
    assert not [name for name in names if name.startswith(("allocations.", "economics."))]


@pytest.mark.parametrize(
    ("header", "name"),
    [
        pytest.param("Bearer first", "site-a", id="first"),
        pytest.param("bearer second", "all", id="second, scheme in lower case"),
        pytest.param("Bearer third", None, id="unknown key"),
        pytest.param("Basic first", None, id="other scheme"),
        pytest.param("Bearer", None, id="no key"),
        pytest.param("", None, id="empty"),
        pytest.param(None, None, id="no header"),
        pytest.param("Bearer \udcff", None, id="bytes that are not text"),
    ],
)
def test_a_header_names_the_holder_of_its_key(header: str | None, name: str | None) -> None:
    found = api_key.holder(KEYS, header)
    assert (found and found.name) == name


def test_a_made_key_opens_its_entry() -> None:
    key, made = api_key.make("site-b", "market.ticks")
    found = api_key.holder(api_key.parse(made), f"Bearer {key}")
    assert found is not None
    assert (found.name, found.topics) == ("site-b", frozenset({"market.ticks"}))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "has no key", id="empty"),
        pytest.param("a:123:*", "'a': expected NAME:SHA256:TOPIC", id="not a hash"),
        pytest.param(entry("a", "k", ""), "'a': expected NAME:SHA256:TOPIC", id="no topic"),
        pytest.param(entry("a", "k", "audit.events"), "a: audit.events takes no events from outside", id="ours"),
        pytest.param(f"{entry('a', 'k', '*')} {entry('a', 'l', '*')}", "a is there twice", id="twice"),
    ],
)
def test_a_bad_setting_is_named(text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as found:
        api_key.parse(text)
    assert "HCP_BRIDGE_API_KEYS" in str(found.value)
    assert hashlib.sha256(b"k").hexdigest() not in str(found.value)
