"""The life of a workload: every legal step, every illegal one refused with its reason."""

import itertools
from datetime import timedelta

import pytest

from schemas.events import WorkloadAction, WorkloadState, WorkloadTransition
from streams.domain import workload
from streams.domain.workload import LEGAL_STEPS, Directory, Refusal, WorkloadBook
from tests import streams_event as a

S = WorkloadState
DIRECTORY = Directory.of(
    [a.gpus(), a.miners(), a.gpus("tx2-gpu", "Texas-2", 8), a.gpus("tx2-gpu-b", "Texas-2", 8)],
    {"acme": 2.5},
    [a.facility(region="US-TX")],
)


def book_with(*steps: WorkloadTransition) -> WorkloadBook:
    """A book that has taken steps."""
    book = WorkloadBook()
    for step in steps:
        book.apply(step)
    return book


def submitted(**changes: object) -> tuple[WorkloadTransition, ...]:
    """The steps of a submission."""
    found = workload.handle(a.submit(**changes), WorkloadBook(), DIRECTORY)  # type: ignore[arg-type]
    assert not isinstance(found, Refusal)
    return found


def in_state(state: WorkloadState) -> WorkloadTransition:
    """A workload that came to a state by legal steps, requested at noon, scheduled at 60 s, running from 100 s."""
    current = submitted()[-1]
    if state is S.QUEUED:
        return current
    (current,) = workload.scheduled(current, "tx1-gpu", "d1", a.at(60))
    if state is S.SCHEDULED:
        return current
    if state is S.PREEMPTED:
        return workload.preempted(current, "d2", a.at(90), "")[0]
    reports = {
        S.RUNNING: (WorkloadAction.REPORT_STARTED,),
        S.COMPLETED: (WorkloadAction.REPORT_STARTED, WorkloadAction.REPORT_COMPLETED),
        S.FAILED: (WorkloadAction.REPORT_FAILED,),
        S.CANCELLED: (WorkloadAction.CANCEL,),
    }
    for action in reports[state]:
        found = workload.handle(a.report(action, seconds=100), book_with(current), DIRECTORY)
        assert not isinstance(found, Refusal)
        (current,) = found
    return current


def test_submission_is_requested_then_queued() -> None:
    first, second = submitted()
    assert [(s.version, s.from_state, s.to_state) for s in (first, second)] == [
        (1, None, S.REQUESTED),
        (2, S.REQUESTED, S.QUEUED),
    ]
    assert (second.facility_id, second.price_usd_gpu_hour, second.gpus, second.progress_s) == ("Texas-1", 2.5, 8, 0)


def test_agreed_price_outranks_the_contract() -> None:
    assert submitted(price_usd_gpu_hour=1.75)[0].price_usd_gpu_hour == 1.75


def test_handling_a_request_twice_gives_the_same_events() -> None:
    assert submitted() == submitted()


def test_submission_that_fits_only_with_the_gpus_in_repair_waits_for_them() -> None:
    directory = Directory.of([a.gpus(units=8, units_in_repair=8)], {"acme": 2.5})
    found = workload.handle(a.submit(gpus=16), WorkloadBook(), directory)
    assert not isinstance(found, Refusal)
    assert [step.to_state for step in found] == [S.REQUESTED, S.QUEUED]
    assert str(workload.handle(a.submit(gpus=17), WorkloadBook(), directory)) == (
        "gpus: at most 16 in one group there, got 17"
    )


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        pytest.param(
            {"customer_id": "nobody"}, "customer_id: must be a registered customer, got 'nobody'", id="customer"
        ),
        pytest.param({"gpus": 17}, "gpus: at most 16 in one group there, got 17", id="too large for the facility"),
        pytest.param({"facility_id": None}, "facility_id: must be a facility with GPUs, got None", id="no facility"),
        pytest.param(
            {"allowed_regions": ["CA-AB"]},
            "allowed_regions: must hold the region of Texas-1, 'US-TX', got ['CA-AB']",
            id="region",
        ),
        pytest.param({"gpus": 9, "facility_id": "Texas-2"}, "gpus: at most 8 in one group there, got 9", id="two of 8"),
        pytest.param(
            {"facility_id": "Mars-1"}, "facility_id: must be a facility with GPUs, got 'Mars-1'", id="unknown facility"
        ),
    ],
)
def test_submission_that_can_never_run_is_refused(changes: dict[str, object], refusal: str) -> None:
    found = workload.handle(a.submit(**changes), WorkloadBook(), DIRECTORY)  # type: ignore[arg-type]
    assert str(found) == refusal


@pytest.mark.parametrize(
    ("state", "action"),
    list(
        itertools.product(
            (S.QUEUED, S.SCHEDULED, S.RUNNING, S.PREEMPTED, S.COMPLETED, S.FAILED, S.CANCELLED), WorkloadAction
        )
    ),
)
def test_reports_take_legal_steps_only(state: WorkloadState, action: WorkloadAction) -> None:
    target = workload.TARGET[action]
    found = workload.handle(a.report(action, seconds=200), book_with(in_state(state)), DIRECTORY)
    if target in LEGAL_STEPS[state]:
        assert not isinstance(found, Refusal)
        assert [step.to_state for step in found] == [target]
    else:
        assert isinstance(found, Refusal)
        assert found.field == "action"


def test_refusal_says_what_the_state_allows() -> None:
    found = workload.handle(a.report(WorkloadAction.REPORT_STARTED), book_with(in_state(S.QUEUED)), DIRECTORY)
    assert str(found) == "action: REPORT_STARTED needs a step to RUNNING, but state QUEUED allows CANCELLED, SCHEDULED"


def test_refusal_is_audited() -> None:
    request = a.report(WorkloadAction.REPORT_STARTED, seconds=5)
    event = workload.refused(request, Refusal("action", "no"))
    assert (event.actor, event.action, event.subject, event.outcome, event.reason, event.occurred_at) == (
        "acme",
        "REPORT_STARTED",
        "workload/wl-1",
        "REFUSED",
        "action: no",
        a.at(5),
    )


def test_another_customers_workload_can_not_be_cancelled() -> None:
    request = a.report(WorkloadAction.CANCEL, customer_id="rival")
    found = workload.handle(request, book_with(in_state(S.QUEUED)), DIRECTORY)
    assert isinstance(found, Refusal)
    assert found.field == "customer_id"


def test_preempted_workload_waits_again_with_its_progress() -> None:
    # Running from 100 s, stopped at 400 s: 300 s of 3600 are done.
    out, back = workload.preempted(in_state(S.RUNNING), "d2", a.at(400), "better use")
    assert [(s.from_state, s.to_state, s.progress_s, s.resource_group_id) for s in (out, back)] == [
        (S.RUNNING, S.PREEMPTED, 300, None),
        (S.PREEMPTED, S.QUEUED, 300, None),
    ]
    assert (out.decision_id, out.reason, back.version) == ("d2", "better use", out.version + 1)


def test_a_start_is_lost_a_quarter_of_an_hour_after_its_command_ended_without_a_report() -> None:
    scheduled, running = in_state(S.SCHEDULED), in_state(S.RUNNING)  # scheduled at 60 s
    valid = timedelta(seconds=300)

    def lost(book: WorkloadBook, seconds: int, facility_id: str = "Texas-1") -> list[WorkloadTransition]:
        return workload.lost_starts(book, facility_id, valid, a.at(seconds))

    assert lost(book_with(scheduled), 60 + 300 + 900) == []
    assert lost(book_with(scheduled), 60 + 300 + 901) == [scheduled]
    assert lost(book_with(scheduled), 60 + 300 + 901, "Texas-2") == []
    assert lost(book_with(running), 10_000) == []


def test_a_workload_whose_start_was_lost_is_queued_again_with_the_progress_it_had() -> None:
    back = workload.preempted(in_state(S.RUNNING), "d2", a.at(400), "")[1]
    (again,) = workload.scheduled(back, "tx1-gpu", "d3", a.at(500))
    out, queued = workload.start_lost(again, a.at(2_000))
    assert [(s.to_state, s.progress_s, s.resource_group_id) for s in (out, queued)] == [
        (S.PREEMPTED, 300, None),
        (S.QUEUED, 300, None),
    ]
    assert out.reason == "its start was not reported"
    assert workload.start_lost(again, a.at(2_000)) == (out, queued)


def test_progress_adds_up_over_preemptions() -> None:
    back = workload.preempted(in_state(S.RUNNING), "d2", a.at(400), "")[1]
    (again,) = workload.scheduled(back, "tx1-gpu", "d3", a.at(500))
    started = workload.handle(a.report(WorkloadAction.REPORT_STARTED, seconds=510), book_with(again), DIRECTORY)
    assert not isinstance(started, Refusal)
    assert workload.progress_s(started[0], a.at(610)) == 400


def test_completed_workload_is_wholly_done_and_free_of_gpus() -> None:
    done = in_state(S.COMPLETED)
    assert (done.progress_s, done.resource_group_id) == (3600, None)


def test_same_step_taken_twice_changes_nothing() -> None:
    book = book_with(*submitted())
    newest = dict(book.newest)
    for step in submitted():
        book.apply(step)
    assert book.newest == newest


@pytest.mark.parametrize("state", [S.QUEUED, S.SCHEDULED, S.RUNNING, S.COMPLETED, S.CANCELLED])
def test_submission_that_comes_again_causes_no_step_whatever_became_of_it(state: WorkloadState) -> None:
    assert workload.handle(a.submit(), book_with(in_state(state)), DIRECTORY) == ()
    # Another one for the same workload is refused.
    assert isinstance(workload.handle(a.submit(seconds=1), book_with(in_state(state)), DIRECTORY), Refusal)


def test_report_that_comes_again_causes_no_step() -> None:
    started = a.report(WorkloadAction.REPORT_STARTED, seconds=100)
    assert workload.handle(started, book_with(in_state(S.RUNNING)), DIRECTORY) == ()
    completed = a.report(WorkloadAction.REPORT_COMPLETED, seconds=100)
    assert workload.handle(completed, book_with(in_state(S.COMPLETED)), DIRECTORY) == ()
    assert isinstance(workload.handle(started, book_with(in_state(S.COMPLETED)), DIRECTORY), Refusal)
