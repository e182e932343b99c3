"""The embedded stack: the real servers, as processes of this machine, under one home, on 127.0.0.1.

`up` mends: it keeps what runs and answers, starts what does not, and loses no data. What it starts survives it.
"""

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL

from deploy.local import port, process
from deploy.local.error import (
    PartUnavailableError,
    PrerequisiteMissingError,
    ServiceFailedError,
    StackError,
)
from deploy.local.first_answer import await_answer
from deploy.local.home import Home
from deploy.local.process import Process
from deploy.local.progress import Progress
from deploy.local.service import NotReadyError, Service, Site
from deploy.local.services import SERVICES
from deploy.local.state import ServiceState, StackState, State

POLL_S = 0.1
LOG_LINES = 15


class Stack:
    """A stack by its home. Stateless: what runs is read from the home, so any number of commands can look at it.

    `parts` may be shared between homes; it defaults to `<home>/parts`.
    """

    def __init__(
        self,
        home: Path,
        parts: Path | None = None,
        progress: Progress | None = None,
        services: Sequence[Service] = SERVICES,
    ) -> None:
        self.home = Home(home.absolute())
        self.parts = (parts or home / "parts").absolute()
        self._progress = progress or Progress()
        self._services = tuple(services)

    def up(self, only: Iterable[str] | None = None) -> StackState:
        """Makes the chosen services run and answer; returns what is seen then.

        Without a choice that is every service but the extras that this home never had.

        1. Ports are chosen and remembered. 2. Side by side, per service: what runs and answers is kept; else its part
        is fetched, its folder prepared, its process started and recorded, its answer awaited. 3. `stack.env` is
        written.

        A service that fails leaves the others running. Raises StackError; KeyboardInterrupt after stopping what this
        call had started.
        """
        chosen = self._chosen(only)
        with self.home.locked():
            self.home.require_space()
            self.home.remember_ports([name for service in chosen for name in service.ports])
            self._bring_up(chosen)
            state = self.status()
            self.home.write_environment(self._remembered_settings(state))
        return state

    def down(self, *, wipe: bool = False) -> tuple[str, ...]:
        """Stops everything, in order; with `wipe` deletes the home as well. Returns the names of what was stopped."""
        if not self.home.path.exists():
            return ()
        stopped = []
        with self.home.locked():
            for service in reversed(self._services):
                if self._stop(service):
                    stopped.append(service.name)
                    self._progress.say(f"{service.name}: stopped")
            if wipe:
                self.home.wipe()
        return tuple(stopped)

    def kill(self, name: str) -> None:
        """Ends a service with SIGKILL, as a crash would, and waits until it is gone. Raises StackError."""
        (service,) = self._chosen([name])
        running = Process.recorded(self.site(service).record)
        if running is None or not running.is_alive:
            raise StackError(f"{name} does not run: `hcp up` first")
        running.stop(SIGKILL, 30)

    def status(self) -> StackState:
        """Returns what is seen of every service, asking each as a client would."""
        members = self._members()
        with ThreadPoolExecutor(len(members) or 1) as pool:
            seen = tuple(pool.map(self._seen, members))
        up = {service.name for service in seen if service.state is State.UP}
        ports = self.home.ports()
        settings: dict[str, str] = {}
        for service in self._services:
            if service.name in up:
                settings |= service.settings(ports)
        return StackState(self.home.path, seen, settings)

    def log(self, name: str) -> Path:
        """Returns the log file of a service. Raises StackError for an unknown name."""
        (service,) = self._chosen([name])
        return self.site(service).log

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the services."""
        return tuple(service.name for service in self._services)

    def site(self, service: Service) -> Site:
        """Returns where `service` lives in this home."""
        part = service.part.directory(self.parts) if service.part else self.home.path
        return Site(self.home.path / service.name, part, self.home.ports())

    def _members(self) -> tuple[Service, ...]:
        """The services of this home: an extra one is there from the first time that it was asked for."""
        return tuple(service for service in self._services if not service.is_extra or self.site(service).home.exists())

    def _chosen(self, only: Iterable[str] | None) -> tuple[Service, ...]:
        if only is None:
            return self._members()
        names = set(only)
        if unknown := names - set(self.names):
            raise StackError(f"no service {', '.join(sorted(unknown))}: there are {', '.join(self.names)}")
        return tuple(service for service in self._services if service.name in names)

    def _bring_up(self, chosen: Sequence[Service]) -> None:
        started: list[Service] = []
        with ThreadPoolExecutor(len(chosen) or 1) as pool:
            futures = [pool.submit(self._ensure, service, started.append) for service in chosen]
            try:
                # Not one long wait: an interrupt may be handed to a thread of some library, and wakes only a pause.
                while wait(futures, timeout=POLL_S).not_done:
                    pass
            except KeyboardInterrupt:
                self._progress.cancel()
                wait(futures)
                for service in started:
                    self._stop(service)
                self._progress.say("interrupted: what this start had started is stopped again")
                raise
        errors = [error for future in futures if (error := future.exception()) is not None]
        unexpected = [error for error in errors if not isinstance(error, StackError)]
        if unexpected:
            raise unexpected[0]
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise StackError("\n".join(str(error) for error in errors))

    def _ensure(self, service: Service, note_start: Callable[[Service], None]) -> None:
        site = self.site(service)
        running = Process.recorded(site.record)
        if running is not None and running.is_alive:
            with suppress(ServiceFailedError):
                self._await_answer(service, site, running)
                return
            self._progress.say(f"{service.name}: runs but does not answer, starting it again")
            running.stop(service.stop_signal, service.stop_limit_s)
        if not self._provide(service):
            return
        for folder in (site.home, site.log.parent):
            folder.mkdir(exist_ok=True)
        shutil.rmtree(site.scratch, ignore_errors=True)
        site.scratch.mkdir()
        service.prepare(site)
        argv = [*service.argv(site)]
        self._end_strays(service, site, argv)
        for name in service.ports:
            port.require_free(site.ports[name], service.name, self.home.memory)
        self._progress.check()
        environment = {"TMPDIR": str(site.scratch), **service.process_environment}
        running = process.spawn(argv, directory=site.home, log=site.log, environment=environment)
        note_start(service)
        running.record(site.record)
        self._await_answer(service, site, running)
        self._progress.say(f"{service.name}: up after {time.time() - running.started_s:.1f} s")

    def _provide(self, service: Service) -> bool:
        """Makes the part of a service be there; returns False where the service does without and is optional."""
        if service.part is None:
            return True
        note = self.parts / f".{service.part.name}.unavailable"
        if service.is_optional and note.exists() and not service.part.directory(self.parts).exists():
            self._progress.say(f"{service.name}: skipped: {note.read_text().strip()} (delete {note} to try again)")
            return False
        try:
            service.part.provide(self.parts, self._progress)
        except (PartUnavailableError, PrerequisiteMissingError) as error:
            if not service.is_optional:
                raise
            note.write_text(f"{error}\n")
            self._progress.say(f"{service.name}: skipped: {error}")
            return False
        note.unlink(missing_ok=True)
        return True

    def _end_strays(self, service: Service, site: Site, argv: Sequence[str]) -> None:
        """Ends what a killed command or a killed server left running here, then removes the pid files of the dead."""
        for program in {str(Path(word).resolve()) for word in argv if word.startswith("/")}:
            for stray in process.strays(program, site.home):
                stray.stop(service.stop_signal, service.stop_limit_s)
        for name in service.leftovers:
            (site.data / name).unlink(missing_ok=True)

    def _await_answer(self, service: Service, site: Site, running: Process) -> None:
        """Waits for the first good answer. Raises ServiceFailedError with the last log lines."""
        failure = await_answer(service, site, running, self._progress)
        if failure is not None:
            raise self._failed(service, site, failure)

    def _failed(self, service: Service, site: Site, what: str) -> ServiceFailedError:
        lines = "\n".join(f"    {line}" for line in process.last_lines(site.log, LOG_LINES))
        return ServiceFailedError(
            f"{service.name} {what}: see `hcp logs {service.name}`, then `hcp up` again; its last lines:\n{lines}",
            service=service.name,
        )

    def _stop(self, service: Service) -> bool:
        site = self.site(service)
        running = Process.recorded(site.record)
        was_alive = running is not None and running.is_alive
        if running is not None and was_alive:
            running.stop(service.stop_signal, service.stop_limit_s)
        site.record.unlink(missing_ok=True)
        return was_alive

    def _seen(self, service: Service) -> ServiceState:
        site = self.site(service)
        running = Process.recorded(site.record)
        handle = running.handle() if running else None
        detail, state = "", State.UP
        if running is None or handle is None:
            state = State.DOWN if site.data.exists() else State.ABSENT
            if service.is_optional and service.part and (self.parts / f".{service.part.name}.unavailable").exists():
                state = State.SKIPPED
        else:
            try:
                service.ready(site)
            except NotReadyError as error:
                state, detail = State.BUSY, str(error)
        alive = running if running is not None and handle is not None else None
        return ServiceState(
            name=service.name,
            title=service.title,
            state=state,
            port=site.ports.get(service.port),
            pid=alive.pid if alive else None,
            memory_bytes=alive.memory_bytes() if alive else 0,
            uptime_s=max(0.0, time.time() - alive.started_s) if alive else None,
            url=next(iter(service.settings(site.ports).values())) if service.port in site.ports else None,
            detail=detail,
        )

    def _remembered_settings(self, state: StackState) -> dict[str, str]:
        """Settings for clients of all services with a port here, except those that cannot run here."""
        absent = {seen.name for seen in state.services if seen.state in {State.SKIPPED, State.ABSENT}}
        ports, settings = self.home.ports(), dict[str, str]()
        for service in self._services:
            if service.name not in absent and service.port in ports:
                settings |= service.settings(ports)
        return settings
