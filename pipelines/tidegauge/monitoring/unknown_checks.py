"""Checks of the output that a baseline does not know: they have no band, so they are not tested.

A check that first occurs after the baseline's time (a tool, a schema, a new release of the gateway)
has no normal rate. A verdict that keeps quiet about it would be taken to watch it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tidegauge.detection.reference import Reference
from tidegauge.monitoring.rate_references import FEWEST
from tidegauge.reports.formatting import count
from tidegauge.schemas import measures
from tidegauge.schemas.sketches import Sketch

__all__ = ["unknown_checks"]

_NAMED = 5
_PREFIX = measures.failed("")
_REMEDY = "`tidegauge baseline build --kind rates --from -1d --activate`"


def unknown_checks(reference: Reference, recent: Iterable[Sketch]) -> tuple[str, ...]:
    """Return a sentence on the checks that are made and not tested; none where all are tested.

    Args:
        reference: The reference of failures and failed checks.
        recent: Sketches of the display range.
    """
    known = {indicator.name for indicator in reference.indicators}
    hits, trials = Counter[str](), Counter[str]()
    for sketch in recent:
        for name in [one for one in sketch.trials if one.startswith(_PREFIX) and one not in known]:
            hits[name] += sketch.hits.get(name, 0)
            trials[name] += sketch.trials[name]
    if not trials:
        return ()
    told = [
        f"{name.removeprefix(_PREFIX)!r} (failed by {count(hits[name])} of {count(n)} answers)"
        for name, n in sorted(trials.items(), key=lambda one: (-one[1], one[0]))
    ]
    more = f" and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
    checks = "checks" if len(told) > 1 else "check"
    said = (
        f"Not tested: the {checks} {', '.join(told[:_NAMED])}{more}, unknown to the baseline, "
        f"which has fewer than {FEWEST} such answers. Once their rates are normal, build a new "
        f"one: {_REMEDY}."
    )
    return (said,)
