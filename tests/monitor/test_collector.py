"""The collector asks servers over HTTP, says what is silent, and publishes one sample each."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType, SimpleNamespace

import pytest

from tidegauge.adapters.nvml import NvmlError, read_gpus
from tidegauge.cost.exposition import MOST_BYTES
from tidegauge.gateway.configuration import Catalog, Scraped, parse, scraped_upstreams
from tidegauge.monitor.collector import Collector, ScrapeError, Scraper, fetch
from tidegauge.runtime.kafka.errors import PublishError
from tidegauge.schemas.upstream_events import GpuReading, UpstreamSample
from tidegauge.streaming.processor import Output

SCRAPES = Path(__file__).parents[1] / "cost" / "scrapes"


class Server(ThreadingHTTPServer):
    """Answers with what it is given, by path; with 404 to others."""

    answers: dict[str, bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        body = self.server.answers.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("content-length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), _Handler) as server:
        server.answers = {
            "/metrics": (SCRAPES / "vllm-busy.txt").read_bytes(),
            "/gpus": (SCRAPES / "dcgm-exporter.txt").read_bytes(),
        }
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def catalog(server: Server, fields: str = "gpu_usd_per_hour: 2.5") -> Catalog:
    return parse(f"models: {{m: {{upstreams: [{{url: '{server.url}/v1', {fields}}}]}}}}")


def test_which_upstreams_are_asked(server: Server) -> None:
    (one,) = scraped_upstreams(catalog(server))
    assert one == Scraped(f"127.0.0.1:{server.server_port}", f"{server.url}/metrics", None, ())
    assert scraped_upstreams(catalog(server, "price: {input: 1}")) == ()
    assert scraped_upstreams(catalog(server, "gpu_usd_per_hour: 1, metrics_url: ''")) == ()
    (one,) = scraped_upstreams(catalog(server, "gpu_metrics_url: nvml, gpus: ['0']"))
    assert (one.metrics_url, one.gpu_metrics_url, one.gpus) == (None, "nvml", ("0",))


def test_a_server_and_its_gpus_are_published(server: Server) -> None:
    published: list[Output] = []
    fields = f"gpu_usd_per_hour: 2.5, gpus: ['0'], gpu_metrics_url: '{server.url}/gpus'"
    times = iter(range(0, 60_000, 15_000))
    collector = Collector(
        lambda: catalog(server, fields), published.extend, lambda: next(times), 15.0
    )
    with ThreadPoolExecutor(2) as pool:
        (first,) = collector.collect(pool)
        server.answers["/metrics"] = (SCRAPES / "vllm-after.txt").read_bytes()
        (second,) = collector.collect(pool)
    assert [output.event for output in published] == [first, second]
    assert (first.running, first.prompt_tokens, first.faults) == (1.0, None, ())
    assert (second.running, second.prompt_tokens, second.seconds) == (0.0, 600.0, 15.0)
    assert [gpu.engine_active for gpu in second.gpus] == [0.937512]


def test_what_is_silent_is_said(server: Server) -> None:
    silent = Scraped("a:1", f"{server.url}/nowhere", "http://127.0.0.1:9/metrics", ())
    sample = Scraper(silent).sample(1_000)
    assert sample.running is None
    assert "status 404" in sample.faults[0]
    assert "does not answer" in sample.faults[1]
    server.answers["/nowhere"] = b"<html>up 1</html>"
    assert "none of vLLM's metrics" in Scraper(silent).sample(1_000).faults[0]
    server.answers["/nowhere"] = b"x" * (MOST_BYTES + 1)
    assert "bytes" in Scraper(silent).sample(1_000).faults[0]
    with pytest.raises(ScrapeError, match="does not answer"):
        fetch("http://127.0.0.1:9/metrics")


def test_a_broker_that_is_away_ends_nothing(server: Server) -> None:
    def away(_: Sequence[Output]) -> None:
        raise PublishError("away")

    with ThreadPoolExecutor(1) as pool:
        (sample,) = Collector(lambda: catalog(server), away, lambda: 0, 15.0).collect(pool)
    assert isinstance(sample, UpstreamSample)


def test_gpus_of_this_machine_through_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", _nvml(count=2))
    first, second = read_gpus()
    assert (first.gpu, second.gpu) == ("0", "1")
    assert (first.utilisation, first.memory_used_bytes, first.power_watts) == (0.97, 4096.0, 612.0)
    assert first.energy_joules is None  # this GPU does not tell
    assert [gpu.gpu for gpu in read_gpus(["GPU-1"])] == ["GPU-1"]
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(NvmlError, match="nvidia-ml-py"):
        read_gpus()


def _nvml(count: int) -> ModuleType:
    class NVMLError(Exception):
        pass

    def untold(_: int) -> int:
        raise NVMLError

    nvml = ModuleType("pynvml")
    vars(nvml).update(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: count,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetUUID=lambda index: f"GPU-{index}",
        nvmlDeviceGetUtilizationRates=lambda _: SimpleNamespace(gpu=97, memory=41),
        nvmlDeviceGetMemoryInfo=lambda _: SimpleNamespace(used=4096),
        nvmlDeviceGetPowerUsage=lambda _: 612_000,
        nvmlDeviceGetTotalEnergyConsumption=untold,
    )
    return nvml


def test_what_is_counted_in_a_silence_is_told_after_it(server: Server) -> None:
    asked = Scraped("a:1", f"{server.url}/metrics", f"{server.url}/gpus", ("0",))
    scraper = Scraper(asked)
    before = {path: server.answers.pop(path) for path in ("/metrics", "/gpus")}
    server.answers |= before
    scraper.sample(0)
    server.answers.clear()
    assert len(scraper.sample(15_000).faults) == 2
    after = (SCRAPES / "vllm-after.txt").read_bytes()
    gpus = before["/gpus"].replace(b"8216345821", b"8216351821")
    assert gpus != before["/gpus"]
    server.answers |= {"/metrics": after, "/gpus": gpus}
    sample = scraper.sample(3_600_000)
    assert (sample.seconds, sample.prompt_tokens) == (3_600.0, 600.0)
    assert [gpu.energy_joules for gpu in sample.gpus] == [pytest.approx(6.0)]


def test_an_answer_that_trickles_in_does_not_keep_the_others_waiting(
    monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    server.answers["/cut"] = b"up 1"
    assert fetch(f"{server.url}/cut") == b"up 1"
    monkeypatch.setattr("tidegauge.monitor.collector._LONGEST_SECONDS", -1.0)
    with pytest.raises(ScrapeError, match="takes more than"):
        fetch(f"{server.url}/cut")


def test_counts_of_gpus_alone_are_of_the_time_since_they_were_last_read() -> None:
    energies = iter((100.0, None, 700.0))

    def read(_: Sequence[str]) -> tuple[GpuReading, ...]:
        energy = next(energies)
        if energy is None:
            raise NvmlError("no driver")
        return (GpuReading(gpu="0", energy_joules=energy),)

    scraper = Scraper(Scraped("a:1", None, "nvml", ()), gpus=read)
    samples = [scraper.sample(time_ms) for time_ms in (0, 15_000, 30_000)]
    assert [samples[0].seconds, samples[2].seconds] == [0.0, 30.0]
    assert [gpu.energy_joules for gpu in samples[2].gpus] == [600.0]
