"""Durations by stratum: at which load and for which lengths a response took its time.

The time to the first token is known by the load at arrival and the prompt's length. The whole
duration also depends on how long the answer became, so its strata have that as well. Within a
stratum the whole duration is converted to the duration of an answer of the stratum's typical
length: otherwise slightly longer answers would look like a slower service.
"""

from __future__ import annotations

from collections.abc import Iterator

from tidegauge.schemas import measures
from tidegauge.schemas.exchange import ResponseEvent
from tidegauge.schemas.strata import LOADS, OUTPUTS, PROMPTS, UNKNOWN, LoadStratum, class_of

__all__ = ["at_typical_length", "stratified"]

_CHARACTERS_OF_A_TOKEN = 4
_TYPICAL = (8, 32, 128, 512, 2_048)
"""The answer's tokens that stand for each class of ``OUTPUTS``."""
_FIRST_TOKEN = 16
"""How many tokens are generated in the time to the first one, where it was not measured."""


def stratified(event: ResponseEvent, *, complete: bool) -> Iterator[tuple[str, str, float]]:
    """Yield (number's name, stratum, milliseconds) for each duration of a response.

    Args:
        event: The response.
        complete: Whether the answer is complete; the duration of another says nothing.
    """
    usage = event.usage
    prompt = usage.input_tokens if usage else event.prompt_characters / _CHARACTERS_OF_A_TOKEN
    load = UNKNOWN if event.in_flight is None else class_of(event.in_flight, LOADS)
    before = LoadStratum(load, class_of(prompt, PROMPTS), UNKNOWN, UNKNOWN)
    first = event.time_to_first_token_ms
    if first is not None:
        yield measures.TIME_TO_FIRST_TOKEN_MS, before.name, first
    if complete:
        output = usage.output_tokens if usage else event.output_characters / _CHARACTERS_OF_A_TOKEN
        length = class_of(output, OUTPUTS)
        stratum = before._replace(output=length, streamed=int(event.stream))
        converted = at_typical_length(event.latency_ms, first, output, length)
        yield measures.LATENCY_MS, stratum.name, converted


def at_typical_length(
    latency_ms: float, first_ms: float | None, tokens: float, length: int
) -> float:
    """Return how long an answer of the typical length would have taken, in milliseconds.

    Args:
        latency_ms: How long the answer took.
        first_ms: Its time to the first token; None where it was not measured.
        tokens: Its tokens.
        length: Its class of ``OUTPUTS``.
    """
    typical = _TYPICAL[length]
    if first_ms is None or first_ms > latency_ms or tokens < 1:
        return latency_ms * (typical + _FIRST_TOKEN) / (tokens + _FIRST_TOKEN)
    return first_ms + (latency_ms - first_ms) * typical / tokens
