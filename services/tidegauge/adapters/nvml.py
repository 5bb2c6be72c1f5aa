"""GPUs of this machine through NVML (the package nvidia-ml-py, extra ``nvml``)."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, Final

from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.upstream_events import GpuReading

__all__ = ["NvmlError", "read_gpus"]

_MOST_GPUS: Final = 64


class NvmlError(TidegaugeError):
    """NVML is not there, or does not answer."""


def read_gpus(wanted: Collection[str] = ()) -> tuple[GpuReading, ...]:
    """Return the readings of this machine's GPUs, their energy since the driver was loaded.

    NVML does not tell the activity of engines and tensor cores; what it calls utilisation is the
    share of time in which a kernel ran.

    Args:
        wanted: Indices or UUIDs; all if empty.

    Raises:
        NvmlError: The package or the driver's library is missing, or fails.
    """
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ModuleNotFoundError as error:
        raise NvmlError(
            "GPUs are read with nvidia-ml-py, which is not installed: pip install 'tidegauge[nvml]'"
        ) from error
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise NvmlError(f"NVML cannot be used: {error}") from error
    try:
        count = min(_MOST_GPUS, nvml.nvmlDeviceGetCount())
        found = [_read(nvml, index, wanted) for index in range(count)]
    except nvml.NVMLError as error:
        raise NvmlError(f"NVML does not tell the GPUs: {error}") from error
    finally:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()
    return tuple(gpu for gpu in found if gpu is not None)


def _read(nvml: Any, index: int, wanted: Collection[str]) -> GpuReading | None:  # noqa: ANN401 - an untyped module
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    uuid = nvml.nvmlDeviceGetUUID(handle)
    uuid = uuid.decode() if isinstance(uuid, bytes) else str(uuid)
    if wanted and not {str(index), uuid} & set(wanted):
        return None

    def told(ask: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - numbers and structs of NVML
        try:
            return ask(handle)
        except nvml.NVMLError:
            return None  # not every GPU tells everything

    rates, memory = told(nvml.nvmlDeviceGetUtilizationRates), told(nvml.nvmlDeviceGetMemoryInfo)
    power, energy = (
        told(nvml.nvmlDeviceGetPowerUsage),
        told(nvml.nvmlDeviceGetTotalEnergyConsumption),
    )
    return GpuReading(
        gpu=uuid if uuid in wanted else str(index),
        utilisation=None if rates is None else rates.gpu / 100,
        memory_active=None if rates is None else rates.memory / 100,
        memory_used_bytes=None if memory is None else float(memory.used),
        power_watts=None if power is None else power / 1e3,
        energy_joules=None if energy is None else energy / 1e3,
    )
