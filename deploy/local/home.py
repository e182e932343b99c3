"""The home of a stack: one folder that holds everything of it, the ports that it remembers, and one lock."""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.error import StackBusyError, StackError
from deploy.local.port import free_ports

# Kafka, the databases and the parts fit into this on a first start; with less they die in ways that are hard to read.
LEAST_FREE_BYTES = 300 << 20
NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True, slots=True)
class Home:
    """A folder with `stack.json` (the ports), `stack.env` (settings of clients), `stack.lock`, a folder a service."""

    path: Path

    @property
    def memory(self) -> Path:
        """Where the ports are remembered."""
        return self.path / "stack.json"

    @property
    def environment_file(self) -> Path:
        """Where the settings of clients are written."""
        return self.path / "stack.env"

    def ports(self) -> dict[str, int]:
        """Returns the remembered ports by name, none before the first start. Raises StackError."""
        try:
            found = json.loads(self.memory.read_text())["ports"]
            return {str(name): int(port) for name, port in found.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StackError(f"{self.memory} is damaged ({error}): delete it, `hcp up` chooses new ports") from error

    def remember_ports(self, names: Sequence[str]) -> dict[str, int]:
        """Returns the ports for `names` and all older ones, choosing and remembering those that are new."""
        ports = free_ports(self.path, names, self.ports())
        self._write(self.memory, json.dumps({"ports": ports}, indent=2) + "\n")
        return ports

    def write_environment(self, settings: Mapping[str, str]) -> None:
        """Writes `stack.env`, whole or not at all."""
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        self._write(self.environment_file, f"# Written by `hcp up`: where the embedded stack listens.\n{lines}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the lock of the home, made when missing, and turns what the disk refuses into StackError.

        Raises StackBusyError when another command has the lock; it is free again when that command ends in any way.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path / "stack.lock", os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            raise self._refused(error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise StackBusyError(
                f"another command is starting or stopping the stack in {self.path}: wait for it to end"
            ) from error
        except OSError as error:
            raise self._refused(error) from error
        finally:
            os.close(descriptor)

    def require_space(self) -> None:
        """Raises StackError when the disk is nearly full."""
        free = shutil.disk_usage(self.path).free
        if free < LEAST_FREE_BYTES:
            raise StackError(
                f"only {free >> 20} MiB are free on the disk of {self.path}, {LEAST_FREE_BYTES >> 20} are needed: "
                "free some, or choose another disk with HCP_HOME"
            )

    def wipe(self) -> None:
        """Deletes the home and all below it. Raises StackError for a folder that is not a stack's home."""
        here, user = Path.cwd().resolve(), Path.home().resolve()
        path = self.path.resolve()
        if not self.memory.exists() or here.is_relative_to(path) or user.is_relative_to(path):
            raise StackError(f"{self.path} does not look like the home of a stack: nothing was deleted")
        shutil.rmtree(path)

    def _write(self, path: Path, text: str) -> None:
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(text)
        fresh.replace(path)

    def _refused(self, error: OSError) -> StackError:
        if error.errno in NO_SPACE:
            return StackError(f"the disk of {self.path} is full: free some space, or choose another with HCP_HOME")
        place = error.filename or self.path
        return StackError(f"{place} cannot be written: make it writable, or choose another with HCP_HOME")
