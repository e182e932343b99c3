"""The archive worker on the real stack: dead letters, a store that is away, and who may write."""

import signal
import threading
from pathlib import Path

import pytest

from projections.sinks.parquet import ParquetSink
from tests.archive_world import DEADLINE_S, ArchiveWorld
from tests.rollup_world import reading

pytestmark = pytest.mark.integration

ASIC = "telemetry.asic"


def send(world: ArchiveWorld, first: int, following: int) -> None:
    for number in range(first, following):
        world.world.send_event(ASIC, reading(number))
    world.world.flush()


def offsets(world: ArchiveWorld) -> list[int]:
    return sorted(world.rows_of(ASIC)["_offset"])


def await_output(world: ArchiveWorld, words: str) -> None:
    for _ in range(int(DEADLINE_S * 20)):
        if words in world.output.read_text():
            return
        threading.Event().wait(0.05)
    pytest.fail(f"the worker does not say {words!r}, but:\n{world.output.read_text()}")


def test_rows_have_their_place_in_the_log_and_bad_records_are_not_among_them(archive_world: ArchiveWorld) -> None:
    send(archive_world, 0, 1)
    archive_world.world.send(ASIC, b"\x00bad")
    send(archive_world, 2, 3)
    archive_world.world.send_event(ASIC, reading(3), partition=2)
    archive_world.world.flush()
    archive_world.start()
    archive_world.await_following(ASIC, 4)
    rows = archive_world.rows_of(ASIC).sort("_partition", "_offset")
    assert rows.select("_partition", "_offset", "_key", "observed_at").rows() == [
        (0, 0, b"key", reading(0).observed_at),
        (0, 2, b"key", reading(2).observed_at),
        (2, 0, b"key", reading(3).observed_at),
    ]
    assert rows["_timestamp"].null_count() == 0


def test_a_store_that_is_away_stops_the_work_and_loses_nothing(archive_world: ArchiveWorld) -> None:
    send(archive_world, 0, 30)
    archive_world.start()
    archive_world.await_following(ASIC, 30)
    root = Path(archive_world.url.removeprefix("file://"))
    away = root.rename(root.with_name("away"))
    root.write_text("not a folder")
    send(archive_world, 30, 60)
    await_output(archive_world, "starting again from the stored offsets")
    root.unlink()
    away.rename(root)
    send(archive_world, 60, 70)
    archive_world.await_following(ASIC, 70)
    assert offsets(archive_world) == list(range(70))
    assert archive_world.end(signal.SIGTERM) == 0


def test_a_worker_whose_partition_another_one_claimed_stops(archive_world: ArchiveWorld) -> None:
    send(archive_world, 0, 10)
    archive_world.start()
    archive_world.await_following(ASIC, 10)
    place = (archive_world.world.topics[ASIC].name, 0)
    assert ParquetSink(archive_world.archive.store, "other").claim({place: 0})[place].next_offset == 10
    send(archive_world, 10, 40)
    assert archive_world.processes.pop(0).wait(DEADLINE_S) != 0
    assert "another worker has claimed it; this one stops" in archive_world.output.read_text()
    assert offsets(archive_world) == list(range(10))
    archive_world.start()
    archive_world.await_following(ASIC, 40)
    assert offsets(archive_world) == list(range(40))
