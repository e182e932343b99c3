"""Pages of dcgm-exporter as readings."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.bridge.gpu_page import GpuPageError, GpuReading, readings


def page(*gpus: tuple[str, float, float], labels: str = "") -> str:
    """A page of GPUs: UUID, utilisation in percent, power in W; all at 61 degrees with 20480 MiB in use."""
    figures: list[tuple[str, list[float]]] = [
        ("DCGM_FI_DEV_GPU_UTIL", [utilization for _, utilization, _ in gpus]),
        ("DCGM_FI_DEV_POWER_USAGE", [power for _, _, power in gpus]),
        ("DCGM_FI_DEV_GPU_TEMP", [61 for _ in gpus]),
        ("DCGM_FI_DEV_FB_USED", [20480 for _ in gpus]),
        ("DCGM_FI_DEV_XID_ERRORS", [79 for _ in gpus]),
        ("DCGM_FI_DEV_SM_CLOCK", [1980 for _ in gpus]),
        ("DCGM_FI_DEV_MEMORY_TEMP", [72 for _ in gpus]),
        ("DCGM_FI_DEV_CLOCK_THROTTLE_REASONS", [4 for _ in gpus]),
        ("DCGM_FI_DEV_MEM_CLOCK", [2619 for _ in gpus]),
    ]
    lines = []
    for name, values in figures:
        lines += [f"# HELP {name} As the exporter says.", f"# TYPE {name} gauge"]
        for index, ((uuid, _, _), value) in enumerate(zip(gpus, values, strict=True)):
            lines.append(f'{name}{{gpu="{index}",UUID="{uuid}",Hostname="node-1"{labels}}} {value}')
    return "\n".join(lines) + "\n"


def test_each_gpu_is_a_reading_in_the_units_of_the_contract() -> None:
    first, second = readings(page(("GPU-b", 98, 655.4), ("GPU-a", 0, 71.2)))
    # 98 % = 0.98; 20480 MiB / 1024 = 20 GiB
    assert (second.uuid, second.labels["gpu"]) == ("GPU-b", "0")
    assert second.values == pytest.approx(
        {
            "utilization_ratio": 0.98,
            "power_w": 655.4,
            "temp_c": 61.0,
            "memory_used_gib": 20.0,
            "sm_clock_mhz": 1980,
            "memory_temp_c": 72.0,
            "xid": 79,
            "throttle_reasons": 4,
        }
    )
    assert all(type(second.values[name]) is int for name in ("sm_clock_mhz", "xid", "throttle_reasons"))
    assert (first.uuid, first.values["power_w"]) == ("GPU-a", 71.2)


def test_instances_of_a_divided_gpu_are_left_out() -> None:
    whole = page(("GPU-a", 50, 300.0))
    assert readings(whole + page(("GPU-a", 9, 9.0), labels=',GPU_I_ID="1"')) == readings(whole)


def test_a_figure_that_the_page_lacks_is_missing() -> None:
    found = readings('DCGM_FI_DEV_POWER_USAGE{UUID="GPU-a"} 70\n')
    assert found == (GpuReading("GPU-a", {"UUID": "GPU-a"}, {"power_w": 70.0}),)


def test_the_clock_s_limits_have_the_name_of_newer_exporters_too() -> None:
    (found,) = readings('DCGM_FI_DEV_CLOCKS_EVENT_REASONS{UUID="GPU-a"} 32\n')
    assert found.values == {"throttle_reasons": 32}


@pytest.mark.parametrize("text", ["", "<html>", "up 1\n", 'DCGM_FI_DEV_POWER_USAGE{UUID="GPU-a} 70\n'])
def test_what_is_no_such_page_is_refused(text: str) -> None:
    with pytest.raises(GpuPageError):
        readings(text)


@given(st.text() | st.text(alphabet='DCGM_FI_DEV_XID_ERRORS{UUID="a",} 01.eNnaf#\n\\', max_size=60))
def test_no_text_raises_anything_else(text: str) -> None:
    with suppress(GpuPageError):
        readings(text)


@given(st.sampled_from(["NaN", "+Inf", "-Inf", "1e999", "0x1", "-3"]))
def test_no_figure_raises_anything_else(figure: str) -> None:
    with suppress(GpuPageError):
        readings(f'DCGM_FI_DEV_XID_ERRORS{{UUID="a"}} {figure}\n')
