"""Runs `hcp` as a user does, against the log of one test."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import IO, Any

from hcp.event_log import EventLog
from schemas.catalog import topic
from tests.agents_world import ROOT, World

LIMIT_S = 300.0


def environment(world: World) -> dict[str, str]:
    """Settings of a process that uses the log of the test."""
    return {**os.environ, **world.environment, "HCP_METRICS_PORT": "0"}


def hcp(world: World, *arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "hcp", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(world),
        timeout=LIMIT_S,
        check=False,
    )


@dataclass(frozen=True, slots=True)
class RunningHcp:
    """A command in the background. Its stderr is a file: it may say more than a pipe that nobody reads would take."""

    process: subprocess.Popen[bytes]
    said: IO[bytes]

    @property
    def talk(self) -> str:
        """All of its stderr so far."""
        return os.pread(self.said.fileno(), os.fstat(self.said.fileno()).st_size, 0).decode()

    def ended_by(self, signal: Signals) -> int:
        """Sends the signal and returns the exit status."""
        self.process.send_signal(signal)
        return self.process.wait(LIMIT_S)


@contextmanager
def running_hcp(world: World, *arguments: str) -> Iterator[RunningHcp]:
    """Starts a command in the background; kills it at the end."""
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            [sys.executable, "-m", "hcp", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            cwd=ROOT,
            env=environment(world),
        ) as process,
    ):
        try:
            yield RunningHcp(process, said)
        finally:
            process.kill()


def so_far(world: World, name: str) -> list[Any]:
    """The events of a topic that others still write to: up to its end as it is now."""
    log = EventLog(world.kafka, name)
    try:
        return [world.codec.decode(topic(name), message.value()) for message in log.newest(10**6, None)]
    finally:
        log.close()
