from __future__ import annotations

import msgspec
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests.quality.test_agreement import crowd

from tidegauge.monitor.web.label_pages import LabelPages
from tidegauge.monitor.web.rendering import Renderer
from tidegauge.quality.agreement import agreements
from tidegauge.runtime.kafka.errors import LogError
from tidegauge.usecases.compare_labels import LabelComparison, corrected_sentences

NOW = 1_700_000_000_000
DAY_MS = 86_400_000


class Log:
    """A log of 400 judged answers, 300 of them labelled, that counts how often it is read."""

    def __init__(self) -> None:
        judgments, labels = crowd(400, 300)
        self.found = LabelComparison(agreements(judgments, labels), None, None)
        self.asked: list[tuple[int, str]] = []
        self.now_ms = NOW
        self.down = False

    def compare(self, start_ms: int, model: str) -> LabelComparison:
        self.asked.append((start_ms, model))
        if self.down:
            raise LogError("the broker does not answer")
        return self.found

    def client(self) -> TestClient:
        app = FastAPI()
        LabelPages(self.compare, lambda: self.now_ms).mount(app, Renderer(0))
        return TestClient(app)


def test_the_corrected_mean_is_in_the_api_and_on_the_page() -> None:
    log = Log()
    client = log.client()
    found = client.get("/api/labels", params={"days": 7, "model": "m"}).json()
    assert (found["start_ms"], found["model"]) == (NOW - 7 * DAY_MS, "m")
    (judge,) = found["comparison"]["judges"]
    assert judge["corrected"]["low"] < judge["corrected"]["mean"] < judge["corrected"]["high"]
    page = client.get("/labels", params={"days": 7, "model": "m"})
    assert page.status_code == 200
    assert "by 300 labels and the judge, whose weight is" in page.text
    assert log.asked == [(NOW - 7 * DAY_MS, "m")]


def test_an_answer_is_kept_for_five_minutes() -> None:
    log = Log()
    client = log.client()
    for later in (0, 299_000, 301_000):
        log.now_ms = NOW + later
        assert client.get("/api/labels").status_code == 200
    assert len(log.asked) == 2


def test_only_so_many_answers_are_kept() -> None:
    log = Log()
    client = log.client()
    for number in (*range(17), 0):
        client.get("/api/labels", params={"model": f"m{number}"})
    assert len(log.asked) == 18


def test_a_log_that_cannot_be_read_is_said() -> None:
    log = Log()
    log.down = True
    client = log.client()
    assert client.get("/api/labels").json() == {"error": "the broker does not answer"}
    page = client.get("/labels")
    assert (page.status_code, "the broker does not answer" in page.text) == (503, True)


def test_sentences_name_what_people_and_the_judge_say() -> None:
    (said,) = corrected_sentences(Log().found)
    assert said.startswith("As people see it, rubric score is 0.")
    assert "the judge's own mean is" in said
    bare = msgspec.structs.replace(Log().found, judges=agreements(crowd(40, 0)[0], {}))
    assert corrected_sentences(bare) == ()
