"""Names of the counts and values in sketches, which workers write and the monitor reads.

A name is a path of fixed words; the only parts that vary come from configuration or from
closed sets (judges, checks, error kinds), never from a client's text.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "CONTEXT",
    "COST_NANOUSD_BY_CUSTOMER",
    "COST_USD",
    "EMBEDDED",
    "ERROR",
    "ERRORS_BY_KIND",
    "FOLLOWUPS",
    "HALLUCINATION",
    "INPUT_TOKENS",
    "INPUT_TOKENS_BY_CUSTOMER",
    "INTER_TOKEN_MEAN_MS",
    "INTER_TOKEN_P95_MS",
    "IN_FLIGHT",
    "JUDGED",
    "LATENCY_MS",
    "NOVELTY",
    "OTHER_LABEL",
    "OUTPUT_CHARACTERS",
    "OUTPUT_TOKENS",
    "OUTPUT_TOKENS_BY_CUSTOMER",
    "PROMPT_CHARACTERS",
    "QUEUE_MS",
    "REQUESTS_BY_CUSTOMER",
    "SAMPLED",
    "SHADOW_CUSTOMER",
    "TIME_TO_FIRST_TOKEN_MS",
    "WORK_BY_CUSTOMER",
    "WORK_TOKENS",
    "answer_tokens",
    "censored",
    "cluster_checked",
    "cluster_hallucinated",
    "cluster_sums",
    "cluster_weights",
    "conversations",
    "cross",
    "disagreement",
    "failed",
    "grounding_checked",
    "hallucinated",
    "in_language",
    "invalid",
    "judge_label",
    "language_of",
    "made_with",
    "made_with_of",
    "score",
    "skipped",
    "typical",
    "unqualified",
    "vote_gaps",
    "vote_weights",
    "voted",
    "votes",
    "weight",
    "weighted",
    "worst",
]

# Numbers of a ``vitals`` sketch: each has moments and a histogram.
LATENCY_MS: Final = "latency_ms"
TIME_TO_FIRST_TOKEN_MS: Final = "time_to_first_token_ms"  # noqa: S105 - tokens of text
INTER_TOKEN_MEAN_MS: Final = "inter_token_mean_ms"  # noqa: S105 - tokens of text
INTER_TOKEN_P95_MS: Final = "inter_token_p95_ms"  # noqa: S105 - tokens of text
QUEUE_MS: Final = "queue_ms"
IN_FLIGHT: Final = "in_flight"
INPUT_TOKENS: Final = "input_tokens"
OUTPUT_TOKENS: Final = "output_tokens"
PROMPT_CHARACTERS: Final = "prompt_characters"
OUTPUT_CHARACTERS: Final = "output_characters"
COST_USD: Final = "cost_usd"
WORK_TOKENS: Final = "work_tokens"
"""In place of the cost, where the tokens have no price: see ``cost.work.work_tokens``."""

# Indicators of a ``vitals`` sketch.
ERROR: Final = "error"
"""The service failed the client: an upstream's or the gateway's fault, not the client's."""

# Totals of a ``vitals`` sketch: label -> whole number.
REQUESTS_BY_CUSTOMER: Final = "requests_by_customer"
COST_NANOUSD_BY_CUSTOMER: Final = "cost_nanousd_by_customer"
WORK_BY_CUSTOMER: Final = "work_by_customer"
"""Work of the exchanges whose tokens have no price, in tokens of a prompt."""
INPUT_TOKENS_BY_CUSTOMER: Final = "input_tokens_by_customer"
OUTPUT_TOKENS_BY_CUSTOMER: Final = "output_tokens_by_customer"
ERRORS_BY_KIND: Final = "errors_by_kind"
"""All errors by kind, including those of the clients."""

_MADE_WITH: Final = "made_with/"


def made_with(dimension: str) -> str:
    """Return the name of the totals of responses by what they were made with.

    Args:
        dimension: What of it, such as ``system prompt``.
    """
    return _MADE_WITH + dimension


def made_with_of(name: str) -> str:
    """Return the dimension that totals of this name count by; empty for other totals.

    Example:
        >>> made_with_of(made_with("system prompt")), made_with_of(ERRORS_BY_KIND)
        ('system prompt', '')
    """
    return name.removeprefix(_MADE_WITH) if name.startswith(_MADE_WITH) else ""


OTHER_LABEL: Final = "other"
"""In totals: the amounts of all labels, such as customers, beyond the cap."""
SHADOW_CUSTOMER: Final = "shadow"
"""In totals by customer: shadow requests, whose cost the operator bears; no customer sent them."""

# A ``drift`` sketch. Its counts of openings stand under their own names, those of follow-ups
# under the same names with a prefix.
NOVELTY: Final = "novelty"
"""Number: how far a text lies from those of the baseline."""
EMBEDDED: Final = "embedded"
"""Indicator: counts the requests for which the other indicators were evaluated."""
FOLLOWUPS: Final = "followups/"
"""Prefix of the names that count follow-ups."""
_IN_LANGUAGE: Final = "in/"

# A ``quality`` sketch, beside what each judge counts.
CONTEXT: Final = "context"
"""Totals: state of an answer's context, such as ``given`` or ``cut`` -> answers."""

HALLUCINATION: Final = "hallucination"
"""In place of a score's name: whether the context supports the answer."""

# Totals in a judge worker's progress, beside those of ``skipped(reason)``.
SAMPLED: Final = "sampled"
JUDGED: Final = "judged"


def in_language(language: str) -> str:
    """Return the prefix of the names that count the openings in one language by themselves."""
    return f"{_IN_LANGUAGE}{language}/"


def language_of(name: str) -> str:
    """Return the language whose openings were counted, by the name of the count; else empty.

    Example:
        >>> language_of(in_language("de") + EMBEDDED), language_of(EMBEDDED)
        ('de', '')
    """
    prefix, found, rest = name.partition(_IN_LANGUAGE)
    language, _, counted = rest.partition("/")
    return language if found and not prefix and counted == EMBEDDED else ""


def failed(check: str) -> str:
    """Indicator: a check of the output failed; its trials are the answers checked."""
    return f"failed/{check}"


def judge_label(judge: str, specification_hash: str) -> str:
    """Return a judge's name with its specification, so that two are never added up.

    Example:
        >>> judge_label("likelihood", "9f86d081884c7d65")
        'likelihood@9f86d081'
    """
    return f"{judge}@{specification_hash[:8]}"


def score(judge: str, name: str) -> str:
    """Value: a score as the judge gave it; ``judge`` is a ``judge_label``."""
    return f"score/{judge}/{name}"


def worst(judge: str, name: str) -> str:
    """Exemplars: the answers with the lowest scores."""
    return f"worst/{judge}/{name}"


def typical(judge: str, name: str) -> str:
    """Exemplars: answers drawn at random among those that have the score."""
    return f"typical/{judge}/{name}"


def disagreement(judge: str) -> str:
    """Value: largest difference between the scores of a judge and its jury."""
    return f"disagreement/{judge}"


def weight(judge: str) -> str:
    """Value: 1 / inclusion probability of each judged answer."""
    return f"weight/{judge}"


def weighted(judge: str, name: str) -> str:
    """Value: score / inclusion probability."""
    return f"weighted/{judge}/{name}"


def cross(judge: str, name: str) -> str:
    """Value: score / inclusion probability squared, for the variance of the weighted mean."""
    return f"cross/{judge}/{name}"


def cluster_weights(judge: str) -> str:
    """Totals: group of conversations -> sum of 1 / inclusion probability."""
    return f"cluster_weights/{judge}"


def cluster_sums(judge: str, name: str) -> str:
    """Totals: group of conversations -> sum of score / inclusion probability."""
    return f"cluster_sums/{judge}/{name}"


def cluster_checked(judge: str) -> str:
    """Totals: group of conversations -> answers held against their context."""
    return f"cluster_checked/{judge}"


def cluster_hallucinated(judge: str) -> str:
    """Totals: group of conversations -> answers that their context does not support."""
    return f"cluster_hallucinated/{judge}"


def votes(judge: str, check: str) -> str:
    """Totals: ``both``, ``judge``, ``check`` or ``neither`` says that the check failed -> weight.

    The weight is the sum of 1 / inclusion probability, as ``random_groups.group_sum`` writes it.
    """
    return f"votes/{judge}/{check}"


def voted(judge: str, check: str) -> str:
    """Indicator: the judge voted on the answer that the check was made on."""
    return f"voted/{judge}/{check}"


def vote_weights(judge: str, check: str) -> str:
    """Totals: group of conversations -> sum of 1 / inclusion probability."""
    return f"vote_weights/{judge}/{check}"


def vote_gaps(judge: str, check: str) -> str:
    """Totals: group of conversations -> sum of (vote - check) / inclusion probability."""
    return f"vote_gaps/{judge}/{check}"


def answer_tokens(judge: str) -> str:
    """Value: tokens of the answer that were scored, shown beside every score."""
    return f"answer_tokens/{judge}"


def invalid(judge: str) -> str:
    """Indicator: the judge gave no usable score; its trials are the answers that it was sent."""
    return f"invalid/{judge}"


def unqualified(judge: str) -> str:
    """Indicator: judged while the judge was not qualified; trials as for ``invalid``."""
    return f"unqualified/{judge}"


def grounding_checked(judge: str) -> str:
    """Indicator: whether its context supports the answer was looked at; ``judge`` as above."""
    return f"grounding_checked/{judge}"


def hallucinated(judge: str) -> str:
    """Indicator: the answer has content that its context does not support.

    Its trials are the hits of ``grounding_checked``: an answer without context has none.
    """
    return f"hallucinated/{judge}"


def censored(judge: str) -> str:
    """Indicator: the conversation may have gone on; its trials are the conversations judged."""
    return f"censored/{judge}"


def conversations(what: str) -> str:
    """Total in a judge worker's progress: drawn conversations, and what became of them."""
    return f"conversations/{what}"


def skipped(reason: str) -> str:
    """Total in a worker's progress: answers not judged, requests not tested, for this reason."""
    return f"skipped/{reason}"
