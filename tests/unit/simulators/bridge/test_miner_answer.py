"""Answers of each firmware as readings."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import PowerMode
from simulators.bridge.miner_answer import COMMANDS, Firmware, MinerAnswerError, MinerReading, firmware, parsed, reading
from tests import miner_answers
from tests.miner_answers import Answers, wire


@pytest.mark.parametrize(
    ("answers", "who", "expected"),
    [
        # (6000 + 5880 + 5040 + 5040) / 4 = 5490
        pytest.param(
            miner_answers.STOCK,
            Firmware.STOCK,
            MinerReading(110.56689, None, 73.0, 5490, None, 3, 0.0019046, 50474),
            id="stock Antminer",
        ),
        pytest.param(
            miner_answers.LUXOS,
            Firmware.LUXOS,
            MinerReading(60.82948, 1051.0, 47.0, 2130, PowerMode.ECO, 3, 0.00077362, 3453),
            id="LuxOS",
        ),
        # (3 x 5943 + 5973) / 4 = 5950.5, to the even 5950
        pytest.param(
            miner_answers.BRAIINS,
            Firmware.BRAIINS,
            MinerReading(247.35075434, 3480.0, 50.375, 5950, None, -1, 0.0025, 7039),
            id="Braiins",
        ),
        pytest.param(
            miner_answers.WHATSMINER,
            Firmware.WHATSMINER,
            MinerReading(67.43935249, 3427.0, 71.5, 6465, PowerMode.NORMAL, 3, 0.0, 10154),
            id="Whatsminer",
        ),
        pytest.param(
            miner_answers.WHATSMINER_2,
            Firmware.WHATSMINER,
            MinerReading(124.5, 3200.0, 67.0, 5340, PowerMode.ECO, 2, 0.0, 25000),
            id="Whatsminer, later firmware",
        ),
        # (3 x 3723 + 3753) / 4 = 3730.5, to the even 3730
        pytest.param(
            miner_answers.SEALMINER,
            Firmware.SEALMINER,
            MinerReading(197.5997141, 3504.0, 70.0, 3730, PowerMode.NORMAL, 3, 0.0055026, 2481),
            id="Sealminer",
        ),
    ],
)
def test_each_firmware_is_known_by_its_version_and_read_by_its_own_names(
    answers: Answers, who: Firmware, expected: MinerReading
) -> None:
    assert firmware(answers.get("version", {})) is who
    said = {command: parsed(wire(answers, command)) for command in COMMANDS[who]}
    found = reading(said)
    assert found.hashrate_ths == pytest.approx(expected.hashrate_ths)
    assert found.pool_rejected_ratio == pytest.approx(expected.pool_rejected_ratio, rel=1e-4)
    assert (found.boards_hashing, found.uptime_s) == (expected.boards_hashing, expected.uptime_s)
    assert (found.power_w, found.temp_c, found.fan_rpm, found.power_mode) == (
        expected.power_w,
        expected.temp_c,
        expected.fan_rpm,
        expected.power_mode,
    )


def _stock(summary: dict[str, Any], stats: dict[str, Any]) -> MinerReading:
    record = {**miner_answers.STOCK["stats"]["STATS"][1], **stats}
    said = {**miner_answers.STOCK["summary"]["SUMMARY"][0], **summary}
    return reading({"summary": {"SUMMARY": [said]}, "stats": {"STATS": [record]}})


@pytest.mark.parametrize(
    ("stats", "boards"),
    [
        pytest.param({"chain_rate2": "0.00"}, 2, id="chips, but no hashrate"),
        pytest.param({"chain_acn2": 0, "chain_acn3": 0}, 1, id="no chips"),
        pytest.param({"chain_rate3": ""}, 2, id="an empty hashrate"),
    ],
)
def test_a_board_without_chips_or_hashrate_does_not_hash(stats: dict[str, Any], boards: int) -> None:
    assert _stock({}, stats).boards_hashing == boards


@pytest.mark.parametrize(
    ("summary", "ratio"),
    [
        pytest.param({"Difficulty Accepted": 0, "Difficulty Rejected": 0, "Pool Rejected%": 2.5}, 0.025, id="no work"),
        pytest.param({"Difficulty Rejected": -5.0}, 0.0, id="less than none"),
        pytest.param({"Difficulty Rejected": "much", "Pool Rejected%": 250}, 1.0, id="more than all"),
    ],
)
def test_the_share_of_rejected_work_lies_between_0_and_1(summary: dict[str, Any], ratio: float) -> None:
    assert _stock(summary, {}).pool_rejected_ratio == ratio


def test_a_miner_whose_supply_is_off_is_off() -> None:
    off = {**miner_answers.LUXOS, "config": {"CONFIG": [{"IsPowerSupplyOn": False, "ProfileStep": "0"}]}}
    assert reading(off).power_mode is PowerMode.OFF


def test_a_list_without_its_commas_is_read_as_older_stock_firmware_sends_it() -> None:
    said = wire(miner_answers.STOCK, "stats")
    assert parsed(said.replace(b"}, {", b"}{")) == miner_answers.STOCK["stats"]


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        pytest.param({"summary": {"SUMMARY": [{}]}}, "summary has no hashrate", id="no hashrate"),
        pytest.param({"summary": {"SUMMARY": [{"MHS av": "NaN"}]}}, "summary has no hashrate", id="not a number"),
        pytest.param({"summary": {"SUMMARY": [{"MHS av": 1e8}]}}, "no board says its temperature", id="no temperature"),
    ],
)
def test_what_is_missing_is_named(answers: Answers, reason: str) -> None:
    with pytest.raises(MinerAnswerError, match=reason):
        reading(answers)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        pytest.param(b"", "not JSON", id="silence"),
        pytest.param(b"[" * 100_000, "not JSON", id="too deep"),
        pytest.param(b"[]\0", "expected a JSON object, got list", id="a list"),
        pytest.param(wire({}, "summary"), "the miner refuses: invalid cmd", id="an error"),
    ],
)
def test_an_answer_that_is_none_is_refused(said: bytes, reason: str) -> None:
    with pytest.raises(MinerAnswerError, match=reason):
        parsed(said)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("SUMMARY", "STATS", "DEVS", "CONFIG", "MHS av", "Elapsed", "temp_pcb1", "fan1", "ProfileStep"),
                    *("Power", "chain_acn1", "chain_rate1", "0 MHS(Sample)", "Difficulty Accepted", "Pool Rejected%"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(["summary", "stats", "devs", "config", "power"]),
        st.dictionaries(st.sampled_from(["SUMMARY", "STATS", "DEVS", "CONFIG", "POWER"]), _JSON),
    )
)
def test_no_answer_raises_anything_else(answers: dict[str, dict[str, Any]]) -> None:
    with suppress(MinerAnswerError):
        reading(answers)


@given(st.binary())
def test_no_bytes_raise_anything_else(said: bytes) -> None:
    with suppress(MinerAnswerError):
        parsed(said)
