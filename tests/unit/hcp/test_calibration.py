"""Simulated series beside recorded ones: figures, verdicts, and the files."""

from pathlib import Path

import numpy as np
import pytest

from hcp.calibration import measured_board, report
from hcp.calibration.error import CalibrationError
from hcp.calibration.figure import Figure, moments, prices, returns
from hcp.calibration.recording import Recording
from hcp.calibration.section import Section

MEAN = Figure("mean", lambda values: float(values.mean()), 0.1, 2.0)


@pytest.mark.parametrize(
    ("simulated", "recorded", "expected"),
    [(109, 100, True), (111, 100, False), (89, 100, False), (-1.9, 0, True), (2.1, 0, False), (-109, -100, True)],
)
def test_a_figure_may_stray_by_its_share_of_the_recorded_one_or_by_its_amount(
    simulated: float, recorded: float, expected: bool
) -> None:
    assert MEAN.is_within(simulated, recorded) is expected


def test_figures_of_prices_count_spikes_and_hours_below_zero() -> None:
    values = np.tile([-5.0, 20.0, 150.0, 2000.0], 25)
    found = {figure.name: figure.of(values) for figure in prices(1)}
    assert (found["% over 100"], found["% over 1000"], found["% below 0"]) == (50.0, 25.0, 25.0)
    # The pattern comes again every four values, and 24 is six times four.
    assert found["correlation after 24 h"] == pytest.approx(1.0)
    assert found["50 %"] == pytest.approx(85.0)


def test_a_normal_series_has_no_excess_kurtosis_and_no_memory() -> None:
    values = np.random.default_rng(1).standard_normal(50_000)
    found = {figure.name: figure.of(values) for figure in returns()}
    assert found["excess kurtosis"] == pytest.approx(0, abs=0.15)
    assert found["correlation of sizes after 1 h"] == pytest.approx(0, abs=0.02)
    assert found["standard deviation"] == pytest.approx(1, abs=0.02)


def test_one_figure_that_strays_fails_the_whole() -> None:
    good = Section("good", "s", moments(0.1, 0.1), np.arange(10.0), np.arange(10.0))
    bad = Section("bad", "s", (MEAN,), np.full(10, 100.0), np.full(10, 150.0))
    assert report.summary([good]) == ("2 of 2 figures are within their tolerance", True)
    assert report.summary([good, bad]) == ("2 of 3 figures are within their tolerance", False)


def test_without_recorded_data_nothing_is_judged(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    assert [recording.pool_prices(), recording.gpu_sizes(), recording.difficulty_changes()] == [None, None, None]
    alone = Section("alone", "s", (MEAN,), np.arange(10.0), None)
    assert [row.is_within for row in alone.comparisons()] == [None]
    assert report.summary([alone]) == ("0 of 0 figures are within their tolerance", True)


def test_power_of_gpus_in_use_is_that_over_idle_of_those_with_the_most(tmp_path: Path) -> None:
    rows = [(0, 55), (37, 62), (68.5, 231), (100, 400)]
    lines = [f"{percent},{power}" for percent, power in rows]
    (tmp_path / "gpu_power_util_runtime_percentiles_x.csv").write_text(
        "\n".join(["percentile,acme_kalos_gpu_power_w", *lines])
    )
    shares = Recording(tmp_path).gpu_power_shares()
    assert shares is not None
    # 231 W lies halfway from 62 to 400 W.
    assert np.quantile(shares, [0, 0.5, 1]) == pytest.approx([0, 50, 100], abs=0.2)


def test_a_change_of_difficulty_is_counted_once_though_its_day_is_a_mean_of_both(tmp_path: Path) -> None:
    rows = [("2023-05-31", 1), ("2023-06-01", 100), ("2023-06-02", 100), ("2023-06-03", 104), ("2023-06-04", 110),
            ("2023-06-05", 110), ("2023-06-06", 110), ("2023-06-07", 99), ("2023-06-08", 99)]  # fmt: skip
    lines = [f"{day},{difficulty}" for day, difficulty in rows]
    (tmp_path / "btc_daily_x.csv").write_text("\n".join(["date_utc,difficulty_mean", *lines]))
    # 100 to 110, then to 99.
    assert Recording(tmp_path).difficulty_changes() == pytest.approx([10.0, -10.0])


def test_a_file_without_the_columns_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "btc_blocks_x.csv").write_text("height\n1\n")
    with pytest.raises(CalibrationError, match=r"btc_blocks_x\.csv can't be read with the columns fees_btc"):
        Recording(tmp_path).block_fees()


def test_waits_count_those_who_were_scheduled_as_having_waited_until_then(tmp_path: Path) -> None:
    # Of eight that outlast five minutes two are deleted at 400 s; then three are scheduled, and of the three that still
    # wait one is deleted: 1 - 6/8, and 1 - 6/8 * 2/3 = 1/2 at 900 s.
    waits = [(400, None)] * 2 + [(5_000, 600)] * 3 + [(900, None)] + [(2_000, None)] * 2 + [(100, None), (9_000, 2)]
    lines = [f"10,{10 + end},{'' if start is None else 10 + start}" for end, start in waits]
    file = tmp_path / "gpu_jobs_alibaba_openb_x.csv"
    file.write_text("\n".join(["creation_s,deletion_s,scheduled_s", *lines]))
    assert Recording(tmp_path).gpu_waits() == (400, 900)


def test_the_simulated_board_is_as_the_measured_ones() -> None:
    sections = measured_board.sections(seed=1)
    assert report.summary(sections) == ("7 of 7 figures are within their tolerance", True)
    assert {section.name: len(section.recorded) for section in sections if section.recorded is not None} == {
        "H100 without a context": 5,
        "H100 held, waits": 5,
        "H100 trains at 700 W": 5,
        "H100, warmed by a full load": 2,
        "H100, warmed in 15 s": 2,
        "its memory, warmed by a full load": 2,
        "its memory, warmed in 15 s": 2,
    }
