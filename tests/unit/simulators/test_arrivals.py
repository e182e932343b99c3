"""Customers' workloads: what they agree to with the operator."""

import numpy as np
import pytest

from simulators.market import Market
from simulators.site import operator
from simulators.timeline import DAY_MS, HOUR_MS
from simulators.workload import Arrivals
from tests.simulators_world import START_MS, an_operator


def test_a_deadline_has_a_penalty_of_a_tenth_of_the_contract() -> None:
    price = {customer.customer_id: float(customer.gpu_hour_price_usd) for customer in an_operator().customers}
    submitted = list(Arrivals(an_operator(), Market(1), 1).submissions(START_MS, START_MS + 12 * HOUR_MS))
    for request in submitted:
        full = request.gpus * request.duration_s / 3600 * price[request.customer_id]
        assert request.sla_penalty_usd == pytest.approx(0.0 if request.deadline is None else full / 10, abs=0.01)
    assert {request.deadline is None for request in submitted} == {True, False}


def test_some_reserved_workloads_have_to_stay_where_the_largest_group_is() -> None:
    submitted = list(Arrivals(an_operator(), Market(1), 1).submissions(START_MS, START_MS + 12 * HOUR_MS))
    residents = [request for request in submitted if request.allowed_regions]
    assert {tuple(request.allowed_regions) for request in submitted} == {(), ("US-TX",)}
    assert {request.customer_id for request in residents} == {"cust-reserved"}
    assert {request.facility_id for request in residents} == {None}


def test_sizes_and_durations_are_those_of_the_recorded_clusters() -> None:
    submitted = list(Arrivals(operator(0, 2_000, START_MS), Market(1), 1).submissions(START_MS, START_MS + DAY_MS))
    gpus = np.array([request.gpus for request in submitted])
    hours = np.array([request.duration_s for request in submitted]) / 3600
    # Recorded: sizes of 1 in the median, 5.68 on average; quartiles of durations 131, 1,186, 3,342 s, 5 % over 13.9 h.
    assert np.median(gpus) == 1
    assert gpus.mean() == pytest.approx(5.7, rel=0.15)
    assert np.percentile(hours * 3600, [25, 50, 75]) == pytest.approx([131, 1186, 3342], rel=0.2)
    assert np.mean(hours > 13.9) == pytest.approx(0.05, abs=0.02)
    assert hours.max() <= 7 * 24
    # The largest tenth asks for most of the GPU-hours.
    asked = np.sort(gpus * hours)
    assert asked[-len(asked) // 10 :].sum() > 0.7 * asked.sum()


def test_arrivals_follow_the_day_and_the_week() -> None:
    monday = START_MS // DAY_MS * DAY_MS + 4 * DAY_MS  # 2026-01-19
    arrivals = Arrivals(an_operator(), Market(1), 1)
    rates = np.array([arrivals._rate(monday + hour * HOUR_MS) for hour in range(52 * 168)]).reshape(-1, 7, 24)
    by_hour, by_day = rates.mean(axis=(0, 1)), rates.mean(axis=(0, 2))
    assert by_hour.argmax() in {20, 21, 22}
    assert by_hour.max() / by_hour.min() > 2
    assert by_day[5:].max() < 0.8 * by_day[:5].min()
    assert rates.mean() == pytest.approx(arrivals._per_minute, rel=0.1)
