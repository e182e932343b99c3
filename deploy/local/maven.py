"""Fetches pinned Maven artifacts with jgo, checked against the SHA-256 of the lock file.

jgo is used as a downloader only: resolving the coordinates together picks wrong versions (a BOM that log4j imports is
applied to all of them), so the lock file lists every artifact. jgo does not read Maven's settings; the mirror that a
user has there is read here.
"""

import logging
import tempfile
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.error import PrerequisiteMissingError
from deploy.local.part import replace, sha256, unavailable
from deploy.local.progress import Progress

THREADS = 8  # 92 jars: 10 s, against 40 s with one
ATTEMPTS = 3
TIMEOUT_S = 30
SETTINGS = Path("~/.m2/settings.xml")


@dataclass(frozen=True, slots=True)
class Artifact:
    """One line of a lock file."""

    group: str
    name: str
    version: str
    classifier: str
    packaging: str
    sha256: str

    @classmethod
    def parse(cls, line: str) -> "Artifact":
        """Reads `group:artifact:version[:classifier:packaging] sha256`. Raises ValueError."""
        coordinates, digest = line.split()
        group, name, version, *kind = coordinates.split(":")
        classifier, packaging = kind or ("", "jar")
        return cls(group, name, version, classifier, packaging, digest)

    @property
    def filename(self) -> str:
        """Name of the artifact's file in a repository."""
        suffix = f"-{self.classifier}" if self.classifier else ""
        return f"{self.name}-{self.version}{suffix}.{self.packaging}"


def lock(path: Path) -> tuple[Artifact, ...]:
    """Returns the artifacts that a lock file lists."""
    lines = path.read_text().splitlines()
    return tuple(Artifact.parse(line) for line in lines if line and not line.startswith("#"))


def fetch(part: str, artifacts: tuple[Artifact, ...], folder: Path, progress: Progress) -> None:
    """Puts every artifact into `folder`, leaving alone those that are there and right.

    Raises PartUnavailableError, PrerequisiteMissingError (no jgo), InterruptedStartError.
    """
    missing = [artifact for artifact in artifacts if sha256(folder / artifact.filename) != artifact.sha256]
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    meter = _Meter(part, len(missing), progress)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".maven-") as cache:
        context = _context(Path(cache), meter)
        with ThreadPoolExecutor(THREADS) as pool:
            futures = [pool.submit(_fetch, part, artifact, folder, context, meter) for artifact in missing]
            try:
                for future in futures:
                    future.result()
            finally:
                pool.shutdown(cancel_futures=True)


def mirrors(settings: Path) -> dict[str, str]:
    """Returns name and URL of the mirrors in a Maven settings file; none where there is no readable file."""
    try:
        root = ET.parse(settings).getroot()  # noqa: S314 - the user's own file
    except (OSError, ET.ParseError):
        return {}
    found = {}
    for number, mirror in enumerate(root.findall("{*}mirrors/{*}mirror")):
        if url := (mirror.findtext("{*}url") or "").strip():
            found[(mirror.findtext("{*}id") or f"mirror-{number}").strip()] = url.rstrip("/")
    return found


class _Meter:
    """Counts finished artifacts; a single large one counts its bytes instead."""

    def __init__(self, part: str, artifacts: int, progress: Progress) -> None:
        self._part, self._total, self._progress = part, artifacts, progress
        self._done = 0
        self._lock = threading.Lock()
        progress.fetching(part, 0, artifacts)

    def artifact(self) -> None:
        with self._lock:
            self._done += 1
        # The part is complete only after its own checks, which report the last step.
        self._progress.fetching(self._part, min(self._done, self._total - 1), self._total)

    @contextmanager
    def stream(self, _filename: str, size: int) -> Iterator[Any]:
        received = 0

        def chunk(count: int) -> None:
            nonlocal received
            received += count
            self._progress.check()
            if self._total == 1:
                self._progress.fetching(self._part, min(received, size - 1), size)

        yield chunk


def _context(cache: Path, meter: _Meter) -> Any:
    try:
        from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415 - needed at the first start only
    except ImportError as error:
        raise PrerequisiteMissingError(
            "jgo is not installed: pip install 'mara-hcp[local]' (in a clone: make setup)"
        ) from error
    logging.getLogger("jgo").setLevel(logging.ERROR)
    return MavenContext(
        resolver=PythonResolver(progress_callback=meter.stream),
        repo_cache=cache,
        remote_repos=mirrors(SETTINGS.expanduser()) or None,
        timeout=TIMEOUT_S,
    )


def _fetch(part: str, artifact: Artifact, folder: Path, context: Any, meter: _Meter) -> None:
    reason = ""
    for _ in range(ATTEMPTS):
        component = context.project(artifact.group, artifact.name).at_version(artifact.version)
        wanted = component.artifact(artifact.classifier, artifact.packaging)
        try:
            arrived = Path(wanted.resolve())
        except (OSError, RuntimeError, AssertionError) as error:  # requests' errors are OSErrors
            reason = str(error) or repr(error)
            if wanted.cached_path is not None:
                wanted.cached_path.unlink(missing_ok=True)
            continue
        found = sha256(arrived)
        if found == artifact.sha256:
            replace(arrived, folder / artifact.filename)
            meter.artifact()
            return
        arrived.unlink()
        reason = f"{artifact.filename} has SHA-256 {found}, expected {artifact.sha256}"
    raise unavailable(part, reason)
