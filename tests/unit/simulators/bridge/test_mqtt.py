"""Names and addresses of `hcp bridge mqtt`."""

import pytest

from schemas.catalog import topic
from simulators.bridge.mqtt import Broker, Place, place
from simulators.error import ConfigurationError


@pytest.mark.parametrize(
    ("name", "found"),
    [
        pytest.param("hcp/grid.prices/HB_WEST", Place(topic("grid.prices"), "HB_WEST"), id="topic and key"),
        pytest.param("hcp/telemetry.asic/a/b", Place(topic("telemetry.asic"), "a/b"), id="a key with a slash"),
        pytest.param("hcp/grid.prices/", None, id="no key"),
        pytest.param("hcp/grid.prices", None, id="nothing behind"),
        pytest.param("hcp/audit.events/x", None, id="a topic of the workers"),
        pytest.param("other/grid.prices/HB_WEST", None, id="another prefix"),
    ],
)
def test_a_message_s_topic_names_topic_and_key(name: str, found: Place | None) -> None:
    assert place(name) == found


@pytest.mark.parametrize(
    ("url", "found"),
    [
        pytest.param("mqtt://host", Broker("host", 1883, has_tls=False, user=None, password=None), id="plain"),
        pytest.param("mqtts://u:p%40s@host:99", Broker("host", 99, has_tls=True, user="u", password="p@s"), id="TLS"),
    ],
)
def test_a_url_is_a_broker(url: str, found: Broker) -> None:
    assert Broker.parse(url) == found


@pytest.mark.parametrize("url", ["", "host:1883", "http://host", "mqtt://", "mqtt://host:99999"])
def test_a_bad_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^HCP_BRIDGE_MQTT_URL"):
        Broker.parse(url)
