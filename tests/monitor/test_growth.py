"""Every page of a monitor that watches 200 segments stays small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from fastapi.testclient import TestClient
from tests.monitor.made_up import ROUTE
from tests.monitor.made_up_pages import addresses, all_pages

from tidegauge.monitor.web.app import create_app
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.quality import Estimator
from tidegauge.schemas.segments import Segment

MOST_BYTES = 150_000


def crowded(view: MonitorView) -> MonitorView:
    """Return a view in which 200 models look as the first one does, beside its alarms."""
    model = view.segments[0]
    many = tuple(
        msgspec.structs.replace(
            model, segment=Segment(model=f"assistant-{number:03}", version="2026-01", route=ROUTE)
        )
        for number in range(200 - len(view.segments))
    )
    verdicts = tuple(
        msgspec.structs.replace(verdict, segment=item.segment)
        for item in many
        for verdict in view.verdicts[2:7]
    )
    return msgspec.structs.replace(
        view, segments=view.segments + many, verdicts=view.verdicts + verdicts
    )


@pytest.fixture
def client(
    make_view: Callable[[], MonitorView], estimator: Estimator, now_ms: int, tmp_path: Path
) -> TestClient:
    interface = all_pages(crowded(make_view()), estimator, now_ms, tmp_path)
    return TestClient(create_app(interface), base_url="http://127.0.0.1")


def test_no_page_of_two_hundred_segments_is_large(
    client: TestClient, make_view: Callable[[], MonitorView]
) -> None:
    large = {}
    for address in addresses(make_view()):
        answer = client.get(address)
        assert answer.status_code == 200, address
        if len(answer.content) > MOST_BYTES:
            large[address] = len(answer.content)
    assert not large
