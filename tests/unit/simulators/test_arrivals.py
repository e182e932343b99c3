"""Customers' workloads: what they agree to with the operator."""

import pytest

from simulators.market import Market
from simulators.timeline import HOUR_MS
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
