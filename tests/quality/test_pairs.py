from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from tidegauge.quality.errors import EstimateError
from tidegauge.quality.pairs import Pair, pair_agreement, preference


class _Row(msgspec.Struct):
    label: int
    output_1: str
    output_2: str
    judges: dict[str, tuple[Literal["1", "2"] | None, Literal["1", "2"] | None]]


def test_a_judge_that_follows_the_order_has_no_preference() -> None:
    assert preference(Pair("1", "2", "2", (3, 4))) == "2"
    assert preference(Pair("1", "1", "2", (3, 4))) is None
    assert preference(Pair("1", None, None, (3, 4))) is None


def test_agreement_counts_both_orders_and_the_length_baseline() -> None:
    pairs = [
        Pair("1", "1", "1", (3, 9)),
        Pair("2", "2", "1", (3, 9)),
        Pair("2", "1", "1", (9, 3)),
        Pair("1", None, None, (9, 3)),
    ]
    found = pair_agreement(pairs)
    assert found.accuracy == pytest.approx(3 / 8)
    assert found.settled_accuracy == pytest.approx(1 / 4)
    assert found.ties == pytest.approx(1 / 2)
    assert found.shorter == pytest.approx(1 / 2)


def test_no_pair_is_no_agreement() -> None:
    with pytest.raises(EstimateError):
        pair_agreement([])


PUBLISHED = {"GPT-4": 0.845, "PaLM2": 0.698, "Falcon": 0.564, "LLaMA2": 0.442, "ChatGPT": 0.400}


@pytest.mark.skipif(
    "TIDEGAUGE_DATA_DIR" not in os.environ, reason="TIDEGAUGE_DATA_DIR names no data"
)
@pytest.mark.parametrize("judge", PUBLISHED)
def test_replaying_llmbar_gives_the_known_accuracies(judge: str) -> None:
    file = Path(os.environ["TIDEGAUGE_DATA_DIR"]) / "llmbar" / "verdicts.jsonl"
    rows = [msgspec.json.decode(line, type=_Row) for line in file.read_bytes().splitlines()]
    pairs = [
        Pair(
            "1" if row.label == 1 else "2",
            *row.judges[judge],
            (len(row.output_1), len(row.output_2)),
        )
        for row in rows
    ]
    found = pair_agreement(pairs)
    assert found.pairs == 419
    assert found.accuracy == pytest.approx(PUBLISHED[judge], abs=0.0006)
    assert found.shorter == pytest.approx(0.71, abs=0.03)
