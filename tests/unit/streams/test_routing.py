"""Where a workload goes, by worked cases."""

from dataclasses import replace

import pytest

from schemas import events as e
from streams.domain import routing, workload
from streams.domain.routing import Routes
from streams.domain.workload import Directory, Refusal, WorkloadBook
from tests import streams_event as a

# Three of 16 GPUs each, by region.
SITES = {"Alberta-1": "CA-AB", "Texas-1": "US-TX", "Texas-2": "US-TX"}
DIRECTORY = Directory.of(
    [a.gpus(f"{name}-gpu", name) for name in SITES],
    {"acme": 2.5},
    [a.facility(name, region=region) for name, region in SITES.items()],
)


def profitability(facility_id: str, cost: float, grid: float = 0.0, mining: float = 0.0) -> e.Profitability:
    """An evaluation with a group of miners, USD/MWh."""
    miners = e.GroupEconomics(
        resource_group_id="asic",
        kind=e.ResourceKind.ASIC,
        load_mw=1.0,
        value_usd_mwh=mining,
        break_even_usd_mwh=mining,
        margin_usd_mwh=mining - cost,
        best_mode=e.PowerMode.NORMAL,
    )
    return e.Profitability(
        event_id=a.an_id("profitability", facility_id, cost),
        facility_id=facility_id,
        evaluated_at=a.at(0),
        cause_event_id="tick",
        interval_start=a.at(0),
        lmp_usd_mwh=cost,
        power_cost_usd_mwh=cost,
        btc_price_usd=1e5,
        hashprice_usd_ths_day=0.05,
        gpu_hour_price_usd=2.0,
        load_mw=1.0,
        grid_value_usd_mwh=grid,
        groups=[miners],
        inputs=[],
    )


def routed(request: e.WorkloadRequest, *known: e.WorkloadTransition | e.Profitability | e.RoutedRequest) -> str:
    """Facility that a request goes to, or its refusal."""
    routes = Routes()
    for event in known:
        routes.take(event)
    found = routing.route(request, routes, DIRECTORY)
    return str(found) if isinstance(found, Refusal) else found.facility_id


def route(request: e.WorkloadRequest) -> e.RoutedRequest:
    """The route of a request when nothing is known."""
    found = routing.route(request, Routes(), DIRECTORY)
    assert isinstance(found, e.RoutedRequest)
    return found


ANYWHERE = a.submit(facility_id=None)
POWER = (
    profitability("Alberta-1", 20),
    # Power costs least at Texas-1, but mining makes more of it than Alberta-1 has to pay.
    profitability("Texas-1", 10, mining=90),
    profitability("Texas-2", 30, grid=60),
)


@pytest.mark.parametrize(
    ("request_", "known", "facility"),
    [
        pytest.param(ANYWHERE, (), "Alberta-1", id="first by name when nothing is known"),
        pytest.param(ANYWHERE, POWER, "Alberta-1", id="least valuable power"),
        pytest.param(replace(ANYWHERE, allowed_regions=["US-TX"]), POWER, "Texas-2", id="allowed region"),
        pytest.param(
            # 16 wanted of 16: 8 more lack a half of the GPUs.
            ANYWHERE,
            (*POWER, a.transition(gpus=16, facility_id="Alberta-1", workload_id="other")),
            "Texas-2",
            id="free GPUs before cheap power",
        ),
        pytest.param(
            ANYWHERE,
            (*POWER, route(replace(ANYWHERE, workload_id="other", gpus=16))),
            "Texas-2",
            id="what is underway counts",
        ),
        pytest.param(
            ANYWHERE,
            (
                *POWER,
                a.transition(gpus=16, facility_id="Alberta-1", workload_id="other", to_state=e.WorkloadState.COMPLETED),
            ),
            "Alberta-1",
            id="what has ended does not",
        ),
        pytest.param(a.submit(), POWER, "Texas-1", id="as asked"),
        pytest.param(
            a.report(e.WorkloadAction.CANCEL, facility_id=None),
            (a.transition(facility_id="Texas-2"),),
            "Texas-2",
            id="cancellation follows",
        ),
        pytest.param(ANYWHERE, (*POWER, route(a.submit())), "Texas-1", id="second submission follows the first"),
        pytest.param(
            replace(ANYWHERE, gpus=17), (), "gpus: at most 16 in one group anywhere, got 17", id="too large anywhere"
        ),
        pytest.param(
            replace(ANYWHERE, allowed_regions=["EU"]),
            (),
            "allowed_regions: must hold one of ['CA-AB', 'US-TX'], got ['EU']",
            id="nowhere allowed",
        ),
        pytest.param(
            a.submit(allowed_regions=["CA-AB"]),
            (),
            "allowed_regions: must hold the region of Texas-1, 'US-TX', got ['CA-AB']",
            id="not allowed where asked",
        ),
        pytest.param(
            a.report(e.WorkloadAction.CANCEL),
            (),
            "action: CANCEL needs a step to CANCELLED, but a workload that was never submitted allows REQUESTED",
            id="never submitted",
        ),
    ],
)
def test_request_goes_to(
    request_: e.WorkloadRequest,
    known: tuple[e.WorkloadTransition | e.Profitability | e.RoutedRequest, ...],
    facility: str,
) -> None:
    assert routed(request_, *known) == facility


def test_submission_goes_to_gpus_in_repair_only_where_none_are_in_service() -> None:
    broken = a.gpus("Alberta-1-gpu", "Alberta-1", units=8, units_in_repair=8)
    small = a.gpus("Texas-2-gpu", "Texas-2", units=8)
    request = a.submit(facility_id=None, gpus=16)

    def home(*groups: e.Resource) -> str:
        found = routing.route(request, Routes(), Directory.of(groups, {"acme": 2.5}))
        return str(found) if isinstance(found, Refusal) else found.facility_id

    assert home(broken, a.gpus("Texas-1-gpu", "Texas-1")) == "Texas-1"
    assert home(broken, small) == "Alberta-1"
    assert home(small) == "gpus: at most 8 in one group anywhere, got 16"


def test_routed_request_is_the_same_each_time_and_carries_the_request() -> None:
    assert route(ANYWHERE) == route(ANYWHERE)
    assert route(ANYWHERE).request == ANYWHERE


def test_submission_stays_underway_until_its_first_step() -> None:
    routes = Routes()
    routes.take(route(a.submit()))
    assert (routes.home("wl-1"), routes.wanted_gpus("Texas-1")) == ("Texas-1", 8)
    steps = workload.handle(a.submit(), WorkloadBook(), DIRECTORY)
    assert not isinstance(steps, Refusal)
    for step in steps:
        routes.take(step)
    routes.take(route(a.submit()))  # read again
    assert (routes.home("wl-1"), routes.wanted_gpus("Texas-1"), routes.underway) == ("Texas-1", 8, {})
