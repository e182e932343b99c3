"""The table of measurements: `python -m simulators.gpu.measurement.table SAMPLES.csv … --phases FILE --courses FILE`.

A row a phase of each run, with its means once it is steady, and the course of the phases that warm a board up or let it
cool. `board` is the number of the run's file, from 1.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from simulators.gpu.measurement.schedule import COOLING, RELEASED, SETUP, WARMING

PHASES = Path(__file__).with_name("h100_phases.csv")
"""Five runs on H100 SXM of 80 GB in a cloud, 2026-11-27, driver 580.159.04: 1 and 2 the whole of the schedule, the
others shortened. 1 to 3 are three boards by their serial numbers; of 4 and 5 those were not asked. All had nothing else
to do; what cooled them is not known."""

COURSES = Path(__file__).with_name("h100_courses.csv")
"""The same: how those two warmed up and cooled."""

COURSE_S = 2.0
"""Time that a row of a course is the mean of."""

_SETTLING_S = 4.0
# At most: NVML's power is the mean of a second, and the limit takes effect within three.
_SETTLING_SHARE = 1 / 3
_SHORTEST_COURSE_S = 30.0
_POWER_CAP = 0x4
_DIGITS = {"power_w": 1, "power_sd_w": 2, "duty": 3, "steps_per_s": 1}


def main() -> None:
    """Makes both tables of files of samples."""
    parser = argparse.ArgumentParser(prog="python -m simulators.gpu.measurement.table", description=__doc__)
    parser.add_argument("samples", type=Path, nargs="+", help="CSV files of the measurement, one a board")
    parser.add_argument("--phases", type=Path, default=PHASES, help="(default %(default)s)")
    parser.add_argument("--courses", type=Path, default=COURSES, help="(default %(default)s)")
    args = parser.parse_args()
    boards = [read(file) for file in args.samples]
    numbered(boards, phases).write_csv(args.phases)
    numbered(boards, courses).write_csv(args.courses)


def read(file: Path) -> pl.DataFrame:
    """Returns the rows of a file of samples, or of a table."""
    return pl.read_csv(file, comment_prefix="#", infer_schema_length=None)


def numbered(boards: Sequence[pl.DataFrame], table: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
    """Returns the tables of all boards' samples below each other, with the number of the board."""
    return pl.concat(
        [table(samples).select(pl.lit(number).alias("board"), pl.all()) for number, samples in enumerate(boards, 1)]
    )


def phases(samples: pl.DataFrame) -> pl.DataFrame:
    """Returns a row a phase: W by the energy counter and standard deviation of NVML's power, MHz, C, %, share of
    samples at the power cap, share of time with work, and steps in a second of it. Its first seconds are left out.
    """
    settling = pl.min_horizontal(_SETTLING_S, pl.col("lasted_s") * _SETTLING_SHARE)
    steady = _runs(samples).filter(pl.col("phase") != SETUP, pl.col("into_s") >= settling)
    runs = steady.group_by("phase", "run", maintain_order=True).agg(
        *(_gain(name) for name in ("at_s", "energy_j", "busy_s", "steps")),
        *_means(),
        pl.col("power_w").std().alias("power_sd_w"),
        (pl.col("throttle_reasons").cast(pl.Int64) & _POWER_CAP != 0).mean().alias("capped_share"),
    )
    weighed = [
        ((pl.col(name) * pl.col("at_s")).sum() / pl.col("at_s").sum()).alias(name)
        for name in runs.columns[runs.columns.index("sm_clock_mhz") :]
    ]
    found = runs.group_by("phase", maintain_order=True).agg(
        pl.col("at_s").sum().alias("seconds"),
        (pl.col("energy_j").sum() / pl.col("at_s").sum()).alias("power_w"),
        *weighed,
        (pl.col("busy_s").sum() / pl.col("at_s").sum()).alias("duty"),
        pl.when(pl.col("busy_s").sum() > 0)
        .then(pl.col("steps").sum() / pl.col("busy_s").sum())
        .otherwise(0.0)
        .alias("steps_per_s"),
    )
    return _rounded(found)


def courses(samples: pl.DataFrame) -> pl.DataFrame:
    """Returns means of each `COURSE_S` of the phases that are a step of power, where they are long enough."""
    steps = _runs(samples).filter(pl.col("phase").is_in([WARMING, COOLING, RELEASED]))
    found = (
        steps.filter(pl.col("lasted_s") >= _SHORTEST_COURSE_S)
        .with_columns(pl.col("into_s") // COURSE_S * COURSE_S)
        .group_by("phase", "into_s", maintain_order=True)
        .agg(pl.col("power_w").mean(), *_means())
    )
    return _rounded(found.drop("utilization_percent", "memory_utilization_percent"))


def _runs(samples: pl.DataFrame) -> pl.DataFrame:
    """Numbers the stretches of one phase, and says how long each lasted and how far into it a sample is, s."""
    is_first = (pl.col("phase") != pl.col("phase").shift()).fill_null(value=True)
    into = pl.col("at_s") - pl.col("at_s").min().over("run")
    return samples.with_columns(is_first.cum_sum().alias("run")).with_columns(
        into.alias("into_s"), into.max().over("run").alias("lasted_s")
    )


def _means() -> list[pl.Expr]:
    names = ("sm_clock_mhz", "temp_c", "memory_temp_c", "utilization_percent", "memory_utilization_percent")
    return [pl.col(name).mean() for name in names]


def _gain(name: str) -> pl.Expr:
    return (pl.col(name).last() - pl.col(name).first()).alias(name)


def _rounded(table: pl.DataFrame) -> pl.DataFrame:
    floats = [name for name, kind in table.schema.items() if kind.is_float()]
    return table.with_columns(
        pl.col(name).round(_DIGITS.get(name, 2 if name.endswith("share") else 1)) for name in floats
    )


if __name__ == "__main__":
    main()
