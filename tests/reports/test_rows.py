from __future__ import annotations

from dataclasses import astuple

import pytest

from tidegauge.reports.rows import MAX_COLUMNS, MAX_VALUES, Row, Sample, described, tables
from tidegauge.schemas.evaluations import EmbeddingEvent, JudgmentEvent
from tidegauge.schemas.exchange import ErrorKind, Message, ResponseEvent, Usage
from tidegauge.schemas.segments import Segment

PRIVATE = "my card number is 4111 1111 1111 1111 </script>"
SEGMENT = Segment(model="chat", version="v1", route="/chat")


def response(number: int, **changes: object) -> ResponseEvent:
    fields: dict[str, object] = {
        "request_id": f"r{number}",
        "producer_id": "g",
        "sequence": number,
        "time_ms": 1_700_000_000_000 + number,
        "segment": SEGMENT,
        "customer": "acme",
        "status": 200,
        "latency_ms": 100.0 + number,
        "messages": (Message(role="user", content=PRIVATE),),
        "output": PRIVATE,
        "output_characters": len(PRIVATE),
        "prompt_characters": len(PRIVATE),
        "checks": {"refusal": "passed", "truncation": "failed"},
        "usage": Usage(input_tokens=9, output_tokens=4),
    }
    return ResponseEvent(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_row_holds_no_text_of_prompt_or_answer() -> None:
    row = described(response(1))
    assert not any(PRIVATE[:12] in str(value) for value in row.values())
    assert row["prompt_characters"] == len(PRIVATE)
    assert row["failed_checks"] == "truncation"
    assert row["error"] == "none"


def test_what_is_not_known_is_absent_not_zero() -> None:
    row = described(response(1, usage=None, checks={}, error=ErrorKind.UPSTREAM_TIMEOUT))
    assert "input_tokens" not in row
    assert "time_to_first_token_ms" not in row
    assert "failed_checks" not in row
    assert row["error"] == "upstream_timeout"


def test_the_same_exchanges_are_kept_whatever_their_order() -> None:
    one, other = Sample(20), Sample(20)
    for number in range(200):
        one.add(response(number))
        other.add(response(199 - number))
    assert one.rows == other.rows
    assert len(one.rows) == 20
    assert one.seen == 200


def test_a_copy_of_an_event_is_not_a_second_exchange() -> None:
    sample = Sample(20)
    sample.add(response(1))
    sample.add(response(1))
    assert (sample.seen, len(sample.rows)) == (1, 1)


def test_embeddings_and_judgments_join_the_kept_exchanges_only() -> None:
    sample = Sample(20)
    sample.add(response(1))
    for request_id in ("r1", "r2"):
        sample.place(
            EmbeddingEvent(
                request_id=request_id,
                producer_id="d",
                sequence=1,
                time_ms=1,
                segment=SEGMENT,
                baseline="b",
                embedder="e",
                cluster=7,
                novelty=0.25,
            ),
            titles={7: "cards <lost>"},
        )
        sample.judge(
            JudgmentEvent(
                request_id=request_id,
                producer_id="j",
                sequence=1,
                time_ms=1,
                segment=SEGMENT,
                judge="rubric",
                specification_hash="e",
                inclusion_probability=0.5,
                sampling_period=1,
                salt="s",
                scores={"helpfulness": 0.75},
                qualified=False,
            )
        )
    (row,) = sample.rows
    assert row["cluster"] == "7 cards _lost_"
    assert row["novelty"] == 0.25
    assert row["rubric helpfulness (unqualified)"] == 0.75


def test_a_column_without_a_value_on_one_side_is_left_out_and_named() -> None:
    found = tables([{"latency_ms": 1.0}], [{"latency_ms": 2.0, "cost_usd": 0.1}])
    assert [astuple(column) for column in found.columns] == [("latency_ms", "number")]
    assert found.left_out == ("cost_usd",)
    assert found.reference == ((1.0,),)


@pytest.mark.parametrize("value", [1e308, float("inf"), float("nan"), -1e200])
def test_a_number_beyond_all_measure_costs_its_own_column_only(value: float) -> None:
    before: list[Row] = [{"latency_ms": 1.0, "cost_usd": 0.1}, {"latency_ms": 2.0, "cost_usd": 0.2}]
    after: list[Row] = [{"latency_ms": value, "cost_usd": 0.3}]
    found = tables(before, after)
    assert [column.name for column in found.columns] == ["cost_usd"]
    assert found.left_out == ("latency_ms",)


def test_the_columns_that_differ_most_come_first() -> None:
    before: list[Row] = [
        {"latency_ms": float(n), "cost_usd": float(n), "error": "none"} for n in range(9)
    ]
    after: list[Row] = [
        {"latency_ms": float(n), "cost_usd": n + 4.5, "error": "none" if n else "timeout"}
        for n in range(9)
    ]
    found = tables(before, after)
    assert [column.name for column in found.columns] == ["cost_usd", "error", "latency_ms"]
    assert found.distances == pytest.approx((5 / 9, 1 / 9, 0.0))


def test_a_column_that_never_varies_is_named_and_not_compared() -> None:
    found = tables(
        [
            {"latency_ms": 1.0, "version": "v1", "cluster": "1"},
            {"latency_ms": 2.0, "version": "v1"},
        ],
        [{"latency_ms": 2.0, "version": "v1", "cluster": "1"}],
    )
    assert [column.name for column in found.columns] == ["latency_ms", "cluster"]
    assert found.constant == ("version",)
    assert found.left_out == ()


def test_columns_and_values_are_bounded() -> None:
    names = [f"judge score{number:03}" for number in range(100)]
    rows: list[Row] = [
        {"customer": f"c{number:03}", **dict.fromkeys(names, float(number))}
        for number in range(100)
    ]
    found = tables(rows, rows)
    assert len(found.columns) == MAX_COLUMNS
    customers = [column.name for column in found.columns].index("customer")
    assert len(set(found.current[customers])) == MAX_VALUES + 1
    assert len(found.left_out) == 101 - MAX_COLUMNS


def test_two_empty_ranges_have_nothing_in_common() -> None:
    assert tables([], [{"latency_ms": 1.0}]).columns == ()
