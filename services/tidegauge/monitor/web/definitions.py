"""What the words of the pages mean, shown when the pointer rests on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["DEFINITIONS"]

DEFINITIONS: Final[Mapping[str, str]] = {
    "Latency": "time to the whole answer: its 95th percentile, now and over time",
    "Quality": "mean of a judge's scores of a sample of answers; the newest slot, and over time",
    "Drift": "whether people ask for the same as in the baseline, over all versions of the model",
    "Errors": "share of requests that failed by the service's fault",
    "Cost": "what all requests cost in this time; the line is the cost of one",
    "P50": "half of the answers took no longer",
    "P95": "95% of the answers took no longer",
    "P99": "99% of the answers took no longer",
    "Evidence against the threshold": "how far the evidence of a change is on its way to an "
    "alarm, on a log scale",
    "Dead letters": "records that could not be processed, kept with the reason",
    "In flight": "shipped to the log, and not yet processed",
    "Expired": "deleted from the log before they were processed",
    "Missing": "captured, and found nowhere",
    "Dropped": "served and not captured, each with a reason",
    "Unaccounted": "served, and neither captured nor dropped",
    "Refused": "without a valid key",
    "Watermark behind": "how long before now the newest closed window ends",
}
"""Word -> its definition in a few words."""
