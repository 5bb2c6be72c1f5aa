"""Which product files one event passes on its way, counted by a profiler.

Three ways are run with the product's own parts: one streamed chat exchange through a warm
gateway to its two events, one prompt through the drift worker, and one window from
a sketch through the monitor to its verdicts. A file counts when one of its frames runs; a hop
is a call or a return from one product file to another.

    python infra/ways.py             print the ways
    python infra/ways.py --check F   fail unless document F lists the files of each way, or
                                     where a way is longer than it may be
    python infra/ways.py --write F   put the listing into document F

A document lists each file with the first sentence of its docstring. Only the files are checked:
their order and the hops differ a little between versions of Python.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PORTIONS = ("schemas", "pipelines", "services")
_QUIET_WINDOWS, _MOST_WINDOWS = 20, 400
MOST_FILES = {"exchange": 30, "prompt": 12, "window": 28}
"""Way -> the files that it may pass. Lower a number with each join."""
BEGIN, END = "<!-- ways: begin -->", "<!-- ways: end -->"
sys.path.insert(0, str(ROOT))


class Way:
    """The product files that were entered, and the hops between them.

    Attributes:
        name: What was followed.
        files: Files in the order in which they were first entered, relative to their portion.
        hops: Calls and returns from one of them to another.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.files: dict[str, None] = {}
        self.hops = 0

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Profile this thread while the block runs."""
        sys.setprofile(self._observe)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _observe(self, frame: FrameType, event: str, _argument: object) -> None:
        if event not in {"call", "return"}:
            return
        here = _product_file(frame)
        if here is None:
            return
        if event == "call":
            self.files[here] = None
        above = _caller(frame)
        if above is not None and above != here:
            self.hops += 1

    def printed(self) -> str:
        """Return the files, a line each, and the counts."""
        lines = [f"  {path}" for path in self.files]
        return "\n".join([*lines, f"{self.name}: {len(self.files)} files, {self.hops} hops"])

    def section(self) -> str:
        """Return the files as a section of a document, each with what it is."""
        lines = [f"- `{path}`: {_first_sentence(path)}" for path in self.files]
        return "\n".join([f"### {self.name}: {len(self.files)} files", "", *lines])


def _first_sentence(path: str) -> str:
    (file,) = (
        found for portion in PORTIONS if (found := ROOT / portion / "tidegauge" / path).exists()
    )
    text = " ".join((ast.get_docstring(ast.parse(file.read_text())) or "").split("\n\n")[0].split())
    return re.split(r"(?<=\.) ", text)[0].replace("``", "`")


def _product_file(frame: FrameType) -> str | None:
    path = frame.f_code.co_filename
    for portion in PORTIONS:
        prefix = f"{ROOT}/{portion}/tidegauge/"
        if path.startswith(prefix):
            return path[len(prefix) :]
    return None


def _caller(frame: FrameType) -> str | None:
    above = frame.f_back
    while above is not None:
        found = _product_file(above)
        if found is not None:
            return found
        above = above.f_back
    return None


def exchange() -> Way:
    """Follow the second streamed chat exchange of a warm gateway to its two events."""
    way = Way("exchange")
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_serve_and_ask(Path(directory), way))
        _expand(Path(directory), way)
    return way


async def _serve_and_ask(directory: Path, way: Way) -> None:
    import uvicorn  # noqa: PLC0415 - each way imports only its own service
    from tests.gateway.scripted import ScriptedUpstream  # noqa: PLC0415

    from tidegauge.capture.recorder import Recorder  # noqa: PLC0415
    from tidegauge.capture.settings import CaptureSettings, KafkaAccess  # noqa: PLC0415
    from tidegauge.gateway.app import create_app  # noqa: PLC0415
    from tidegauge.gateway.http.protocol import HttpProtocol  # noqa: PLC0415
    from tidegauge.gateway.settings import GatewaySettings  # noqa: PLC0415

    capture = CaptureSettings(
        directory=directory / "outbox", kafka=KafkaAccess(bootstrap_servers="")
    )
    async with ScriptedUpstream() as upstream:
        settings = GatewaySettings(
            upstream_url=upstream.url, anonymous=True, request_log=directory / "requests.jsonl"
        )
        recorder = Recorder(capture, ship=False)
        recorder.start()
        app = create_app(settings, recorder)
        config = uvicorn.Config(
            app, port=0, http=HttpProtocol, lifespan="on", log_config=None, access_log=False
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        async with asyncio.timeout(30):
            while not app.runtime.ready:  # noqa: ASYNC110 - it becomes so in a task of its own
                await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await _ask(reader, writer)
        with way.followed():
            await _ask(reader, writer)
        writer.close()
        server.servers[0].close()
        await server.lifespan.shutdown()
        recorder.close()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    body = json.dumps(
        {"model": "served", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    ).encode()
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    answer = await reader.readuntil(b"0\r\n\r\n")
    if b"200" not in answer.split(b"\r\n", 1)[0] or b"[DONE]" not in answer:
        raise SystemExit(f"the exchange failed: {answer[:300]!r}")


def _expand(directory: Path, way: Way) -> None:
    from tidegauge.capture.batch import BatchBuilder  # noqa: PLC0415
    from tidegauge.capture.outbox_reader import OutboxReader  # noqa: PLC0415
    from tidegauge.capture.runs import NOWHERE, list_runs  # noqa: PLC0415
    from tidegauge.capture.settings import CaptureSettings  # noqa: PLC0415
    from tidegauge.gateway.checking_shipper import expand_formats  # noqa: PLC0415

    (run,) = list_runs(directory / "outbox")
    builder = BatchBuilder(run.producer_id, expand_formats(CaptureSettings()), 1 << 30)
    first, _ = OutboxReader(run, NOWHERE.place, 0).read(1 << 30, over=True)
    builder.build([first])
    reader = OutboxReader(run, first.end, first.frame.last_sequence)
    with way.followed():
        batch = builder.build(reader.read(1 << 30, over=True))
    if len(batch.records) != 2:  # noqa: PLR2004 - a request and a response
        raise SystemExit(f"an exchange has two events, found {len(batch.records)}")


def prompt() -> Way:
    """Follow one prompt through the drift worker, a baseline in force."""
    import numpy as np  # noqa: PLC0415
    from tests.workers.drift.conftest import WordVectors, past_texts, request_event  # noqa: PLC0415

    from tidegauge.drift.baseline import DriftBaseline  # noqa: PLC0415
    from tidegauge.drift.fitting import HistoricalRequest, fit  # noqa: PLC0415
    from tidegauge.drift.preparation import Preparation  # noqa: PLC0415
    from tidegauge.streaming.extractor import Origin  # noqa: PLC0415
    from tidegauge.streaming.processor import Partition  # noqa: PLC0415
    from tidegauge.workers.drift.extractor import DriftExtractor  # noqa: PLC0415

    texts, embedder = past_texts(), WordVectors()
    built = fit(
        [HistoricalRequest(text) for text in texts],
        embedder.embed(texts),
        embedder=embedder.fingerprint,
        preparation=Preparation(),
        rng=np.random.default_rng(1),
    )
    extractor = DriftExtractor(embedder, Preparation(), window_ms=10_000)
    extractor.use(DriftBaseline.from_bytes(built.to_bytes(), "drift-1"))
    origin = Origin("drift/requests.v1-0", Partition("requests.v1", 0), 0)
    extractor.measure([(origin, request_event("my card number 3", 1))])
    way = Way("prompt")
    with way.followed():
        (found,) = extractor.measure([(origin, request_event("my bank number 4", 2))])
    if not found.hits:
        raise SystemExit("the prompt hit no indicator")
    return way


def window() -> Way:
    """Follow the window that raises an alarm from its sketch to the alert."""
    from tests.monitoring.conftest import Traffic  # noqa: PLC0415

    from tidegauge.monitoring.rates import RatesBaseline, build_rates_baseline  # noqa: PLC0415

    traffic = Traffic()
    harness = traffic.harness()
    document = build_rates_baseline(traffic.baseline_windows()).to_bytes()
    baseline = RatesBaseline.from_bytes(document, "rates-1")
    harness.monitor.use("rates", "rates-1", baseline.references, harness.now_ms)
    for number in range(_MOST_WINDOWS):
        way = Way("window")
        events = traffic.vitals(number, 5, slower=1.0 if number < _QUIET_WINDOWS else 4.0)
        progress = traffic.writers["vitals"].progress(number + 1)
        with way.followed():
            harness.give(events, progress)
        if harness.alerts():
            return way
    raise SystemExit("no window raised an alarm")


WAYS: tuple[Callable[[], Way], ...] = (exchange, prompt, window)


def listing(ways: list[Way]) -> str:
    """Return the ways as they stand in a document."""
    sections = "\n\n".join(way.section() for way in ways)
    return f"{BEGIN}\n{sections}\n{END}"


def listed(text: str) -> dict[str, set[str]]:
    """Return the files of each way that a listing names."""
    found: dict[str, set[str]] = {}
    for section in text.split("### ")[1:]:
        found[section.partition(":")[0]] = set(re.findall(r"^- `(.+?)`:", section, re.MULTILINE))
    return found


def main() -> None:
    """Print the ways, or hold a document to them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", type=Path, help="document that must list the files")
    parser.add_argument("--write", type=Path, help="document to put the listing into")
    given: Any = parser.parse_args()
    ways = [follow() for follow in WAYS]
    print(*(way.printed() for way in ways), sep="\n")
    document: Path | None = given.check or given.write
    if document is None:
        return
    text = document.read_text()
    before, begin, rest = text.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{document} has no listing: put {BEGIN} and {END} where it belongs")
    if given.write:
        document.write_text(before + listing(ways) + after)
        return
    known = listed(old)
    for way in ways:
        if len(way.files) > MOST_FILES[way.name]:
            raise SystemExit(
                f"the way of {way.name} passes {len(way.files)} files, {MOST_FILES[way.name]} are "
                "the most: put what is new into a module on the way, or join two that are "
                "one thing"
            )
        there, here = known.get(way.name, set()), set(way.files)
        if there != here:
            raise SystemExit(
                f"{document}: the way of {way.name} has changed (new: {sorted(here - there)}, "
                f"gone: {sorted(there - here)}), run `make generate`"
            )


if __name__ == "__main__":
    main()
