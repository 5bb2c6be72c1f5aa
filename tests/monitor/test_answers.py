"""The judged answers of an alarm on quality, on its page and for viewers."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from tidegauge.monitor.web.rendering import Renderer
from tidegauge.monitor.web.viewers import without_text
from tidegauge.monitoring.view import MonitorView
from tidegauge.schemas.findings import JudgedAnswers
from tidegauge.schemas.sketches import Exemplar

BAD = Exemplar(
    request_id="r/1",
    rank=0.1,
    text="How tall?",
    customer="acme",
    value=0.25,
    context="It is 5 m.",
    answer="<script>alert(1)</script> 9 m.",
    reason="The context says 5.",
)
EVIDENCE = (
    JudgedAnswers(version="v2", current=True, judge="groundedness@1", score="score", worst=(BAD,)),
    JudgedAnswers(
        version="v1", current=False, judge="groundedness@1", score="score", typical=(BAD,)
    ),
)


@pytest.fixture
def judged(make_view: Callable[[], MonitorView]) -> MonitorView:
    view = make_view()
    alert = view.alerts[0]
    verdict = msgspec.structs.replace(alert.verdict, evidence=EVIDENCE)
    return msgspec.structs.replace(
        view, alerts=(msgspec.structs.replace(alert, verdict=verdict),), verdicts=(verdict,)
    )


def test_the_answers_are_shown_with_question_context_score_and_reason() -> None:
    templates = Renderer(15)._environment
    shown = str(templates.get_template("answers.html").module.judged_answers(EVIDENCE))  # type: ignore[attr-defined]
    for text in ("How tall?", "It is 5 m.", "9 m.", "The context says 5.", "score 0.25", "v1"):
        assert text in shown
    assert shown.index("Since the change") < shown.index("Before")
    assert "<script>" not in shown
    assert 'href="/request/r%2F1"' in shown or 'href="/request/r/1"' in shown


def test_viewers_see_scores_and_no_text(judged: MonitorView) -> None:
    seen = without_text(judged)
    shown = msgspec.json.encode(seen.alerts).decode() + msgspec.json.encode(seen.verdicts).decode()
    for text in ("How tall?", "It is 5 m.", "9 m.", "The context says 5."):
        assert text in msgspec.json.encode(judged.alerts).decode()
        assert text not in shown
    (answers, _) = seen.alerts[0].verdict.evidence
    assert (answers.worst[0].request_id, answers.worst[0].value) == ("r/1", 0.25)
