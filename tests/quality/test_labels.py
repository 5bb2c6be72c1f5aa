from __future__ import annotations

import json

import msgspec
import pytest

from tidegauge.quality.errors import LabelFileError
from tidegauge.quality.labels import MeanLabel, mean_labels, read_labels
from tidegauge.schemas.evaluations import LabelEvent

NOW = 1_700_000_000_000


def lines(*rows: object) -> str:
    return "\n".join(json.dumps(row) for row in rows) + "\n"


def label(request: str, score: float, *, who: str = "ann", time_ms: int = 1) -> LabelEvent:
    return LabelEvent(request_id=request, time_ms=time_ms, annotator=who, score=score)


def test_json_lines_are_read() -> None:
    text = lines(
        {"request_id": "r1", "score": 1},
        {
            "request_id": "r2",
            "score": 0.5,
            "annotator": "bob",
            "inclusion_probability": 0.1,
            "note": "half right",
            "time_ms": 5,
        },
    )
    first, second = read_labels(text + "\n", "jsonl", annotator="ann", now_ms=NOW)
    assert (first.annotator, first.time_ms, first.inclusion_probability) == ("ann", NOW, None)
    assert (second.annotator, second.time_ms, second.note) == ("bob", 5, "half right")


def test_csv_is_read_with_its_empty_fields() -> None:
    text = 'request_id,score,annotator,note\nr1,1,,\nr2,0.25,bob,"a, b"\n'
    first, second = read_labels(text, "csv", annotator="ann", now_ms=NOW)
    assert (first.score, first.annotator) == (1.0, "ann")
    assert (second.score, second.note) == (0.25, "a, b")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"request_id": "r1"}, "score"),
        ({"score": 1}, "request_id"),
        ({"request_id": "", "score": 1}, "1 to 200 characters"),
        ({"request_id": "r1", "score": 1.5}, "not within 0 and 1"),
        ({"request_id": "r1", "score": "good"}, "score"),
        ({"request_id": "r1", "score": "nan"}, "score is nan"),
        ({"request_id": "r1", "score": 1, "inclusion_probability": 0}, "above 0 and up to 1"),
        ({"request_id": "r1", "score": 1, "note": "x" * 5000}, "longer than 4000"),
        ({"request_id": "r1", "score": 1, "time_ms": -5}, "Unix milliseconds"),
        ({"request_id": "r1", "score": 1, "rating": 3}, "unknown 'rating'"),
        ([1], "no JSON object"),
    ],
)
def test_a_line_that_is_wrong_is_named_and_nothing_is_taken(row: object, said: str) -> None:
    text = lines({"request_id": "r0", "score": 1}, row)
    with pytest.raises(LabelFileError, match=r"nothing was imported(.|\n)*line 2: ") as caught:
        read_labels(text, "jsonl", annotator="ann", now_ms=NOW)
    assert said in str(caught.value)


def test_broken_json_is_named() -> None:
    with pytest.raises(LabelFileError, match="line 1: no JSON"):
        read_labels("{", "jsonl", annotator="ann", now_ms=NOW)


def test_nobody_is_no_annotator() -> None:
    with pytest.raises(LabelFileError, match="no annotator"):
        read_labels(lines({"request_id": "r", "score": 1}), "jsonl", annotator="", now_ms=NOW)


def test_many_faults_are_counted() -> None:
    text = lines(*({"request_id": f"r{n}"} for n in range(12)))
    with pytest.raises(LabelFileError, match="and 7 more"):
        read_labels(text, "jsonl", annotator="ann", now_ms=NOW)


def test_one_person_labels_an_answer_once() -> None:
    text = lines({"request_id": "r", "score": 1}, {"request_id": "r", "score": 0})
    with pytest.raises(LabelFileError, match="2 labels of 'r' by 'ann'"):
        read_labels(text, "jsonl", annotator="ann", now_ms=NOW)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,score\nr1,1\n", "lacks request_id"),
        ("request_id,score\nr1\n", "line 2: it has not the header's 2 columns"),
        ("request_id,score\nr1,1,2\n", "line 2: it has not the header's 2 columns"),
        ("request_id,score\n", "no label"),
        ("", "lacks request_id, score"),
    ],
)
def test_csv_of_another_shape_is_refused(text: str, said: str) -> None:
    with pytest.raises(LabelFileError, match=said):
        read_labels(text, "csv", annotator="ann", now_ms=NOW)


def test_a_later_word_replaces_the_earlier_and_people_are_averaged() -> None:
    found = mean_labels(
        [
            label("r1", 1.0, time_ms=9),
            label("r1", 0.0, time_ms=3),
            label("r1", 0.5, who="bob"),
            label("r2", 0.0),
        ]
    )
    assert found == {"r1": MeanLabel(0.75, None), "r2": MeanLabel(0.0, None)}


def test_the_chance_is_the_largest_that_is_given() -> None:
    first = msgspec.structs.replace(label("r1", 1.0), inclusion_probability=0.2)
    found = mean_labels([first, label("r1", 0.0, who="bob")])
    assert found == {"r1": MeanLabel(0.5, 0.2)}


def test_importing_twice_changes_nothing() -> None:
    once = [label("r1", 1.0), label("r2", 0.0)]
    assert mean_labels(once) == mean_labels([*once, *once])
