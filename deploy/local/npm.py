"""Fetches a locked npm project with `npm ci`, which checks each package against the integrity hash in the lock file."""

import shutil
import subprocess
from pathlib import Path

from deploy.local import wheel
from deploy.local.part import unavailable
from deploy.local.progress import Progress

LIMIT_S = 600


def fetch(part: str, project: Path, stage: Path, progress: Progress) -> None:
    """Copies the files of `project` to `stage` and installs its dependencies there, without running their scripts.

    Raises PartUnavailableError, PrerequisiteMissingError, InterruptedStartError.
    """
    progress.fetching(part, 0, 2)
    for file in project.iterdir():
        if file.is_file():
            shutil.copyfile(file, stage / file.name)
    cache = stage / ".npm"
    command = [str(wheel.node()), str(wheel.npm()), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    command += ["--cache", str(cache)]
    try:
        done = subprocess.run(command, cwd=stage, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise unavailable(part, f"`npm ci` did not end within {LIMIT_S} s") from error
    if done.returncode:
        raise unavailable(part, "`npm ci` says: " + "; ".join(done.stderr.strip().splitlines()[:3]))
    shutil.rmtree(cache, ignore_errors=True)
    progress.fetching(part, 1, 2)
