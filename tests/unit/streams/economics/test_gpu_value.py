"""What GPU workloads earn for their power, and what stopping one costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.economics import gpu
from streams.domain.economics.gpu import Checkpointing, GpuPowerCurve
from tests import streams_event as a


def test_gpu_value_is_the_gpu_hours_in_a_megawatt_hour() -> None:
    # 500 W * 1.25 = 625 W: 1,600 GPU-hours in a MWh at 2 USD.
    assert gpu.gpu_value_usd_mwh(2.0, 500, 1.25) == 3200.0


def test_power_goes_from_idle_to_the_limit_of_the_data_sheet() -> None:
    curve = GpuPowerCurve()
    assert [curve.power_w(u) for u in (0.0, 0.5, 1.0)] == [70.0, 385.0, 700.0]


@pytest.mark.parametrize("utilization", [-0.1, 1.1, float("nan")])
def test_utilization_outside_of_its_range_is_refused(utilization: float) -> None:
    with pytest.raises(ValueError, match="utilization_ratio must be from 0 to 1"):
        GpuPowerCurve().power_w(utilization)


def test_agreed_price_goes_before_the_spot_price() -> None:
    assert gpu.gpu_hour_price_usd(2.5, 1.8) == 2.5
    assert gpu.gpu_hour_price_usd(None, 1.8) == 1.8
    assert gpu.gpu_hour_price_usd(0.0, 1.8) == 0.0


@given(st.floats(0.01, 100), st.floats(1, 1000), st.floats(1, 2))
def test_gpu_hour_that_breaks_even_is_worth_its_energy(cost: float, power_w: float, pue: float) -> None:
    price = gpu.break_even_gpu_hour_usd(cost, power_w, pue)
    assert gpu.gpu_value_usd_mwh(price, power_w, pue) == pytest.approx(cost)


@given(st.floats(0.01, 100), st.floats(1, 1e4), st.floats(1, 2), st.floats(0.01, 100))
def test_price_and_power_scaled_alike_change_no_value(price: float, power_w: float, pue: float, factor: float) -> None:
    scaled = gpu.gpu_value_usd_mwh(price * factor, power_w * factor, pue)
    assert scaled == pytest.approx(gpu.gpu_value_usd_mwh(price, power_w, pue))


def test_preemption_costs_the_work_since_the_checkpoint_and_the_restart() -> None:
    # 4000 s of work with a checkpoint every 1800 s: 400 s are lost, 500 s go to the restart: a quarter of an hour of
    # 8 GPUs at 2 USD.
    checkpoint = Checkpointing(interval_s=1800, restart_s=500)
    assert gpu.work_lost_s(4000, checkpoint) == 400
    assert gpu.preemption_cost_usd(8, 2.0, 4000, checkpoint) == pytest.approx(4.0)
    assert gpu.preemption_cost_usd(8, 2.0, 4000, checkpoint, sla_penalty_usd=50) == pytest.approx(54.0)


@given(st.integers(1, 512), st.floats(0, 10), st.floats(0, 1e6), st.floats(1, 1e5))
def test_preemption_never_costs_more_than_one_checkpoint_and_restart(
    gpus: int, price: float, progress_s: float, interval_s: float
) -> None:
    checkpoint = Checkpointing(interval_s, 300)
    least, most = (gpus * price * lost_s / 3600 for lost_s in (300, interval_s + 300))
    found = gpu.preemption_cost_usd(gpus, price, progress_s, checkpoint)
    assert least * (1 - 1e-9) <= found <= most * (1 + 1e-9)


def test_slack_is_the_time_left_over_at_the_deadline() -> None:
    # An hour to the deadline, 40 minutes of work left: 20 minutes.
    assert gpu.deadline_slack_s(a.at(0), 2400, a.at(3600)) == 1200
    assert gpu.deadline_slack_s(a.at(0), 4800, a.at(3600)) == -1200
    assert gpu.deadline_slack_s(a.at(0), 4800, None) is None


@pytest.mark.parametrize(
    ("slack_s", "wait_s", "owed"),
    [
        pytest.param(600.0, 600.0, 0.0, id="just in time"),
        pytest.param(600.0, 601.0, 25.0, id="too late"),
        pytest.param(-1.0, 0.0, 25.0, id="late already"),
        pytest.param(None, 1e6, 0.0, id="no deadline"),
    ],
)
def test_penalty_is_owed_where_the_wait_is_longer_than_the_slack(
    slack_s: float | None, wait_s: float, owed: float
) -> None:
    assert gpu.sla_penalty_usd(25.0, slack_s, wait_s) == owed
