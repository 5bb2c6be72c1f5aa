"""Names of totals and notices in the ``Progress`` of every sketching worker."""

from __future__ import annotations

from typing import Final

__all__ = [
    "AHEAD",
    "OVERFLOW",
    "RECORDS_EXPIRED",
    "REFUSED_VALUES",
    "SEGMENTS_CAPPED",
    "TOPIC_REMADE",
]

AHEAD: Final = "events_ahead"
"""Total: events further ahead of the log's clock than allowed, counted at the latest time."""

OVERFLOW: Final = "events_in_other"
"""Total: events of segments beyond the cap, counted in the segment ``other``."""

RECORDS_EXPIRED: Final = "records_expired"
"""Total: records that the log deleted before the worker read them."""

TOPIC_REMADE: Final = "topic_remade"
"""Total: times that the topic was found deleted and created again, its offsets beginning anew."""

REFUSED_VALUES: Final = "values_refused"
"""Total: values left out of the histograms because they were infinite or not a number."""

SEGMENTS_CAPPED: Final = "segments:capped"
"""Notice: the cap on segments is reached, and ``events_in_other`` grows."""
