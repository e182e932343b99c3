"""Reads the recorded series from CSV files, found by name in one folder; without its file a series is None."""

from pathlib import Path

import numpy as np
import polars as pl

from hcp.calibration.error import CalibrationError
from hcp.calibration.figure import Floats
from simulators.patience import SHORTEST_WAIT_S
from simulators.workload import LONGEST_S, SHORTEST_S

_HOURLY_PRICES = "ercot_hourly_dam_rtm_hubs_zones_*.csv"
_DAILY_BITCOIN = "btc_daily_*.csv"
_BLOCKS = "btc_blocks_*.csv"
# Changes of difficulty before are those of another industry: China's ban of 2021, and growth of 60 % a year.
_DIFFICULTY_FROM = "2023-06"
_PRICES_FROM = "2024"
_KALOS_IDLE_RANK = 37.0
_KALOS_W = (62.0, 400.0)
# Below that rank Kalos' GPUs are hardly utilised; an A100 at idle there, and at its limit.


class Recording:
    """The files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def settlement_prices(self) -> Floats | None:
        """Real-time prices of ERCOT's hub average by the quarter-hour, USD/MWh."""
        return self._column("ercot_rtm_spp_15min_HB_HUBAVG_*.csv", "price_usd_per_mwh")

    def hourly_prices(self, point: str, market: str) -> Floats | None:
        """ERCOT's hourly prices at a point, USD/MWh; `market` is rtm or dam. Hours without a price are left out."""
        return self._column(_HOURLY_PRICES, f"{point.lower()}_{market}_usd_per_mwh")

    def hourly_differences(self, minuend: tuple[str, str], subtrahend: tuple[str, str]) -> Floats | None:
        """Hourly differences of two of ERCOT's prices, each a point and rtm or dam, USD/MWh."""
        names = [f"{point.lower()}_{market}_usd_per_mwh" for point, market in (minuend, subtrahend)]
        frame = self._frame(_HOURLY_PRICES, *names)
        return None if frame is None else _floats(frame.select(names[0])) - _floats(frame.select(names[1]))

    def pool_prices(self) -> Floats | None:
        """Alberta's prices by the hour from 2024 on, CAD/MWh."""
        frame = self._frame("aeso_pool_price_hourly_*.csv", "interval_start_utc", "pool_price_cad_per_mwh")
        return None if frame is None else _floats(frame.filter(pl.col("interval_start_utc") >= _PRICES_FROM))

    def bitcoin_returns(self) -> Floats | None:
        """Log returns of bitcoin by the hour, percent."""
        closes = self._column("btc_usd_hourly_*.csv", "close")
        return None if closes is None else np.asarray(100 * np.diff(np.log(closes)))

    def block_gaps(self) -> Floats | None:
        """Seconds between the header times of one block and the next."""
        frame = self._frame(_BLOCKS, "time_utc")
        if frame is None:
            return None
        times = frame["time_utc"].str.to_datetime("%Y-%m-%dT%H:%M:%SZ").dt.epoch("s")
        return np.asarray(np.diff(times.to_numpy().astype(float)))

    def block_fees(self) -> Floats | None:
        """Fees of blocks, BTC."""
        return self._column(_BLOCKS, "fees_btc")

    def difficulty_changes(self) -> Floats | None:
        """Changes of difficulty, percent."""
        frame = self._frame(_DAILY_BITCOIN, "date_utc", "difficulty_mean")
        if frame is None:
            return None
        daily = _floats(frame.filter(pl.col("date_utc") >= _DIFFICULTY_FROM))
        # A day on which it changes has a mean of both, which comes only once.
        steady = daily[1:][np.isclose(daily[1:], daily[:-1], rtol=1e-9)]
        levels = steady[np.append(True, ~np.isclose(steady[1:], steady[:-1], rtol=1e-6))]
        return np.asarray(100 * (levels[1:] / levels[:-1] - 1))

    def gpu_sizes(self) -> tuple[float, float] | None:
        """Median and mean of GPUs a job in Acme's cluster Seren."""
        frame = self._frame("gpu_cluster_summary_*.csv", "id", "med_gpu_num", "avg_gpu_num")
        if frame is None:
            return None
        median, mean = frame.filter(pl.col("id") == "Seren").row(0)[1:]
        return float(median), float(mean)

    def gpu_durations(self) -> Floats | None:
        """Durations of Philly's jobs at evenly spaced ranks, within what the simulator allows, s."""
        frame = self._frame("gpu_power_util_runtime_percentiles_*.csv", "percentile", "philly_job_runtime_s")
        if frame is None:
            return None
        percent, seconds = (frame[name].cast(pl.Float64).to_numpy() for name in frame.columns)
        drawn = np.exp(np.interp(np.arange(0.05, 100, 0.1), percent, np.log(np.maximum(seconds, 1))))
        return np.asarray(np.clip(drawn, SHORTEST_S, LONGEST_S))

    def gpu_waits(self) -> tuple[float, float] | None:
        """Quartile and median of how long jobs of Alibaba's cluster waited until they were deleted unscheduled, s: of
        those that outlasted `SHORTEST_WAIT_S`. Product-limit estimate, as most were scheduled before.
        """
        frame = self._frame("gpu_jobs_alibaba_openb_*.csv", "creation_s", "deletion_s", "scheduled_s", nullable=True)
        if frame is None:
            return None
        left = pl.col("scheduled_s").is_null()
        waited = frame.select(
            pl.min_horizontal("scheduled_s", "deletion_s").sub(pl.col("creation_s")).alias("s"), left.alias("left")
        )
        waited = waited.filter(pl.col("s") > SHORTEST_WAIT_S).sort("s", ~pl.col("left"))
        still = len(waited) - np.arange(len(waited))
        gone = 1 - np.cumprod(1 - waited["left"].to_numpy() / still)
        quartile, median = waited["s"].to_numpy()[np.searchsorted(gone, [0.25, 0.5])].tolist()
        return float(quartile), float(median)

    def gpu_power_shares(self) -> Floats | None:
        """Power over idle of GPUs in use in Acme's cluster Kalos at evenly spaced ranks, percent of a board's range."""
        frame = self._frame("gpu_power_util_runtime_percentiles_*.csv", "percentile", "acme_kalos_gpu_power_w")
        if frame is None:
            return None
        percent, power = (frame[name].cast(pl.Float64).to_numpy() for name in frame.columns)
        drawn = np.interp(np.arange(_KALOS_IDLE_RANK, 100, 0.1), percent, power)
        return np.asarray(100 * (drawn - _KALOS_W[0]) / (_KALOS_W[1] - _KALOS_W[0]))

    def _column(self, pattern: str, name: str) -> Floats | None:
        frame = self._frame(pattern, name)
        return None if frame is None else _floats(frame)

    def _frame(self, pattern: str, *names: str, nullable: bool = False) -> pl.DataFrame | None:
        files = sorted(self._folder.glob(pattern))
        if not files:
            return None
        try:
            found = pl.read_csv(files[-1], infer_schema_length=None).select(names)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise CalibrationError(f"{files[-1]} can't be read with the columns {', '.join(names)}") from error
        return found if nullable else found.drop_nulls()


def _floats(frame: pl.DataFrame) -> Floats:
    return frame[frame.columns[-1]].cast(pl.Float64).to_numpy()
