"""Processes that outlive the command: started detached, recognised later by pid and start time, stopped for certain.

A pid alone is no identity (it is used again), so the record beside the data holds the start time too. A command that
was killed between start and record leaves a stray: it is found by its program and its working directory.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import psutil

# Start times are derived from the boot time, which moves by a little when the clock is set.
SAME_START_S = 2.0
KILL_LIMIT_S = 30
POLL_S = 0.02
LOG_LIMIT_BYTES = 16 << 20
# What a service inherits. Options that users set for their own Java, Node or PostgreSQL must not reach it.
INHERITED = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")

# Children of this process, kept so that they can be reaped; the record on disk is what other commands use.
_children: dict[int, "_Detached"] = {}


@dataclass(frozen=True, slots=True)
class Process:
    """Identity of a running or past process."""

    pid: int
    started_s: float  # since the epoch, as the kernel tells

    @classmethod
    def of(cls, pid: int) -> Self:
        """Returns the identity of `pid`; start time 0 when it is gone already."""
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.Error:
            return cls(pid, 0.0)

    @classmethod
    def recorded(cls, record: Path) -> Self | None:
        """Returns what `record` holds, or None where there is no usable record."""
        try:
            fields = json.loads(record.read_text())
            return cls(int(fields["pid"]), float(fields["started_s"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def record(self, path: Path) -> None:
        """Writes the record, whole or not at all."""
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self)) + "\n")
        fresh.replace(path)

    def handle(self) -> psutil.Process | None:
        """Returns a handle on the process if it still runs (a zombie does not)."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started_s) <= SAME_START_S
        except psutil.Error:
            return None
        return process if same and _runs(process) else None

    @property
    def is_alive(self) -> bool:
        """Says whether this very process runs."""
        return self.handle() is not None

    def memory_bytes(self) -> int:
        """Returns the resident memory of the process and its children, 0 when it is gone."""
        process = self.handle()
        if process is None:
            return 0
        total = 0
        with suppress(psutil.Error):
            for member in (process, *process.children(recursive=True)):
                with suppress(psutil.Error):
                    total += member.memory_info().rss
        return total

    def stop(self, stop_signal: signal.Signals, limit_s: float) -> bool:
        """Sends `stop_signal`, after `limit_s` SIGKILL; returns True if the first was enough. Children end too."""
        process = self.handle()
        if process is None:
            return True
        family = [process]
        with suppress(psutil.Error):
            family += process.children(recursive=True)
        with suppress(psutil.Error):
            process.send_signal(stop_signal)
        left = _ended(family, limit_s)
        for member in left:
            with suppress(psutil.Error):
                member.kill()
        _ended(left, KILL_LIMIT_S)
        return not left


class _Detached(subprocess.Popen[bytes]):
    """A child that is meant to outlive us."""

    def __del__(self) -> None:
        """Says nothing; Popen warns here that the process still runs."""


def spawn(argv: Sequence[str], *, directory: Path, log: Path, environment: Mapping[str, str]) -> Process:
    """Starts `argv` detached from the terminal, in `directory`, output appended to `log`. Raises OSError."""
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    with log.open("ab") as output:
        child = _Detached(
            argv,
            cwd=directory,
            env={**inherited, "TZ": "UTC", **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _children[child.pid] = child
    return Process.of(child.pid)


def strays(program: str, directory: Path) -> list[Process]:
    """Returns the processes that run `program` with a working directory at or below `directory`."""
    program, below = str(Path(program).resolve()), directory.resolve()
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.exe() == program and Path(process.cwd()).is_relative_to(below):
                found.append(Process(process.pid, process.create_time()))
    return found


def _ended(processes: list[psutil.Process], limit_s: float) -> list[psutil.Process]:
    """Waits until all have ended; returns those that still run after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while (left := [process for process in processes if _runs(process)]) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return left


def _runs(process: psutil.Process) -> bool:
    """Says whether a process runs. A zombie does not: its parent may take its time to ask for the exit status."""
    child = _children.get(process.pid)
    if child is not None and child.poll() is not None:
        del _children[process.pid]
        return False
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def last_lines(log: Path, count: int) -> list[str]:
    """Returns the last `count` lines of `log`, none where there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 400 * count))
            return file.read().decode(errors="replace").splitlines()[-count:] if count else []
    except OSError:
        return []
