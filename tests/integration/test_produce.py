"""`hcp produce` and `hcp tail` on a real broker and registry."""

import json
from typing import Any

import pytest

from tests.agents_world import World
from tests.hcp_command import hcp

pytestmark = pytest.mark.integration


def price(usd: Any = 25.0, minute: int = 0, **changes: Any) -> str:
    """A line of JSON for grid.prices."""
    at = f"2026-01-01T12:{minute:02d}:00Z"
    whole = {
        "settlement_point": "HB_WEST",
        "market": "REAL_TIME",
        "observed_at": at,
        "interval_start": at,
        "interval_s": 300,
        "price_usd_mwh": usd,
    }
    return json.dumps({**whole, **changes})


MIXED = "\n".join(
    [price(20), "", "nonsense", price("dear", 5), price(30, 10), price(40, 15, interval_s=0), price(1, x=1)]
)


def test_good_lines_go_and_each_bad_one_is_named_with_its_field_and_reason(world: World) -> None:
    done = hcp(world, "produce", "grid.prices", stdin=MIXED)
    assert done.returncode == 1
    assert [event.price_usd_mwh for event in world.events("grid.prices")] == [20.0, 30.0]
    assert done.stderr.splitlines() == [
        "error: line 3: not JSON: Expecting value: line 1 column 1 (char 0)",
        "error: line 4: price_usd_mwh: Expected `float`, got `str`",
        "error: line 6: interval_s: must be more than zero, got 0",
        "error: line 7: x: not a field of GridPrice",
        "2 events produced to grid.prices, 4 lines refused",
    ]


def test_with_all_or_nothing_one_bad_line_keeps_back_all(world: World) -> None:
    assert hcp(world, "produce", "grid.prices", "--all-or-nothing", stdin=MIXED).returncode == 1
    assert world.events("grid.prices") == []
    good = "\n".join(price(k, k) for k in range(50))
    assert hcp(world, "produce", "grid.prices", "--all-or-nothing", stdin=good).returncode == 0
    assert [event.price_usd_mwh for event in world.events("grid.prices")] == [float(k) for k in range(50)]


def test_a_dry_run_produces_nothing(world: World) -> None:
    done = hcp(world, "produce", "grid.prices", "--dry-run", stdin=price())
    assert (done.returncode, done.stderr.strip()) == (0, "1 events could be produced to grid.prices, 0 lines refused")
    assert world.events("grid.prices") == []


def test_the_same_line_twice_is_the_same_event_and_a_given_id_is_kept(world: World) -> None:
    lines = [
        price(20),
        json.dumps(dict(reversed(json.loads(price(20)).items()))),
        price(21),
        price(20, event_id="mine"),
    ]
    assert hcp(world, "produce", "grid.prices", stdin="\n".join(lines)).returncode == 0
    one, same, other, given = (event.event_id for event in world.events("grid.prices"))
    assert one == same != other
    assert given == "mine"


def test_what_tail_prints_can_be_produced_again(world: World) -> None:
    assert hcp(world, "produce", "grid.prices", stdin="\n".join(price(k, k) for k in range(5))).returncode == 0
    shown = hcp(world, "tail", "grid.prices", "-n", "2").stdout
    assert [json.loads(line)["price_usd_mwh"] for line in shown.splitlines()] == [3.0, 4.0]
    assert hcp(world, "produce", "grid.prices", stdin=shown).returncode == 0
    assert world.values("grid.prices")[5:] == world.values("grid.prices")[3:5]


def test_tail_shows_the_newest_of_a_key(world: World) -> None:
    lines = [price(k, k, settlement_point=("HB_WEST", "HB_NORTH")[k % 2]) for k in range(9)]
    assert hcp(world, "produce", "grid.prices", stdin="\n".join(lines)).returncode == 0
    shown = hcp(world, "tail", "grid.prices", "--key", "HB_NORTH", "-n", "3").stdout
    assert [json.loads(line)["price_usd_mwh"] for line in shown.splitlines()] == [3.0, 5.0, 7.0]


def test_tail_shows_what_does_not_decode_with_its_place(world: World) -> None:
    world.send_raw("grid.prices", b"\x07junk", [])
    (line,) = hcp(world, "tail", "grid.prices").stdout.splitlines()
    found = json.loads(line)
    assert (found["offset"], found["key"], found["value_hex"]) == (0, "raw", b"\x07junk".hex())
    assert "no Confluent header" in found["error"]


@pytest.mark.parametrize("arguments", [("dead.grid.prices",), ("grid.prices", "--dead")])
def test_tail_shows_dead_letters_with_their_headers(world: World, arguments: tuple[str, ...]) -> None:
    world.send_raw("dead.grid.prices", b"\x07junk", [("__connect.errors.exception.message", b"no header")])
    (line,) = hcp(world, "tail", *arguments).stdout.splitlines()
    found = json.loads(line)
    assert found["headers"] == [["__connect.errors.exception.message", "no header"]]
    assert (found["event"], found["value_hex"]) == (None, b"\x07junk".hex())


def test_an_unknown_topic_is_refused_with_those_that_there_are(world: World) -> None:
    for verb in ("produce", "tail"):
        refused = hcp(world, verb, "weather", stdin="")
        assert refused.returncode == 1
        assert "unknown topic 'weather'; known topics: allocations.commands" in refused.stderr
