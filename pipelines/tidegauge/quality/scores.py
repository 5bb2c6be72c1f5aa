"""What a judge says of one answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Score"]


@dataclass(frozen=True, slots=True)
class Score:
    """A judge's verdict on one answer.

    Attributes:
        values: Score's name -> value; empty when ``invalid``.
        invalid: Why there is no score, None when there is one.
        label_mass: Probability on a rubric's labels; None for other judges.
        answer_tokens: Tokens of the answer that were scored, where the judge counts them.
        tokens: Tokens that the judgment took, prompt and reply, all calls together.
        retried: Whether the first reply was invalid and it was asked again.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    invalid: str | None = None
    label_mass: float | None = None
    answer_tokens: int | None = None
    tokens: int = 0
    retried: bool = False
