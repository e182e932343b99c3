"""GPUs of a page of dcgm-exporter as readings: pure. Fields and units are those of its list of default counters."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from simulators.bridge.error import BridgeError

_UTILIZATION = "DCGM_FI_DEV_GPU_UTIL"  # percent
_POWER = "DCGM_FI_DEV_POWER_USAGE"  # W
_TEMPERATURE = "DCGM_FI_DEV_GPU_TEMP"  # degrees Celsius
_MEMORY = "DCGM_FI_DEV_FB_USED"  # MiB
_MEMORY_TEMPERATURE = "DCGM_FI_DEV_MEMORY_TEMP"  # degrees Celsius

_FIELDS = {
    _UTILIZATION: ("utilization_ratio", 1 / 100),
    _POWER: ("power_w", 1.0),
    _TEMPERATURE: ("temp_c", 1.0),
    _MEMORY: ("memory_used_gib", 1 / 1024),
    _MEMORY_TEMPERATURE: ("memory_temp_c", 1.0),
}
_WHOLE_FIELDS = {
    "DCGM_FI_DEV_SM_CLOCK": "sm_clock_mhz",
    "DCGM_FI_DEV_XID_ERRORS": "xid",  # number of the newest error, 0 for none
    # One field under the name of DCGM until 3.3 and the one since.
    "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS": "throttle_reasons",
    "DCGM_FI_DEV_CLOCKS_EVENT_REASONS": "throttle_reasons",
}
_KNOWN = _FIELDS.keys() | _WHOLE_FIELDS.keys()
_INSTANCE = "GPU_I_ID"


class GpuPageError(BridgeError):
    """A page is not Prometheus' text format, or has no GPU."""


@dataclass(slots=True)
class GpuReading:
    """One GPU now: its labels, and by field of telemetry.gpu what the page says; a field may be missing."""

    uuid: str
    labels: Mapping[str, str]
    values: dict[str, float] = field(default_factory=dict)


def readings(page: str) -> tuple[GpuReading, ...]:
    """Returns the GPUs of a page, sorted by UUID; instances of a divided GPU (MIG) are left out.

    Raises GpuPageError.
    """
    found: dict[str, GpuReading] = {}
    try:
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                uuid = sample.labels.get("UUID")
                if not uuid or _INSTANCE in sample.labels or sample.name not in _KNOWN:
                    continue
                gpu = found.setdefault(uuid, GpuReading(uuid, sample.labels))
                if sample.name in _WHOLE_FIELDS:
                    gpu.values[_WHOLE_FIELDS[sample.name]] = int(sample.value)
                else:
                    name, factor = _FIELDS[sample.name]
                    gpu.values[name] = sample.value * factor
    except (ValueError, OverflowError, IndexError, KeyError) as error:
        raise GpuPageError(f"not a page of metrics: {error}") from error
    if not found:
        raise GpuPageError(f"no GPU: none of {', '.join(_FIELDS)} with a UUID")
    return tuple(found[uuid] for uuid in sorted(found))
