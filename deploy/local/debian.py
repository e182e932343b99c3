"""Unpacks a Debian package into a folder, without root and without touching the system.

apt keeps its lists and downloads in a private place, and checks the package against the signed list as always.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from deploy.local.error import PartUnavailableError, PrerequisiteMissingError
from deploy.local.progress import Progress

LIMIT_S = 120


def fetch(part: str, package: str, stage: Path, progress: Progress) -> None:
    """Unpacks `package` of the system's own sources to `stage`.

    Raises PrerequisiteMissingError where there is no apt, PartUnavailableError, InterruptedStartError.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise PrerequisiteMissingError(f"install {package} so that `{package}` is on the PATH, then `hcp up` again")
    progress.fetching(part, 0, 3)
    with tempfile.TemporaryDirectory(dir=stage, prefix=".apt-") as name:
        private = Path(name)
        (private / "state/lists/partial").mkdir(parents=True)
        (private / "cache/archives/partial").mkdir(parents=True)
        # apt drops to its own user where it runs as root, and that user cannot write here.
        options = ["-o", f"Dir::State={private}/state", "-o", f"Dir::Cache={private}/cache"]
        options += ["-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=2"]
        _run(part, ["apt-get", *options, "update"], private)
        progress.fetching(part, 1, 3)
        _run(part, ["apt-get", *options, "download", package], private)
        progress.fetching(part, 2, 3)
        for archive in private.glob("*.deb"):
            _run(part, ["dpkg", "-x", str(archive), str(stage)], private)


def _run(part: str, command: list[str], directory: Path) -> None:
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise PartUnavailableError(f"{part}: `{command[0]}` did not end within {LIMIT_S} s") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise PartUnavailableError(f"{part}: `{command[0]} {command[-1]}` says: {last}")
