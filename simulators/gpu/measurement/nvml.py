"""A board as NVML shows it: what it is, and its readings now. `pynvml` is the package nvidia-ml-py."""

from collections.abc import Callable
from typing import Any

_VALUES = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
# Members of NVML's union of a field's value, by their nvmlValueType_t.

Read = Callable[[], float]


class NvmlBoard:
    """The board of an index, as NVML counts them. `columns` are those of its readings that it has."""

    def __init__(self, pynvml: Any, index: int) -> None:
        """Raises pynvml.NVMLError where NVML or the board can't be had."""
        self._nvml = pynvml
        pynvml.nvmlInit()
        self._handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        self._reads = {name: read for name, read in self._known().items() if self._is_there(read)}
        self.columns = tuple(self._reads)

    def readings(self) -> list[float]:
        """Returns a number for each of `columns`: W, J, MHz, C, %, MiB, and NVML's masks."""
        return [read() for read in self._reads.values()]

    def description(self) -> dict[str, str]:
        """What the board is, its driver, limits and clocks, as far as NVML says."""
        nvml, handle = self._nvml, self._handle
        asked: dict[str, Callable[[], Any]] = {
            "name": lambda: nvml.nvmlDeviceGetName(handle),
            "driver": nvml.nvmlSystemGetDriverVersion,
            "vbios": lambda: nvml.nvmlDeviceGetVbiosVersion(handle),
            "power limit, W": lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,
            "greatest SM clock, MHz": lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM),
            "greatest memory clock, MHz": lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_MEM),
            "persistence": lambda: nvml.nvmlDeviceGetPersistenceMode(handle),
            "ECC": lambda: nvml.nvmlDeviceGetEccMode(handle)[0],
            "slowdown at C": self._threshold(nvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN),
            "shutdown at C": self._threshold(nvml.NVML_TEMPERATURE_THRESHOLD_SHUTDOWN),
            "most in operation, C": self._threshold(nvml.NVML_TEMPERATURE_THRESHOLD_GPU_MAX),
            "most of the memory in operation, C": self._threshold(nvml.NVML_TEMPERATURE_THRESHOLD_MEM_MAX),
        }
        return {what: str(ask()) for what, ask in asked.items() if self._is_there(ask)}

    def _known(self) -> dict[str, Read]:
        nvml, handle = self._nvml, self._handle
        return {
            "power_w": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
            "power_average_w": lambda: self._field(nvml.NVML_FI_DEV_POWER_AVERAGE) / 1000,
            "power_instant_w": lambda: self._field(nvml.NVML_FI_DEV_POWER_INSTANT) / 1000,
            "energy_j": lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000,
            "sm_clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            "memory_clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
            "temp_c": lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
            "memory_temp_c": lambda: self._field(nvml.NVML_FI_DEV_MEMORY_TEMP),
            "utilization_percent": lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu,
            "memory_utilization_percent": lambda: nvml.nvmlDeviceGetUtilizationRates(handle).memory,
            "memory_used_mib": lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used / 2**20,
            "throttle_reasons": lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(handle),
            "performance_state": lambda: nvml.nvmlDeviceGetPerformanceState(handle),
        }

    def _is_there(self, read: Callable[[], Any]) -> bool:
        try:
            read()
        except self._nvml.NVMLError:
            return False
        return True

    def _threshold(self, kind: int) -> Callable[[], Any]:
        return lambda: self._nvml.nvmlDeviceGetTemperatureThreshold(self._handle, kind)

    def _field(self, field: int) -> float:
        found = self._nvml.nvmlDeviceGetFieldValues(self._handle, [field])[0]
        if found.nvmlReturn != self._nvml.NVML_SUCCESS:
            raise self._nvml.NVMLError(found.nvmlReturn)
        return float(getattr(found.value, _VALUES[found.valueType]))
