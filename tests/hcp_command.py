"""Runs `hcp` as a user does, against the log of one test."""

import os
import subprocess
import sys
from pathlib import Path

from tests.agents_world import ROOT, World

LIMIT_S = 120.0


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


def start_hcp(world: World, *arguments: str) -> subprocess.Popen[str]:
    """Starts a command in the background; its talk goes to its stderr pipe."""
    return subprocess.Popen(
        [sys.executable, "-m", "hcp", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(world),
    )
