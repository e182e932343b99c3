"""GPUs in the names and labels of NVIDIA's dcgm-exporter (etc/default-counters.csv), with its label of the pod.

A GPU's UUID is its device_id, and the pod that holds it its workload, so that `hcp bridge dcgm` finds both again.
"""

import polars as pl

from simulators.exporter.exposition import Family, labels, text
from simulators.gpu.course import MEMORY_GIB
from simulators.site import GPUS_PER_NODE

MODEL = "NVIDIA H100 80GB HBM3"
"""What DCGM calls an H100 SXM."""

_MIB_PER_GIB = 1024
_NUMBER = pl.col("device_id").str.extract(r"(\d+)$").cast(pl.Int64) - 1
HOST = pl.concat_str("resource_group_id", pl.lit("-node-"), (_NUMBER // GPUS_PER_NODE + 1).cast(pl.String))
"""Name of the node that a GPU is in: texas-1-h100-node-1 has the first eight of its group."""

_INDEX = (_NUMBER % GPUS_PER_NODE).cast(pl.String)
_LABELS = labels(
    gpu=_INDEX,
    UUID=pl.col("device_id"),
    device=pl.concat_str(pl.lit("nvidia"), _INDEX),
    modelName=pl.lit(MODEL),
    Hostname=HOST,
    pod=pl.col("workload_id"),
)
_USED_MIB = pl.col("memory_used_gib") * _MIB_PER_GIB
_FAMILIES = (
    Family("DCGM_FI_DEV_SM_CLOCK", "gauge", "Clock of the SMs, MHz.", pl.col("sm_clock_mhz")),
    Family("DCGM_FI_DEV_GPU_TEMP", "gauge", "Temperature of the GPU, C.", pl.col("temp_c")),
    Family("DCGM_FI_DEV_MEMORY_TEMP", "gauge", "Temperature of the memory, C.", pl.col("memory_temp_c")),
    Family("DCGM_FI_DEV_POWER_USAGE", "gauge", "Power, W.", pl.col("power_w")),
    Family("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "counter", "Energy since the start, mJ.", pl.col("energy_mj")),
    Family(
        "DCGM_FI_DEV_GPU_UTIL", "gauge", "Share of time with a kernel, %.", (pl.col("utilization_ratio") * 100).round(1)
    ),
    Family("DCGM_FI_DEV_FB_FREE", "gauge", "Free memory, MiB.", MEMORY_GIB * _MIB_PER_GIB - _USED_MIB),
    Family("DCGM_FI_DEV_FB_USED", "gauge", "Memory in use, MiB.", _USED_MIB),
    Family("DCGM_FI_DEV_XID_ERRORS", "gauge", "Newest XID error, 0 for none.", pl.col("xid")),
    Family(
        "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS", "gauge", "What holds the clock down, a mask.", pl.col("throttle_reasons")
    ),
    Family("DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", "counter", "Corrected errors since the start.", pl.col("ecc_corrected")),
    Family("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "counter", "Errors beyond correction since then.", pl.col("ecc_double")),
)


def page(frame: pl.DataFrame) -> str:
    """Returns the page of a frame of readings with the counters of `simulators.exporter.newest`."""
    return text(frame, _LABELS, _FAMILIES)
