"""Names of totals and notices in the ``Progress`` of every sketching worker."""

from __future__ import annotations

from typing import Final

__all__ = [
    "AHEAD",
    "BASELINE_REFUSED",
    "BEGUN_AGAIN",
    "OVERFLOW",
    "PRODUCERS_CAPPED",
    "PRODUCER_TIMES",
    "RECORDS_EXPIRED",
    "REFUSED_VALUES",
    "RENUMBERED",
    "SEGMENTS_CAPPED",
    "TOPIC_REMADE",
]

AHEAD: Final = "events_ahead"
"""Total: events further ahead of the log's clock than allowed, counted at the latest time."""

BASELINE_REFUSED: Final = "baseline_refused:"
"""Notice, followed by the reason: the worker cannot use the baseline in force, and goes on
without one."""

BEGUN_AGAIN: Final = "producers_begun_again"
"""Total: events with the sequence 1 that were taken for copies only since their time is no later
than their producer's last one: it sends again, or it has started again with a clock behind."""

OVERFLOW: Final = "events_in_other"
"""Total: events of segments beyond the cap, counted in the segment ``other``."""

RECORDS_EXPIRED: Final = "records_expired"
"""Total: records that the log deleted before the worker read them."""

TOPIC_REMADE: Final = "topic_remade"
"""Total: times that the topic was found deleted and created again, its offsets beginning anew."""

PRODUCER_TIMES: Final = "events_by_producers_clock"
"""Total: events of records that have their producer's time, as the topic is not LogAppendTime."""

RENUMBERED: Final = "events_renumbered"
"""Total: new events with a sequence that their producer had passed: it started again, or two
producers share a name."""

REFUSED_VALUES: Final = "values_refused"
"""Total: values left out of the histograms because they were infinite or not a number."""

SEGMENTS_CAPPED: Final = "segments:capped"
"""Notice: the cap on segments is reached, and ``events_in_other`` grows."""

PRODUCERS_CAPPED: Final = "producers:capped"
"""Notice: there are more producers than tallies; those heard least recently are forgotten."""
