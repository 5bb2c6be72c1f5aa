"""The vitals worker's extractor: measures latency, errors, tokens and cost of a response.

Shadow responses carry the candidate's version in their segment, so they are measured there
like any other; their tokens and cost go to the label ``shadow`` and to no customer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from tidegauge.cost.work import work_of, work_tokens
from tidegauge.schemas import measures
from tidegauge.schemas.exchange import (
    ExchangeOutcome,
    ResponseEvent,
    outcome_of,
)
from tidegauge.schemas.hashing import unit_hash
from tidegauge.schemas.sketches import Exemplar, JudgeCondition, SketchKind
from tidegauge.streaming.extractor import Measurement, Origin
from tidegauge.vitals.customers import Customers
from tidegauge.vitals.marks import Marks
from tidegauge.vitals.stratification import stratified

__all__ = ["VitalsExtractor", "measure_response"]

_NANO = 1_000_000_000
_LARGEST = 1e12
"""Larger numbers (30 years of latency) come from a wrong clock or a wrong price."""
_MOST_CUSTOMERS = 1_000


class VitalsExtractor:
    """The vitals worker's ``Extractor``.

    Args:
        most_customers: Customers with a label of their own in totals; the rest are
            ``other``. As many client keys have an account of their own.
    """

    def __init__(self, most_customers: int = _MOST_CUSTOMERS) -> None:
        self._customers = Customers(most_customers)
        self._keys = Customers(most_customers)
        self._marks = Marks()

    @property
    def kind(self) -> SketchKind:
        """The kind of sketch: ``vitals``."""
        return "vitals"

    @property
    def reads(self) -> type[ResponseEvent]:
        """The type of event that is measured: responses."""
        return ResponseEvent

    def measure(self, events: Sequence[tuple[Origin, ResponseEvent]]) -> list[Measurement]:
        """Measure responses one by one, without waiting for anything."""
        return [
            measure_response(event, self._customers, self._keys, self._marks) for _, event in events
        ]

    def conditions(self) -> tuple[JudgeCondition, ...]:
        """Return no conditions: it asks no judges."""
        return ()

    def notices(self) -> tuple[str, ...]:
        """Return no notices."""
        return ()


def measure_response(
    event: ResponseEvent,
    customers: Customers,
    keys: Customers | None = None,
    marks: Marks | None = None,
) -> Measurement:
    """Return what a response adds to its segment's window.

    The exchange's outcome decides. Trials of ``ERROR`` are the exchanges that the service could
    have answered (``ok``) or failed (``failed``); errors of every kind are counted in the totals.
    Latency is measured on complete answers only; the duration of a failure says nothing about it.
    """
    outcome = event.outcome or outcome_of(event.error)
    customer = customers.label(event.customer, shadow=event.shadow)
    hits = [
        measures.failed(check) for check, finding in event.checks.items() if finding == "failed"
    ]
    trials = [measures.failed(check) for check in event.checks]
    if outcome == "failed":
        hits.append(measures.ERROR)
    if outcome in {"ok", "failed"}:
        trials.append(measures.ERROR)
    return Measurement(
        hits=tuple(sorted(hits)),
        trials=tuple(sorted(trials)),
        values={name: value for name, value in _values(event, outcome) if _usable(value)},
        totals={**_totals(event, customer), **(marks.totals(event) if marks else {})},
        strata=tuple(
            (name, stratum, value)
            for name, stratum, value in stratified(event, complete=outcome == "ok")
            if _usable(value)
        ),
        exemplar=_exemplar(event) if hits else None,
        work=tuple(work_of(event, customer, _key_label(event, keys))),
    )


def _key_label(event: ResponseEvent, keys: Customers | None) -> str:
    """Return the label of a client key; empty for shadow requests, and where none is known."""
    if event.key_id is None or event.shadow or keys is None:
        return ""
    return keys.label(event.key_id)


def _usable(value: float) -> bool:
    return math.isfinite(value) and 0 <= value <= _LARGEST


def _values(event: ResponseEvent, outcome: ExchangeOutcome) -> Iterator[tuple[str, float]]:
    yield measures.PROMPT_CHARACTERS, event.prompt_characters
    if outcome == "ok":
        yield measures.LATENCY_MS, event.latency_ms
        yield measures.OUTPUT_CHARACTERS, event.output_characters
    if event.time_to_first_token_ms is not None:
        yield measures.TIME_TO_FIRST_TOKEN_MS, event.time_to_first_token_ms
    if event.inter_token is not None:
        yield measures.INTER_TOKEN_MEAN_MS, event.inter_token.mean_ms
        yield measures.INTER_TOKEN_P95_MS, event.inter_token.p95_ms
    if event.in_flight is not None:
        yield measures.IN_FLIGHT, event.in_flight
    if event.queue_ms is not None:
        yield measures.QUEUE_MS, event.queue_ms
    if event.usage is not None:
        yield measures.INPUT_TOKENS, event.usage.input_tokens
        yield measures.OUTPUT_TOKENS, event.usage.output_tokens
    if event.cost_usd is not None:
        yield measures.COST_USD, event.cost_usd
    elif event.usage is not None:
        yield measures.WORK_TOKENS, work_tokens(event.usage)


def _totals(event: ResponseEvent, customer: str) -> Mapping[str, Mapping[str, int]]:
    totals: dict[str, dict[str, int]] = {measures.REQUESTS_BY_CUSTOMER: {customer: 1}}
    if event.cost_usd is not None and _usable(event.cost_usd):
        totals[measures.COST_NANOUSD_BY_CUSTOMER] = {customer: round(event.cost_usd * _NANO)}
    elif event.usage is not None and _usable(work := work_tokens(event.usage)):
        totals[measures.WORK_BY_CUSTOMER] = {customer: round(work)}
    if event.usage is not None:
        totals[measures.INPUT_TOKENS_BY_CUSTOMER] = {customer: event.usage.input_tokens}
        totals[measures.OUTPUT_TOKENS_BY_CUSTOMER] = {customer: event.usage.output_tokens}
    if event.error is not None:
        totals[measures.ERRORS_BY_KIND] = {event.error.value: 1}
    return totals


def _exemplar(event: ResponseEvent) -> Exemplar:
    return Exemplar(
        request_id=event.request_id,
        rank=unit_hash(event.request_id),
        text="",
        customer=event.customer,
        value=event.latency_ms if _usable(event.latency_ms) else None,
    )
