from __future__ import annotations

import msgspec

from tidegauge.monitoring.display import Display
from tidegauge.monitoring.version_comparisons import VersionComparisons
from tidegauge.monitoring.windows import MergedWindow
from tidegauge.schemas import Segment
from tidegauge.schemas.sketches import Sketch, SketchKind, SourceRange

WINDOW_MS = 2_000
OLD = Segment(model="m", version="v1", route="/chat")
NEW = Segment(model="m", version="v2", route="/chat")


def _sketch(kind: SketchKind, segment: Segment, window: int, events: int) -> Sketch:
    return Sketch(
        kind=kind,
        producer_id=f"{kind}/t-0",
        sequence=window + 1,
        segment=segment,
        window_start_ms=window * WINDOW_MS,
        window_ms=WINDOW_MS,
        source=SourceRange(topic="t", partition=0, first_offset=0, last_offset=1),
        events=events,
    )


def _window(sketch: Sketch) -> MergedWindow:
    start = sketch.window_start_ms
    return MergedWindow(
        kind=sketch.kind, start_ms=start, end_ms=start + WINDOW_MS, sketches=(sketch,)
    )


def test_one_swap_is_compared_once_however_the_kinds_of_windows_close() -> None:
    display = Display(WINDOW_MS, 900_000)
    display.add(_sketch("vitals", OLD, 0, 100))
    swaps = VersionComparisons(0.05)
    # The drift worker is ahead of the vitals worker: its windows close first, and several.
    for window in (5, 6, 7):
        swaps.notice(NEW, _window(_sketch("drift", NEW, window, 3)), display)
    swaps.notice(NEW, _window(_sketch("vitals", NEW, 5, 3)), display)
    (view,) = swaps.views()
    assert (view.old, view.new, view.since_ms) == (OLD, NEW, 5 * WINDOW_MS)


def test_each_route_has_a_swap_of_its_own() -> None:
    display = Display(WINDOW_MS, 900_000)
    swaps = VersionComparisons(0.05)
    for route in ("/chat", "/v1/chat/completions"):
        old = msgspec.structs.replace(OLD, route=route)
        display.add(_sketch("vitals", old, 0, 100))
        new = msgspec.structs.replace(NEW, route=route)
        swaps.notice(new, _window(_sketch("vitals", new, 5, 3)), display)
    assert [view.new.route for view in swaps.views()] == ["/chat", "/v1/chat/completions"]
