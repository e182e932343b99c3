"""`hcp replay` on a real broker and registry."""

import re
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.agents_world import World
from tests.hcp_command import hcp, running_hcp, so_far

pytestmark = pytest.mark.integration

START = datetime(2026, 1, 1, tzinfo=UTC)
TO_TICKS = ("--topic", "market.ticks", "--map", "observed_at=time,price_usd=close", "--set", "instrument=BTC-USD")


def _a_file(folder: Path, closes: list[str]) -> Path:
    file = folder / "btc.csv"
    rows = [f"{(START + timedelta(minutes=k)).isoformat()},{close},me" for k, close in enumerate(closes)]
    file.write_text("\n".join(["time,close,source", *rows]))
    return file


def test_a_replay_names_bad_rows_and_gives_the_same_events_again(world: World, tmp_path: Path) -> None:
    file = _a_file(tmp_path, ["90000", "free", "90001", "-1"])
    once = hcp(world, "replay", file, *TO_TICKS)
    assert once.returncode == 1
    assert once.stderr.splitlines() == [
        f"error: {file}:3: price_usd: expected a number, got 'free'",
        f"error: {file}:5: price_usd: must be more than zero, got -1.0",
        "2 events produced to market.ticks, 2 rows refused",
    ]
    assert hcp(world, "replay", file, *TO_TICKS, "--skip-bad").returncode == 0
    first, second, *again = world.events("market.ticks")
    assert (first.price_usd, second.price_usd) == (90000.0, 90001.0)
    assert again == [first, second]


def test_a_replay_that_is_stopped_says_from_where_it_goes_on(world: World, tmp_path: Path) -> None:
    file = _a_file(tmp_path, [str(90_000 + k) for k in range(1000)])
    with running_hcp(world, "replay", str(file), *TO_TICKS, "--speed", "600") as command:
        world.wait(lambda: so_far(world, "market.ticks"), bool)
        assert command.ended_by(signal.SIGINT) == 130
        talk = command.talk
    goes_on = re.search(r"--from (\S+) goes on", talk)
    assert goes_on is not None, talk
    assert hcp(world, "replay", file, *TO_TICKS, "--from", goes_on[1]).returncode == 0
    assert [event.price_usd for event in world.events("market.ticks")] == [90_000.0 + k for k in range(1000)]
