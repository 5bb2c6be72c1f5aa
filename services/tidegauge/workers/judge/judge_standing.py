"""Whether each judge works: what became of its last questions, in the server's own words.

A judge that stops is an alarm. One answer that cannot be judged is not: it costs only itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidegauge.adapters.vllm import (
    JudgeFailedError,
    JudgeRefusedError,
    JudgeReplyError,
    JudgeServerError,
    JudgeUnreachableError,
    JudgeUnusableError,
)
from tidegauge.quality.judged_exchange import Score, SkipReason
from tidegauge.schemas.sketches import JudgeCondition, JudgeState

__all__ = ["JudgeStanding", "state_of"]

_ENOUGH: Final[Mapping[JudgeState, int]] = {
    JudgeState.UNREACHABLE: 1,
    JudgeState.LATE: 1,
    JudgeState.CANNOT_BE_ASKED: 1,
    JudgeState.REFUSED: 3,
    JudgeState.FAILING: 3,
    JudgeState.INVALID: 5,
    JudgeState.CUT_OFF: 5,
    JudgeState.TOO_OLD: 5,
    JudgeState.TOO_LONG: 50,
}
"""Questions in a row without a score that show the state: the rarer an answer alone would cause
it, the fewer."""
_REASONS: Final[Mapping[SkipReason, JudgeState]] = {
    SkipReason.UNREACHABLE: JudgeState.UNREACHABLE,
    SkipReason.LATE: JudgeState.LATE,
    SkipReason.REFUSED: JudgeState.REFUSED,
    SkipReason.FAILED_ON: JudgeState.FAILING,
    SkipReason.CANNOT_BE_ASKED: JudgeState.CANNOT_BE_ASKED,
    SkipReason.TOO_OLD: JudgeState.TOO_OLD,
    SkipReason.TOO_LONG: JudgeState.TOO_LONG,
}
_SENTENCES: Final[Mapping[JudgeState, str]] = {
    JudgeState.LATE: "it does not answer before the time limit",
    JudgeState.CUT_OFF: "its replies end before a grade: raise reasoning_tokens, or use a model "
    "that grades at once",
    JudgeState.INVALID: "its replies hold no valid grade",
}
_INVALID: Final[Mapping[str, str]] = {
    "label_mass": "little of the probability of its next token is on the grades",
    "no_label": "no grade is among the likeliest next tokens",
    "no_probability": "its replies have no probabilities",
    "other_classes": "its classes are others than the judge's file names",
    "other_order": "its classes are in another order than in the judge's file",
    "no_answer_tokens": "it counts no tokens of the answer",
    "token_mismatch": "it splits the answer into other tokens beside another text",
    "not_finite": "its log-probabilities are not finite",
    "impossible_token": "it calls a token of the answer impossible",
}
"""Why a reply holds no valid score -> what that says of the judge."""
_DETAIL_CHARACTERS: Final = 400


def state_of(error: JudgeServerError) -> JudgeState:
    """Return the state that an error of its server shows."""
    states = {
        JudgeUnusableError: JudgeState.CANNOT_BE_ASKED,
        JudgeFailedError: JudgeState.FAILING,
        JudgeUnreachableError: JudgeState.UNREACHABLE,
        JudgeRefusedError: JudgeState.REFUSED,
        JudgeReplyError: JudgeState.INVALID,
    }
    return next(state for kind, state in states.items() if isinstance(error, kind))


class JudgeStanding:
    """How many questions in a row one judge has given no score to, and why.

    Args:
        judge: The judge's name.
    """

    def __init__(self, judge: str) -> None:
        self._judge = judge
        self._in_a_row = 0
        self._state: JudgeState | None = None
        self._detail = ""

    def learn(self, result: Score | SkipReason, detail: str = "") -> None:
        """Add what became of one question.

        Args:
            result: The score, or why there is none.
            detail: The server's or our own sentence.
        """
        if isinstance(result, SkipReason):
            state = _REASONS.get(result)
            if state is not None:
                self.fail(state, detail)
        elif result.invalid is None:
            self._in_a_row, self._state, self._detail = 0, None, ""
        else:
            cut_off = result.invalid == "reply_cut_off"
            state = JudgeState.CUT_OFF if cut_off else JudgeState.INVALID
            self.fail(state, detail or _INVALID.get(result.invalid) or _SENTENCES[state])

    def fail(self, state: JudgeState, detail: str = "") -> None:
        """Add a question without a score."""
        self._in_a_row = self._in_a_row + 1 if state is self._state else 1
        self._state = state
        self._detail = (detail or _SENTENCES.get(state, ""))[:_DETAIL_CHARACTERS]

    @property
    def condition(self) -> JudgeCondition | None:
        """Return why the judge does not work; None while it does, or may."""
        if self._state is None or self._in_a_row < _ENOUGH[self._state]:
            return None
        return JudgeCondition(judge=self._judge, state=self._state, detail=self._detail)
