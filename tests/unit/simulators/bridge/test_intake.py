"""Dead letters of what was never on a topic."""

from hypothesis import given
from hypothesis import strategies as st

from schemas import dead_letter
from schemas.catalog import topic
from schemas.dead_letter import STAGE_DECODE, DeadLetter
from simulators.bridge.intake import letter

ASIC = topic("telemetry.asic")


def refused(key: str, content: bytes) -> DeadLetter:
    """The letter of bytes that are not an event."""
    return letter("bridge-mqtt", ASIC, key, content, stage=STAGE_DECODE, reason="not JSON")


@given(st.text(), st.binary())
def test_a_letter_reads_back_with_its_bytes_and_the_same_bytes_are_the_same_letter(key: str, content: bytes) -> None:
    made = refused(key, content)
    assert dead_letter.parse(made.key, made.value, made.headers) == made == refused(key, content)
    assert made.value == content
    assert 0 <= made.offset < 2**63


def test_other_bytes_or_another_source_are_another_letter() -> None:
    assert len({refused("a", b"x").id, refused("b", b"x").id, refused("a", b"y").id}) == 3
