"""Runs `hcp` as a user does, against the log of one test."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


@contextmanager
def running_hcp(world: World, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Starts a command in the background, its talk in its stderr pipe; kills it at the end."""
    with subprocess.Popen(
        [sys.executable, "-m", "hcp", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(world),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def so_far(world: World, name: str) -> list[Any]:
    """The events of a topic that others still write to: up to its end as it is now."""
    log = EventLog(world.kafka, name)
    try:
        return [world.codec.decode(topic(name), message.value()) for message in log.newest(10**6, None)]
    finally:
        log.close()
