"""The workers as processes of this machine: started, watched, started again when they die, stopped together.

A worker that dies is started again after 1, 2, 4 … 10 s; all of its state is in Kafka and the databases. What runs is
written to `<home>/workers.json`, so that a command that was itself killed leaves nothing that the next can not find.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from deploy.local.port import free_ports

_BACKOFF_S = (1.0, 2.0, 4.0, 8.0, 10.0)
_STEADY_S = 30.0
_STOP_S = 20.0


class WorkerError(Exception):
    """A worker can't be started or keeps dying; the message names its log file and shows the end of it."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What to run: `arguments` follow `hcp` on the command line."""

    name: str
    arguments: tuple[str, ...]


@dataclass(slots=True)
class _Running:
    spec: WorkerSpec
    metrics_port: int
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    deaths: int = 0
    not_before: float = 0.0
    exit_codes: list[int] = field(default_factory=list)


class Workers:
    """The workers of one home. `watch` has to be called about once a second."""

    def __init__(self, home: Path, specs: Sequence[WorkerSpec], environment: Mapping[str, str]) -> None:
        self._home = home.absolute()
        self._environment = dict(environment)
        ports = free_ports(self._home, [spec.name for spec in specs])
        self._workers = [_Running(spec, ports[spec.name]) for spec in specs]
        self._logs = self._home / "workers"

    @property
    def metrics_ports(self) -> dict[str, int]:
        """Port of each worker's metrics, by name."""
        return {worker.spec.name: worker.metrics_port for worker in self._workers}

    @property
    def deaths(self) -> dict[str, int]:
        """How often each worker died and was started again, by name."""
        return {worker.spec.name: worker.deaths for worker in self._workers}

    @property
    def alive(self) -> dict[str, bool]:
        """Which workers run now."""
        return {w.spec.name: w.process is not None and w.process.poll() is None for w in self._workers}

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the workers that were started and have not been seen dead."""
        return {w.spec.name: w.process.pid for w in self._workers if w.process is not None}

    def log_file(self, name: str) -> Path:
        """File that takes the worker's output."""
        return self._logs / f"{name}.log"

    def start(self) -> None:
        """Ends what an earlier, killed command left running, then starts all workers."""
        self._logs.mkdir(parents=True, exist_ok=True)
        stop_leftovers(self._home)
        for worker in self._workers:
            self._spawn(worker)
        self._record()
        self._announce()

    def watch(self) -> None:
        """Starts dead workers again. Raises WorkerError for one that dies over and over without ever getting going."""
        now = time.monotonic()
        for worker in self._workers:
            if worker.process is None:
                if now >= worker.not_before:
                    self._spawn(worker)
                    self._record()
                continue
            code = worker.process.poll()
            if code is None:
                continue
            steady = now - worker.started_at > _STEADY_S
            worker.exit_codes = [code] if steady else [*worker.exit_codes, code]
            worker.deaths += 1
            worker.process = None
            if len(worker.exit_codes) > len(_BACKOFF_S) and all(c > 0 for c in worker.exit_codes):
                raise WorkerError(f"{worker.spec.name} keeps failing (exit code {code}):\n{self._tail(worker)}")
            worker.not_before = now + _BACKOFF_S[min(len(worker.exit_codes), len(_BACKOFF_S)) - 1]

    def stop(self, *names: str) -> None:
        """Asks the named workers (all, where none is named) to stop, then kills what has not after 20 s."""
        chosen = [w for w in self._workers if not names or w.spec.name in names]
        processes = [w.process for w in chosen if w.process is not None]
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + _STOP_S
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._workers = [w for w in self._workers if w not in chosen]
        self._record()
        self._announce()

    def _spawn(self, worker: _Running) -> None:
        environment = {**os.environ, **self._environment, "HCP_METRICS_PORT": str(worker.metrics_port)}
        with self.log_file(worker.spec.name).open("ab") as log:
            # A session of its own: Ctrl-C reaches the command, which then stops its workers in order.
            worker.process = subprocess.Popen(
                [sys.executable, "-m", "hcp", *worker.spec.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        worker.started_at = time.monotonic()

    def _record(self) -> None:
        pids = [w.process.pid for w in self._workers if w.process is not None]
        records = []
        for pid in pids:
            with contextlib.suppress(psutil.NoSuchProcess):
                records.append({"pid": pid, "created": psutil.Process(pid).create_time()})
        _write(_record_file(self._home), json.dumps(records))

    def _announce(self) -> None:
        targets = [
            {"targets": [f"127.0.0.1:{w.metrics_port}"], "labels": {"component": w.spec.name}} for w in self._workers
        ]
        _write(self._home / "prometheus" / "targets" / "workers.json", json.dumps(targets))

    def _tail(self, worker: _Running) -> str:
        file = self.log_file(worker.spec.name)
        return "\n".join(file.read_text(errors="replace").splitlines()[-15:]) + f"\nwhole log: {file}"


def stop_leftovers(home: Path) -> int:
    """Ends workers that an earlier command left behind when it was killed; returns how many there were."""
    file = _record_file(home.absolute())
    try:
        records = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return 0
    left: list[psutil.Process] = []
    for record in records:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(record["pid"])
            if process.create_time() == record["created"]:
                process.terminate()
                left.append(process)
    _, alive = psutil.wait_procs(left, timeout=_STOP_S)
    for process in alive:
        process.kill()
    file.unlink(missing_ok=True)
    return len(left)


def _record_file(home: Path) -> Path:
    return home / "workers.json"


def _write(file: Path, text: str) -> None:
    # Prometheus and a later command must never read half a file.
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".tmp")
    draft.write_text(text)
    draft.replace(file)
