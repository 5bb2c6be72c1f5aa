"""Names of totals and notices in the ``Progress`` of every sketching worker."""

from __future__ import annotations

from typing import Final

__all__ = ["AHEAD", "OVERFLOW", "REFUSED_VALUES", "SEGMENTS_CAPPED"]

AHEAD: Final = "events_ahead"
"""Total: events whose time lay further ahead than the log's clock allows; counted at its edge."""

OVERFLOW: Final = "events_in_other"
"""Total: events of segments beyond the cap, counted in the segment ``other``."""

REFUSED_VALUES: Final = "values_refused"
"""Total: values that were infinite or no number, and are in no histogram."""

SEGMENTS_CAPPED: Final = "segments:capped"
"""Notice: the cap on segments is reached, and ``events_in_other`` grows."""
