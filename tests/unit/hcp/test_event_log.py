"""The log is read in spite of a broker that elects its leaders."""

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from hcp import event_log
from hcp.event_log import EventLog


class Electing:
    """Stands for a consumer whose broker refuses a few times."""

    def __init__(self, refusals: int, code: int) -> None:
        self.refusals, self.code = refusals, code

    def get_watermark_offsets(self, _partition: Any, _timeout: float) -> tuple[int, int]:
        if self.refusals:
            self.refusals -= 1
            raise KafkaException(KafkaError(self.code))
        return 3, 7


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> EventLog:
    monkeypatch.setattr(event_log, "_BACKOFF_S", (0.0, 0.0))
    return EventLog({"bootstrap.servers": "127.0.0.1:1"}, "grid.prices")


def asked(log: EventLog, consumer: Electing) -> tuple[int, int]:
    log._consumer = consumer  # type: ignore[assignment]
    return log._watermarks("partition")  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE])
def test_an_election_is_waited_for(log: EventLog, code: int) -> None:
    assert asked(log, Electing(2, code)) == (3, 7)


@pytest.mark.parametrize(
    ("refusals", "code"), [(3, KafkaError.NOT_LEADER_FOR_PARTITION), (1, KafkaError.TOPIC_AUTHORIZATION_FAILED)]
)
def test_what_does_not_pass_is_raised(log: EventLog, refusals: int, code: int) -> None:
    with pytest.raises(KafkaException):
        asked(log, Electing(refusals, code))
