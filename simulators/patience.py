"""How long customers wait for GPUs before they withdraw a workload.

One with a deadline is withdrawn when it can't be met any more, but not in the first hour. One without is withdrawn as
in Alibaba's cluster (gpu_jobs_alibaba_openb_2023.csv: 897 of 8,152 jobs were deleted before they were scheduled;
product-limit estimate of their wait, those that were scheduled being censored; Kaplan and Meier, "Nonparametric
Estimation from Incomplete Observations", JASA 1958): of those that outlast five minutes, which is the time of one plan,
half are gone after 35 minutes and a quarter waits for more than three hours. The longest wait is assumed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from schemas import events
from schemas.events import CommandKind, WorkloadAction
from simulators.identity import request_event_id
from simulators.noise import Noise
from simulators.timeline import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, to_ms
from simulators.workload import follow_up

SHORTEST_WAIT_S = 300
_WAIT_RANKS = (0.0, 0.10, 0.25, 0.35, 0.50, 0.65, 0.75, 1.0)
_WAITS_S = (SHORTEST_WAIT_S, 420, 670, 960, 2_080, 3_550, 11_700, DAY_MS // SECOND_MS)
_ENDS = (WorkloadAction.CANCEL, WorkloadAction.REPORT_COMPLETED, WorkloadAction.REPORT_FAILED)


@dataclass(slots=True)
class _Asked:
    """A submission that has not ended; `until_ms` is when it is withdrawn, None while its GPUs are given to it."""

    request: events.WorkloadRequest
    until_ms: int | None


class Patience:
    """The customers of one simulation: only what they submitted themselves is theirs to withdraw."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._asked: dict[str, _Asked] = {}

    def learn(self, request: events.WorkloadRequest) -> None:
        """Takes a submission of these customers, or the end of any workload."""
        if request.action is WorkloadAction.SUBMIT:
            until_ms = self._until_ms(request, to_ms(request.observed_at))
            self._asked[request.workload_id] = _Asked(request, until_ms)
        elif request.action in _ENDS:
            self._asked.pop(request.workload_id, None)

    def obey(self, command: events.AllocationCommand) -> None:
        """Takes a command: a workload that starts waits no longer, one that is stopped waits again."""
        asked = self._asked.get(command.workload_id or "")
        if asked is None:
            return
        if command.kind is CommandKind.START_WORKLOAD:
            asked.until_ms = None
        elif command.kind is CommandKind.STOP_WORKLOAD:
            asked.until_ms = self._until_ms(asked.request, to_ms(command.issued_at))

    def restore(self, commands: Iterable[events.AllocationCommand], requests: Iterable[events.WorkloadRequest]) -> None:
        """Takes up the waiting where the log says that it stood."""
        requests = list(requests)
        ended = {request.workload_id for request in requests if request.action in _ENDS}
        for request in requests:
            if request.action is WorkloadAction.SUBMIT and _is_simulated(request) and request.workload_id not in ended:
                self.learn(request)
        for command in commands:
            self.obey(command)

    def withdrawals(self, start_ms: int, end_ms: int) -> Iterator[events.WorkloadRequest]:
        """Yields what is withdrawn in [start, end), in order of time; nothing is dated earlier."""
        due = [
            (max(asked.until_ms, start_ms), workload_id, asked.request)
            for workload_id, asked in self._asked.items()
            if asked.until_ms is not None and asked.until_ms < end_ms
        ]
        for at_ms, workload_id, request in sorted(due, key=lambda found: found[:2]):
            del self._asked[workload_id]
            reason = "withdrawn: waited too long" if request.deadline is None else "withdrawn: too late to be done"
            yield follow_up(workload_id, WorkloadAction.CANCEL, at_ms, request.customer_id, reason)

    def _until_ms(self, request: events.WorkloadRequest, since_ms: int) -> int:
        if request.deadline is not None:
            return max(to_ms(request.deadline) - request.duration_s * SECOND_MS, since_ms + HOUR_MS)
        drawn = Noise(self._seed, f"patience/{request.workload_id}").generator(since_ms // MINUTE_MS).random()
        return since_ms + int(np.exp(np.interp(drawn, _WAIT_RANKS, np.log(_WAITS_S))) * SECOND_MS)


def _is_simulated(request: events.WorkloadRequest) -> bool:
    """Whether a request in the log is one that a simulator made: its id is the one that they give."""
    return request.event_id == request_event_id(request.workload_id, request.action, to_ms(request.observed_at))
