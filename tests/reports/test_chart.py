from __future__ import annotations

import pytest

from tidegauge.reports.chart import HEIGHT, WIDTH, Mark, chart
from tidegauge.reports.formatting import percent

START = 1_700_006_400_000
MINUTE = 60_000


def places(stroke: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (point.split(",") for point in stroke.split(" "))]


def test_a_gap_is_a_gap_and_a_lonely_number_a_dot() -> None:
    points: list[tuple[int, float | None]] = [
        (START, 0.1),
        (START + MINUTE, 0.2),
        (START + 2 * MINUTE, None),
        (START + 3 * MINUTE, 0.3),
        (START + 9 * MINUTE, 0.1),
        (START + 10 * MINUTE, 0.2),
    ]
    found = chart(
        "Rate",
        points,
        start_ms=START,
        end_ms=START + 15 * MINUTE,
        words=percent,
        slot_ms=MINUTE,
    )
    assert [len(places(stroke)) for stroke in found.strokes] == [2, 2]
    assert len(found.dots) == 1
    assert found.shown == ("10%", "20%", "unknown", "30%", "unknown", "10%", "20%")
    for stroke in found.strokes:
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places(stroke))


def test_what_is_higher_is_further_up_and_the_band_lies_between_its_edges() -> None:
    found = chart(
        "Rate",
        [(START, 0.1), (START + MINUTE, 0.5)],
        start_ms=START,
        end_ms=START + 2 * MINUTE,
        words=percent,
        normal=(0.1, 0.2),
    )
    (_, low), (_, high) = places(found.strokes[0])
    assert found.band is not None
    top, height = found.band
    assert high < top < low
    assert top + height == pytest.approx(low)
    assert [tick.label for tick in found.vertical] == ["0%", "26.2%", "52.5%"]


def test_marks_outside_are_left_out_and_times_are_whole() -> None:
    marks = [Mark(START - 1, "swap", "swap"), Mark(START + 30 * MINUTE, "alarm", "alarm")]
    found = chart(
        "Rate", [], start_ms=START, end_ms=START + 60 * MINUTE, words=percent, marks=marks
    )
    assert [mark.label for _, mark in found.marks] == ["alarm"]
    assert found.marks[0][0] == pytest.approx((56 + WIDTH - 8) / 2)
    assert [tick.label for tick in found.horizontal] == [
        "00:00",
        "00:15",
        "00:30",
        "00:45",
        "01:00",
    ]
    assert not found.known


@pytest.mark.parametrize("value", [0.0, -3.0, 1e308, 7.0])
def test_a_constant_has_a_chart(value: float) -> None:
    found = chart(
        "x",
        [(START, value), (START + MINUTE, value)],
        start_ms=START,
        end_ms=START + MINUTE,
        words=str,
        from_zero=False,
    )
    assert all(0 <= y <= HEIGHT for _, y in places(found.strokes[0]))
