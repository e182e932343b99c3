"""The site's scheduler: carries out the commands for workloads on the GPUs, and reports what becomes of them.

A started workload takes some seconds to come up, runs for as long as the command says, and rarely fails by its own code
on the way. One whose GPUs are still taken waits for them until its command expires. A stopped one leaves at once,
without a report: who stopped it knows. One whose GPUs break down or lose power has failed for good, as the contract has
no way back from there: its customer submits what its newest checkpoint lacks as a workload of its own.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from schemas import events
from schemas.events import CommandKind, WorkloadAction
from simulators.gpu.course import Course, course
from simulators.gpu.fleet import GpuFleet
from simulators.gpu.xid import APPLICATION
from simulators.identity import request_event_id
from simulators.noise import Noise
from simulators.timeline import SECOND_MS, to_datetime, to_ms
from simulators.workload import follow_up

_START_S = (10, 40)
_FAILURE_CHANCE = 0.02
_RESTART = re.compile(r"(.+)-r(\d+)")
_REPORTS = (WorkloadAction.REPORT_STARTED, WorkloadAction.REPORT_COMPLETED, WorkloadAction.REPORT_FAILED)


@dataclass(slots=True)
class _Job:
    """A workload on the site. `started_ms` is None while it comes up or waits for GPUs; `holds` once it has them."""

    workload_id: str
    resource_group_id: str
    gpus: int
    ready_ms: int
    expires_ms: int
    duration_ms: int
    course: Course
    started_ms: int | None = None
    holds: bool = False


class Scheduler:
    """All sites' workloads. `reports` has to be called for one slice after the other."""

    def __init__(self, gpus: GpuFleet, seed: int) -> None:
        self._gpus = gpus
        self._seed = seed
        self._submitted: dict[str, events.WorkloadRequest] = {}
        self._jobs: dict[str, _Job] = {}
        self.unpowered: frozenset[str] = frozenset()
        """Groups without power: what runs there fails, and nothing starts."""

    @property
    def running(self) -> tuple[str, ...]:
        """Workloads that hold GPUs, sorted."""
        return tuple(sorted(job.workload_id for job in self._jobs.values() if job.holds))

    def learn(self, request: events.WorkloadRequest) -> None:
        """Remembers what was asked for: reports name whose it is, and what breaks down is asked for again."""
        if request.action is WorkloadAction.SUBMIT:
            self._submitted[request.workload_id] = request

    def obey(self, command: events.AllocationCommand, now_ms: int) -> bool:
        """Carries out a command for a workload; returns whether it did: an expired or repeated one changes nothing."""
        if command.workload_id is None or to_ms(command.expires_at) <= now_ms:
            return False
        match command.kind:
            case CommandKind.START_WORKLOAD:
                if command.workload_id in self._jobs or command.gpus < 1:
                    return False
                self._jobs[command.workload_id] = self._job(command.workload_id, command, now_ms)
                return True
            case CommandKind.STOP_WORKLOAD:
                if self._jobs.pop(command.workload_id, None) is None:
                    return False
                self._gpus.release(command.workload_id)
                return True
            case CommandKind.SET_POWER_MODE:
                return False

    def reports(self, start_ms: int, end_ms: int) -> Iterator[events.WorkloadRequest]:
        """Advances the workloads by a slice and yields what happened in [start, end); nothing is dated earlier."""
        for workload_id, loss in sorted(self._gpus.break_down(start_ms).items()):
            yield from self._interrupted(self._jobs[workload_id], str(loss), start_ms)
        for job in sorted(self._jobs.values(), key=lambda job: (job.ready_ms, job.workload_id)):
            is_powered = job.resource_group_id not in self.unpowered
            if job.holds and not is_powered:
                yield from self._interrupted(job, "the servers lost power", start_ms)
                continue
            if not job.holds and not (is_powered and self._hold(job)):
                if job.expires_ms < end_ms:
                    free = self._gpus.free(job.resource_group_id) if is_powered else 0
                    yield self._end(job, max(job.expires_ms, start_ms), f"{free} of {job.gpus} GPUs were free")
                continue
            if job.started_ms is None and job.ready_ms < end_ms:
                job.started_ms = max(job.ready_ms, start_ms)
                self._gpus.start(job.workload_id, job.course, job.started_ms)
                yield self._report(job, WorkloadAction.REPORT_STARTED, job.started_ms)
            if job.started_ms is not None and job.started_ms + job.course.end_ms < end_ms:
                at_ms = max(job.started_ms + job.course.end_ms, start_ms)
                xid = job.course.xid
                yield self._end(job, at_ms, f"{APPLICATION[xid]} in its code (XID {xid})" if xid else None)

    def restore(
        self, commands: Iterable[events.AllocationCommand], requests: Iterable[events.WorkloadRequest], now_ms: int
    ) -> None:
        """Takes up the work where the log says that it stood: a workload whose last command is a start and that has not
        reported its end since runs on, from when it reported its start; one that has not started has until the
        command expires.
        """
        last: dict[str, events.AllocationCommand] = {}
        for command in commands:
            if command.workload_id is not None and command.kind is not CommandKind.SET_POWER_MODE:
                last[command.workload_id] = command
        reports: dict[str, events.WorkloadRequest] = {}
        for request in requests:
            self.learn(request)
            if request.action in _REPORTS:
                reports[request.workload_id] = request
        for workload_id, command in last.items():
            if command.kind is CommandKind.STOP_WORKLOAD:
                continue
            report = reports.get(workload_id)
            if report is None or report.observed_at < command.issued_at:
                self.obey(command, now_ms)
            elif report.action is WorkloadAction.REPORT_STARTED:
                job = self._job(workload_id, command, to_ms(command.issued_at))
                job.started_ms = to_ms(report.observed_at)
                self._hold(job)
                self._jobs[workload_id] = job

    def _job(self, workload_id: str, command: events.AllocationCommand, now_ms: int) -> _Job:
        issued_ms = to_ms(command.issued_at)
        # Of the command alone, so that a restart finds the same fate.
        come_up, fails, when, how = Noise(self._seed, f"job/{workload_id}").generator(issued_ms).random(4)
        start_ms = int((_START_S[0] + come_up * (_START_S[1] - _START_S[0])) * SECOND_MS)
        duration_ms = command.duration_s * SECOND_MS
        xid = tuple(APPLICATION)[int(how * len(APPLICATION))] if fails < _FAILURE_CHANCE else 0
        return _Job(
            workload_id=workload_id,
            resource_group_id=command.resource_group_id,
            gpus=command.gpus,
            ready_ms=max(now_ms, issued_ms) + start_ms,
            expires_ms=to_ms(command.expires_at),
            duration_ms=duration_ms,
            course=course(self._seed, workload_id, int(duration_ms * when) if xid else duration_ms, xid),
        )

    def _hold(self, job: _Job) -> bool:
        """Gives a job its GPUs, on which one that has started goes on; returns whether there were enough."""
        job.holds = self._gpus.hold(job.workload_id, job.resource_group_id, job.gpus)
        if job.holds and job.started_ms is not None:
            self._gpus.start(job.workload_id, job.course, job.started_ms)
        return job.holds

    def _interrupted(self, job: _Job, reason: str, at_ms: int) -> Iterator[events.WorkloadRequest]:
        saved_ms = 0 if job.started_ms is None else job.course.saved_ms(at_ms - job.started_ms)
        submitted = self._submitted.get(job.workload_id)
        if submitted is None:
            yield self._end(job, at_ms, reason)
            return
        again = restarted(job.workload_id)
        yield self._end(job, at_ms, f"{reason}: goes on as {again} from {saved_ms // SECOND_MS} s")
        yield replace(
            submitted,
            event_id=request_event_id(again, WorkloadAction.SUBMIT, at_ms),
            workload_id=again,
            observed_at=to_datetime(at_ms),
            duration_s=(job.duration_ms - saved_ms) // SECOND_MS,
        )

    def _end(self, job: _Job, at_ms: int, failure: str | None) -> events.WorkloadRequest:
        self._gpus.release(job.workload_id)
        del self._jobs[job.workload_id]
        action = WorkloadAction.REPORT_COMPLETED if failure is None else WorkloadAction.REPORT_FAILED
        return self._report(job, action, at_ms, failure)

    def _report(
        self, job: _Job, action: WorkloadAction, at_ms: int, reason: str | None = None
    ) -> events.WorkloadRequest:
        submitted = self._submitted.get(job.workload_id)
        customer_id = "unknown" if submitted is None else submitted.customer_id
        return follow_up(job.workload_id, action, at_ms, customer_id, reason)


def restarted(workload_id: str) -> str:
    """Returns the id of a workload that goes on with the work of one: wl-1, wl-1-r1, wl-1-r2."""
    found = _RESTART.fullmatch(workload_id)
    return f"{workload_id}-r1" if found is None else f"{found[1]}-r{int(found[2]) + 1}"
