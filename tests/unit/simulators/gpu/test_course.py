"""The course of a job: its phases, its memory, and what its checkpoints keep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from simulators.gpu.course import MEMORY_GIB, MEMORY_IDLE_GIB, Activity, Course, Courses, course
from simulators.timeline import HOUR_MS, MINUTE_MS, SECOND_MS

RUNS = st.integers(60 * SECOND_MS, 200 * HOUR_MS)
SEEDS = st.integers(0, 2**31)


def doing(found: Course, ran_ms: NDArray[np.int64], start_ms: int = 10**12) -> Activity:
    """What a GPU of the job does so long after its start; a GPU for each time."""
    courses = Courses(len(ran_ms))
    courses.begin(np.arange(len(ran_ms)), found, start_ms)
    return courses.activity(slice(0, len(ran_ms)), start_ms + ran_ms, np.zeros(len(ran_ms)))


def is_saving(found: Activity) -> NDArray[np.bool_]:
    return np.asarray(found.utilization == 0.06)


@given(RUNS, SEEDS)
def test_phases_fill_a_job_from_its_start_to_its_end(run_ms: int, seed: int) -> None:
    job = course(seed, "wl-1", run_ms)
    ran = np.linspace(0, run_ms - 1, 500).astype(np.int64)
    found = doing(job, ran)
    loading, saving = found.utilization == 0.15, is_saving(found)
    training = ~loading & ~saving
    assert np.array_equal(loading, ran < job.load_ms)
    # Dips are short and leave a part of the utilisation.
    assert set(np.round(found.utilization[training], 3)) <= {0.97, 0.388}
    into = (ran - job.load_ms) % job.cycle_ms
    expected = (into >= job.interval_ms) | (ran >= run_ms - job.save_ms)
    assert np.array_equal(saving, expected & ~loading)
    assert 15 * MINUTE_MS <= job.interval_ms <= 30 * MINUTE_MS
    assert 15 * SECOND_MS <= job.save_ms <= 60 * SECOND_MS


@given(RUNS, SEEDS)
def test_memory_fills_while_the_job_loads_and_stays_within_the_gpu(run_ms: int, seed: int) -> None:
    job = course(seed, "wl-1", run_ms)
    memory = doing(job, np.linspace(-1000, run_ms, 400).astype(np.int64)).memory_gib
    assert memory[0] == MEMORY_IDLE_GIB
    assert np.all(np.diff(memory) >= 0)
    assert memory[-1] == job.memory_gib <= MEMORY_GIB


@given(RUNS, SEEDS, st.floats(0, 1))
def test_a_checkpoint_has_what_was_done_until_it_was_complete(run_ms: int, seed: int, share: float) -> None:
    job = course(seed, "wl-1", run_ms)
    ran_ms = int(share * run_ms)
    saved_ms = job.saved_ms(ran_ms)
    assert 0 <= saved_ms <= ran_ms
    assert ran_ms - saved_ms < job.load_ms + job.cycle_ms
    if saved_ms:
        before, after = is_saving(doing(job, job.load_ms + saved_ms + np.array([-1, 0])))
        assert before
        assert not after or run_ms - (job.load_ms + saved_ms) <= job.save_ms


def test_a_job_that_is_taken_up_again_goes_on_alike() -> None:
    job = course(3, "wl-1", 5 * HOUR_MS)
    ran = np.arange(0, 5 * HOUR_MS, 7 * SECOND_MS)
    whole = doing(job, ran)
    later = doing(course(3, "wl-1", 5 * HOUR_MS), ran[1000:])
    assert np.array_equal(whole.utilization[1000:], later.utilization)
    assert np.array_equal(whole.memory_gib[1000:], later.memory_gib)


def test_all_gpus_of_a_job_dip_at_once_and_rarely() -> None:
    courses = Courses(4)
    courses.begin(np.array([0, 1]), course(1, "wl-1", HOUR_MS), 0)
    courses.begin(np.array([2, 3]), course(1, "wl-2", HOUR_MS), 0)
    steps = range(5 * MINUTE_MS, 15 * MINUTE_MS, 15 * SECOND_MS)
    dips = np.array([courses.activity(slice(0, 4), np.full(4, at), np.zeros(4)).utilization < 0.9 for at in steps])
    assert np.array_equal(dips[:, 0], dips[:, 1])
    assert np.array_equal(dips[:, 2], dips[:, 3])
    many = doing(course(1, "wl-1", 150 * HOUR_MS), np.arange(HOUR_MS, 140 * HOUR_MS, 15 * SECOND_MS))
    training = many.utilization[~is_saving(many)]
    # Three in a hundred of 32,000: a standard deviation of 0.1 %.
    assert np.mean(training < 0.9) == pytest.approx(0.03, abs=0.005)


def test_a_job_whose_code_fails_shows_it_on_one_gpu_and_waits_for_its_report() -> None:
    courses = Courses(3)
    job = course(1, "wl-1", 10 * MINUTE_MS, xid=31)
    courses.begin(np.arange(3), job, 0)
    before = courses.activity(slice(0, 3), np.full(3, 9 * MINUTE_MS - 1), np.zeros(3))
    after = courses.activity(slice(0, 3), np.full(3, 9 * MINUTE_MS), np.zeros(3))
    assert before.xid.tolist() == [0, 0, 0]
    assert after.xid.tolist() == [31, 0, 0]
    assert after.utilization.tolist() == [0, 0, 0]
    assert after.memory_gib.tolist() == [job.memory_gib] * 3


def test_jobs_take_as_much_power_as_measured_ones_did() -> None:
    # Of the upper 63 % of Kalos' GPUs: 101 W in the middle of all (12 % of 62..400 W), 372 W at three quarters (92 %).
    drawn = np.array([course(1, f"wl-{n}", HOUR_MS).intensity for n in range(2000)])
    assert np.quantile(drawn, 0.21) == pytest.approx(0.12, abs=0.02)
    assert np.quantile(drawn, 0.60) == pytest.approx(0.92, abs=0.04)
