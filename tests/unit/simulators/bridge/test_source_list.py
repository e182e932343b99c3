"""Files that name devices."""

from pathlib import Path

import pytest

from simulators.bridge import source_list
from simulators.bridge.poll import PollPolicy
from simulators.bridge.source_list import Miner
from simulators.error import ConfigurationError

HEADER = "host,port,device_id,facility_id,resource_group_id,joule_per_th\n"


def written(tmp_path: Path, text: str) -> Path:
    """A file of miners."""
    file = tmp_path / "miners.csv"
    file.write_text(text)
    return file


def test_a_line_is_a_miner_and_port_and_efficiency_may_be_left_out(tmp_path: Path) -> None:
    file = written(tmp_path, HEADER + "10.0.0.1,4029,m1,Texas-1,texas-1-s19pro,29.5\n10.0.0.2,,m2,Texas-1,g\n")
    assert source_list.miners(file) == (
        Miner("10.0.0.1", 4029, "m1", "Texas-1", "texas-1-s19pro", 29.5),
        Miner("10.0.0.2", 4028, "m2", "Texas-1", "g", None),
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "names no device", id="empty"),
        pytest.param(HEADER + "h,,m1,,g\n", "miners.csv:2: facility_id: missing", id="missing"),
        pytest.param(HEADER + "h,x,m1,f,g\n", "miners.csv:2: port: expected a number, got 'x'", id="not a number"),
        pytest.param(HEADER + "h,1,m1,f,g,-1\n", "joule_per_th: must be zero or more", id="negative"),
        pytest.param(HEADER + "h,,m1,f,g\ni,,m1,f,g\n", "m1 is there twice", id="twice"),
    ],
)
def test_a_bad_line_is_named_with_its_column(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        source_list.miners(written(tmp_path, text))


def test_a_source_that_fails_is_left_alone_twice_as_long_each_time_up_to_a_limit() -> None:
    policy = PollPolicy(interval_s=10, timeout_s=5, back_off_s=60, at_once=1)
    assert [policy.wait_s(failures) for failures in (0, 1, 2, 3, 1000)] == [10, 20, 40, 60, 60]
