from __future__ import annotations

import msgspec

from tidegauge.schemas import Segment
from tidegauge.schemas.sketches import Sketch, SketchKind, SourceRange
from tidegauge.verdicts.blocks import Block
from tidegauge.verdicts.display import Display
from tidegauge.verdicts.swaps import Swaps

BLOCK_MS = 2_000
OLD = Segment(model="m", version="v1", route="/chat")
NEW = Segment(model="m", version="v2", route="/chat")


def _sketch(kind: SketchKind, segment: Segment, block: int, events: int) -> Sketch:
    return Sketch(
        kind=kind,
        producer_id=f"{kind}/t-0",
        sequence=block + 1,
        segment=segment,
        block_start_ms=block * BLOCK_MS,
        block_ms=BLOCK_MS,
        source=SourceRange(topic="t", partition=0, first_offset=0, last_offset=1),
        events=events,
    )


def _block(sketch: Sketch) -> Block:
    start = sketch.block_start_ms
    return Block(kind=sketch.kind, start_ms=start, end_ms=start + BLOCK_MS, sketches=(sketch,))


def test_one_swap_is_compared_once_however_the_kinds_of_blocks_close() -> None:
    display = Display(BLOCK_MS, 900_000)
    display.add(_sketch("vitals", OLD, 0, 100))
    swaps = Swaps(0.05)
    # The drift worker is ahead of the vitals worker: its blocks close first, and several.
    for block in (5, 6, 7):
        swaps.notice(NEW, _block(_sketch("drift", NEW, block, 3)), display)
    swaps.notice(NEW, _block(_sketch("vitals", NEW, 5, 3)), display)
    (view,) = swaps.views()
    assert (view.old, view.new, view.since_ms) == (OLD, NEW, 5 * BLOCK_MS)


def test_each_route_has_a_swap_of_its_own() -> None:
    display = Display(BLOCK_MS, 900_000)
    swaps = Swaps(0.05)
    for route in ("/chat", "/v1/chat/completions"):
        old = msgspec.structs.replace(OLD, route=route)
        display.add(_sketch("vitals", old, 0, 100))
        new = msgspec.structs.replace(NEW, route=route)
        swaps.notice(new, _block(_sketch("vitals", new, 5, 3)), display)
    assert [view.new.route for view in swaps.views()] == ["/chat", "/v1/chat/completions"]
