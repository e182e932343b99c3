"""GPUs as telemetry.gpu: pages of dcgm-exporter, which are asked over HTTP."""

from collections.abc import Sequence
from datetime import datetime

from aiohttp import ClientError, ClientSession

from schemas.catalog import topic
from simulators.bridge.gpu_page import GpuPageError, GpuReading, readings
from simulators.bridge.poll import Event, Source, UnreadableError
from simulators.bridge.source_list import Exporter

WORKER = "bridge-dcgm"
GPU = topic("telemetry.gpu")

_PAGE_BYTES = 8_000_000
_CHUNK = 65_536


def source(exporter: Exporter, session: ClientSession, workload_label: str | None) -> Source:
    """Returns an exporter as a source of the poller; the label, where there is one, names a GPU's workload."""
    return Source(exporter.url, GPU, _Scraped(exporter, session, workload_label).read)


class _Scraped:
    """An exporter that is asked again and again."""

    def __init__(self, exporter: Exporter, session: ClientSession, workload_label: str | None) -> None:
        self._exporter = exporter
        self._session = session
        self._workload_label = workload_label

    async def read(self, at: datetime) -> tuple[bytes, Sequence[Event]]:
        """Returns the page and an event a GPU."""
        page = await self._page()
        try:
            found = readings(page.decode())
        except (GpuPageError, UnicodeDecodeError) as error:
            raise UnreadableError(page, str(error)) from error
        return page, [self._event(gpu, at) for gpu in found]

    def _event(self, gpu: GpuReading, at: datetime) -> Event:
        workload = gpu.labels.get(self._workload_label) if self._workload_label else None
        return {
            "device_id": gpu.uuid,
            "facility_id": self._exporter.facility_id,
            "resource_group_id": self._exporter.resource_group_id,
            "observed_at": at.isoformat(timespec="milliseconds"),
            "workload_id": workload or None,
            **gpu.values,
        }

    async def _page(self) -> bytes:
        page = bytearray()
        try:
            async with self._session.get(self._exporter.url) as answer:
                async for chunk in answer.content.iter_chunked(_CHUNK):
                    page += chunk
                    if len(page) > _PAGE_BYTES:
                        raise UnreadableError(bytes(page), f"a page of over {_PAGE_BYTES} bytes")
        except ClientError as error:
            raise ConnectionError(str(error) or type(error).__name__) from error
        if answer.status != 200:
            raise UnreadableError(bytes(page), f"status {answer.status}")
        return bytes(page)
