"""Runbooks: for each kind of alarm what it means, what to check, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["RUNBOOKS", "Runbook", "runbook"]


@dataclass(frozen=True, slots=True)
class Runbook:
    """What to do about one kind of alarm.

    Attributes:
        name: Its place in an address.
        title: The alarm, for people.
        meaning: What it means.
        checks: What to check, in order.
        actions: What to do, in order; the first is the usual next step.
    """

    name: str
    title: str
    meaning: str
    checks: tuple[str, ...]
    actions: tuple[str, ...]


_CLOSE: Final = (
    "When it is mended, close the incident: the monitors start again and alarm if it lasts."
)
_NORMAL: Final = (
    "If this is the new normal, accept it on the incident's page or with `tidegauge baseline "
    "accept`: baselines are built from the time since, and the alarms end, if it is long enough."
)

RUNBOOKS: Final[Mapping[str, Runbook]] = MappingProxyType(
    {
        book.name: book
        for book in (
            Runbook(
                "hallucination",
                "More answers say what their context does not hold",
                "More answers than the baseline ever had name numbers, dates, names, addresses or "
                "quotations that are in none of the texts that the model was given.",
                (
                    "Read the examples: is what they name invented, or known without the context?",
                    (
                        "Did a new version, a prompt template or a sampling setting begin at the "
                        "onset?"
                    ),
                    (
                        "Is the context what it was? A search that finds less, or other documents, "
                        "leaves the model to invent."
                    ),
                    "Did the share of answers that had a context change?",
                ),
                (
                    "If a new version coincides, send the traffic back to the version before.",
                    "If the context is at fault, mend the search before the model.",
                    _CLOSE,
                ),
            ),
            Runbook(
                "quality",
                "Answers are judged worse",
                "A judge gives low scores to more answers than the baseline ever had, beyond what "
                "chance explains.",
                (
                    (
                        "Did a new version begin to answer at the onset? Its incident's page and "
                        "Releases say so."
                    ),
                    "Read the examples: are they worse, or is the judge mistaken?",
                    (
                        "Did the topics change? The breakdown by topic tells worse answers from "
                        "harder questions."
                    ),
                    "Was a prompt template, a sampling setting or the context changed?",
                ),
                (
                    "If a new version coincides, send the traffic back to the version before.",
                    (
                        "If the same questions are served worse without a new version, look at the "
                        "upstream: quantisation, context length, a prompt that is cut."
                    ),
                    _CLOSE,
                    _NORMAL,
                ),
            ),
            Runbook(
                "latency",
                "Answers are slower",
                "More answers than normal take long, at the same load and the same lengths.",
                (
                    "Is the load higher? A finding of the alarm says so.",
                    "Are the upstream's queue and its key-value cache full?",
                    "Did a new version or other hardware begin to answer at the onset?",
                ),
                (
                    "Add a replica or shed load, if the upstream's queue has grown.",
                    "If a new version coincides, send the traffic back to the version before.",
                    _CLOSE,
                    _NORMAL,
                ),
            ),
            Runbook(
                "errors",
                "More goes wrong",
                "More requests than normal fail, or more answers fail a check: refused, empty, "
                "cut, not the format that was asked for.",
                (
                    "Which kind of error or which check? The leading rate says so.",
                    "Is one upstream or one route affected, or all?",
                    "Did a new version begin to answer at the onset?",
                ),
                (
                    "Take a failing upstream out of the models' file; the others take its share.",
                    "If a new version coincides, send the traffic back to the version before.",
                    _CLOSE,
                    _NORMAL,
                ),
            ),
            Runbook(
                "cost",
                "Requests cost more",
                "More requests than normal are dear: longer prompts, longer answers, another "
                "price or less of the cache.",
                (
                    "Is it one caller's change? The callers of the requests are on the page.",
                    "Have prompts or answers become longer, or has a price changed?",
                ),
                (
                    "Limit the caller whose requests they are, or agree on a budget.",
                    _CLOSE,
                    _NORMAL,
                ),
            ),
            Runbook(
                "customer",
                "A customer costs much more than a week before",
                "In most hours the customer's requests cost more than twice what they cost in the "
                "same hour of the week before. Requests, their length or their model changed.",
                (
                    "Costs says for what: more requests, longer ones, or a dearer model.",
                    "`tidegauge bill --from -1d --against 7d` compares the day with a week before.",
                    "Does one key or one agent repeat its requests?",
                ),
                (
                    "Ask the customer, or limit the key (`tidegauge keys create --help`).",
                    "If this is normal now, close the incident: in a week it is what is compared.",
                ),
            ),
            Runbook(
                "budget",
                "Spending is faster than its budget allows",
                "At the rate of the last hours, and of the last one, a month costs more than its "
                "budget. The alarm ends by itself when one of them falls below.",
                (
                    "Costs says which customer, model or line of the bill it is.",
                    "Is it idle time? Then fewer servers would do.",
                ),
                (
                    "Limit the keys that spend it (`tidegauge keys create --help`).",
                    "If the money is there, raise the budget in the gateway's configuration.",
                ),
            ),
            Runbook(
                "drift",
                "People ask for something else",
                "The requests' topics, lengths or languages are not those of the baseline. Nobody "
                "is harmed by that alone.",
                (
                    "Read the examples and the topics that grew.",
                    "Is it one caller's change, a campaign, or everybody's?",
                    "Do quality, errors or latency alarm as well? Then the service does not cope.",
                ),
                (
                    (
                        "Ask whether the new questions are in scope; if they are, extend the "
                        "service, its prompt or its context."
                    ),
                    _NORMAL,
                    _CLOSE,
                ),
            ),
            Runbook(
                "swap",
                "The new version does worse",
                "A new version is compared with the one before on live traffic, metric by metric, "
                "and is worse by more than the margin.",
                (
                    "Look at the intervals of all metrics on Releases.",
                    "Were both versions asked the same things?",
                ),
                (
                    "Send the traffic back to the version before.",
                    (
                        "If the difference is accepted, close the incident: the comparison stays "
                        "quiet from then on."
                    ),
                ),
            ),
            Runbook(
                "pipeline",
                "The pipeline needs attention",
                "Something between gateway and monitor is silent, late or has lost events: until "
                "it is mended, silence of the other monitors does not mean that all is well.",
                (
                    "Pipeline says which worker or which event; `tidegauge doctor` asks the parts.",
                    "The log of the silent process says what it waits for.",
                ),
                (
                    "Start the process that is down, or give it what it waits for.",
                    "Where events are lost for good, close the incident: the count is accepted.",
                ),
            ),
        )
    }
)
"""Signal, or kind of monitor -> its runbook."""


_OF_KINDS: Final = {"hallucination", "customer", "budget"}
"""Kinds of monitors that have a runbook of their own."""


def runbook(monitor: str) -> Runbook:
    """Return the runbook of a monitor's alarms, by its name.

    Example:
        >>> runbook("latency.total").title
        'Answers are slower'
        >>> runbook("quality.hallucination").title
        'More answers say what their context does not hold'
    """
    signal, _, kind = monitor.partition(".")
    own = kind.partition(".")[0]
    return RUNBOOKS[own if own in _OF_KINDS else signal]
