"""Where an archive lies: a folder, or an object store by fsspec's URL. Whole files only, which appear at once or not.

A put to an object store is atomic. In a folder a file is written and synced under a temporary name, then renamed, or
linked where it must be new: `link` fails where the name exists, which `rename` does not. The file system must have hard
links.
`create` needs a store that refuses to overwrite on demand: folders, memory, S3 (If-None-Match; s3fs 2025.7 or newer),
Google (ifGenerationMatch) and Azure do. Where a store ignores the demand, two workers that believe to own the same
partition at the same moment can overwrite each other's entries: run one worker at a time there.
"""

import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from projections.archive_log import ArchiveError
from projections.error import UnavailableError

DEPENDENCY = "archive"
"""Name of the archive in metrics."""
DRAFT = ".draft"
"""Ending of a file that is being written to a folder; its name starts with that of the file it is to be."""


class ArchiveStore:
    """Files by their path below the archive's root. Raises UnavailableError where the store fails."""

    def __init__(self, url: str) -> None:
        """Raises ArchiveError where no installed package knows the URL."""
        try:
            # Only there with the extra `archive`; those who have no archive need it for nothing.
            import fsspec  # noqa: PLC0415
            from fsspec.implementations.local import LocalFileSystem  # noqa: PLC0415
        except ImportError as error:
            raise ArchiveError("the archive needs the package fsspec: pip install 'mara-hcp[archive]'") from error
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise ArchiveError(f"HCP_ARCHIVE_URL={url}: {error}") from error
        self._is_folder = isinstance(self._fs, LocalFileSystem)
        self._root = self._root.rstrip("/")

    def address(self, path: str) -> str:
        """Returns the URL of a file, or its path in a folder."""
        return f"{self._root}/{path}" if self._is_folder else str(self._fs.unstrip_protocol(f"{self._root}/{path}"))

    def create(self, path: str, data: bytes) -> bool:
        """Makes a file that must not exist; returns False where it does and holds something else.

        So it may be repeated after an answer that was lost.
        """
        with _translated(path):
            try:
                if self._is_folder:
                    _write(Path(self._root, path), data, is_new=True)
                else:
                    self._fs.pipe_file(f"{self._root}/{path}", data, mode="create")
            except OSError:
                # Stores have many names for "it exists", and a client that tries again may meet its own file.
                found = self.read(path)
                if found is None:
                    raise
                return found == data
        return True

    def put(self, path: str, data: bytes) -> None:
        """Makes or replaces a file."""
        with _translated(path):
            if self._is_folder:
                _write(Path(self._root, path), data, is_new=False)
            else:
                self._fs.pipe_file(f"{self._root}/{path}", data)

    def read(self, path: str) -> bytes | None:
        """Returns the file's bytes, None where there is no such file."""
        with _translated(path):
            try:
                return bytes(self._fs.cat_file(f"{self._root}/{path}"))
            except FileNotFoundError:
                return None

    def paths(self, folder: str) -> list[str]:
        """Returns the paths of all files below a folder, drafts too, sorted; none where there is no such folder."""
        with _translated(folder):
            found = self._fs.find(f"{self._root}/{folder}")
        cut = len(self._root) + 1
        return sorted(path[cut:] for path in found)

    def delete(self, paths: Iterable[str]) -> None:
        """Deletes files; one that is gone already is no error."""
        for path in paths:
            with _translated(path), suppress(FileNotFoundError):
                self._fs.rm_file(f"{self._root}/{path}")


def _write(target: Path, data: bytes, *, is_new: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f"{target.name}.{uuid.uuid4().hex}{DRAFT}")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            os.link(draft, target)
        else:
            draft.rename(target)
    finally:
        draft.unlink(missing_ok=True)
    # The name is durable only when its folder is.
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(f"archive, {path}: {type(error).__name__}: {error}", DEPENDENCY) from error
