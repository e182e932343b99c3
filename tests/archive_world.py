"""An archive of one test in a folder of its own, and the worker as a process, over the topics of a projection world.

`python -m tests.archive_world BROKER REGISTRY URL GROUP ROWS AGE_S FILE_ROWS TOPIC=NAME …` runs the worker.
"""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import polars as pl
import pytest

from projections.archive import Archive
from projections.archive_store import ArchiveStore
from projections.archive_table import archive_table
from projections.gathering import GatherPolicy
from projections.parquet_file import decoded
from projections.sinks.parquet import ParquetSink
from projections.worker import ProjectionConfig, run
from schemas.catalog import topic
from tests.projection_world import ROOT, ProjectionWorld

DEADLINE_S = 120.0


@dataclass(slots=True)
class ArchiveWorld:
    """The archive, and the worker that writes it; every worker is a consumer group of its own.

    So a new one need not wait until the group has missed the one that was killed. Their offsets are the archive's.
    """

    world: ProjectionWorld
    url: str
    output: Path
    rows: int = 20
    age_s: float = 0.1
    file_rows: int = 400
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _groups: Iterator[int] = field(default_factory=count)

    @property
    def archive(self) -> Archive:
        """The archive, opened."""
        return Archive(ArchiveStore(self.url))

    def start(self) -> None:
        """Starts a worker process."""
        stack = self.world.stack
        group = f"{self.world.group_id}.{next(self._groups)}"
        renamed = [f"{name}={entry.name}" for name, entry in self.world.topics.items()]
        arguments = [stack.kafka, stack.registry_url, self.url, group, self.rows, self.age_s, self.file_rows, *renamed]
        with self.output.open("ab") as out:
            command = [sys.executable, "-m", "tests.archive_world", *map(str, arguments)]
            self.processes.append(subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT))

    def end(self, how: signal.Signals) -> int:
        """Ends the oldest worker process and returns its exit status."""
        process = self.processes.pop(0)
        process.send_signal(how)
        return process.wait(DEADLINE_S)

    def following(self, name: str) -> int:
        """The offsets that the archive has reached in the partitions of a topic, added up."""
        kafka_name = self.world.topics[name].name
        archive = self.archive
        return sum(archive.ledger(place).following for place in archive.places([kafka_name]))

    def await_following(self, name: str, offset: int) -> None:
        """Returns when the archive has reached it."""
        deadline = time.monotonic() + DEADLINE_S
        while (seen := self.following(name)) < offset:
            if time.monotonic() > deadline:
                pytest.fail(
                    f"{name}: the archive is at {seen}, not {offset}; the worker said:\n{self.output.read_text()}"
                )
            threading.Event().wait(0.05)

    def rows_of(self, name: str) -> pl.DataFrame:
        """All rows that the archive's logs name of a topic."""
        archive, kafka_name = self.archive, self.world.topics[name].name
        files = [file for place in archive.places([kafka_name]) for file in archive.ledger(place).files.values()]
        return pl.concat([decoded(archive.read(file) or b"") for file in files])


@pytest.fixture
def archive_world(postgres_world: ProjectionWorld, tmp_path: Path) -> Iterator[ArchiveWorld]:
    """An empty archive in a folder."""
    found = ArchiveWorld(postgres_world, f"file://{tmp_path / 'archive'}", tmp_path / "archive.log")
    yield found
    while found.processes:
        found.end(signal.SIGKILL)


def _main() -> None:
    kafka, registry_url, url, group, rows, age_s, file_rows, *renamed = sys.argv[1:]
    topics = dict(pair.split("=") for pair in renamed)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run(
        ProjectionConfig(
            kafka={"bootstrap.servers": kafka},
            registry_url=registry_url,
            worker=group,
            sink=lambda: ParquetSink(ArchiveStore(url), group, int(file_rows)),
            tables=tuple(archive_table(topic(name)) for name in topics),
            topics=topics,
            gather=GatherPolicy(int(rows), float(age_s)),
            has_log_columns=True,
        ),
        stop,
    )


if __name__ == "__main__":
    _main()
