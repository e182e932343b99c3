"""Miners in the names and labels of prometheus-asic (github.com/vaa1234/prometheus-asic), an exporter on pyasic.

Its `ip` is the device_id, as simulated miners have no address, and its `location` the facility.
"""

import polars as pl

from simulators.exporter.exposition import Family, labels, text

_DEVICE = {"ip": pl.col("device_id"), "location": pl.col("facility_id")}
_FAMILIES = (
    Family("asic_miner_status_ths_rt", "gauge", "Hashrate, TH/s.", pl.col("hashrate_ths")),
    Family("asic_miner_status_power", "gauge", "Power, W.", pl.col("power_w")),
    Family("asic_miner_status_uptime", "gauge", "Time since the software started, s.", pl.col("uptime_s")),
    Family("asic_miner_temperature_avg_temperature", "gauge", "Temperature of the boards, C.", pl.col("temp_c")),
    Family("asic_miner_fans_fan_speed_in", "gauge", "Speed of the fans, 1/min.", pl.col("fan_rpm")),
    Family("asic_pool_status_reject_rate", "gauge", "Rejected work, %.", pl.col("pool_rejected_ratio") * 100),
)
_STATUS = Family("asic_miner_status", "gauge", "1 in the mode that the label names.", pl.lit(1))


def page(frame: pl.DataFrame) -> str:
    """Returns the page of a frame of readings."""
    status = text(frame, labels(**_DEVICE, power_mode=pl.col("power_mode")), (_STATUS,))
    return text(frame, labels(**_DEVICE), _FAMILIES) + status
