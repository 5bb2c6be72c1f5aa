"""What an answer says: its facts, put together from their parts, and the outcome they decide."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from tidegauge.capture.text_limits import well_formed
from tidegauge.capture.tool_calls import Calls
from tidegauge.schemas.exchange import (
    CUT_OFF_REASONS,
    ErrorKind,
    ExchangeOutcome,
    Usage,
    outcome_of,
)

__all__ = ["CONTENT_ENCODING", "AnswerParts", "Ending", "ParsedAnswer", "decide"]

_USUAL: Final = frozenset({"stop", "length", "tool_calls", "end_turn", "tool_use", "max_tokens"})
"""Finish reasons of most answers, which their servers completed."""
_GAVE_UP: Final = frozenset(
    {
        *("abort", "aborted", "canceled", "cancelled", "error", "failed"),
        *("insufficient_system_resource", "timeout"),
    }
)
"""Finish reasons with which servers say that they did not complete an answer."""
_GAVE_UP_WORDS: Final = (
    *("error", "exception", "exhausted", "malformed", "overload", "rate_limit", "unavailable"),
)
"""Words in the finish reasons of servers that did not complete an answer."""
CONTENT_ENCODING: Final = "content_encoding"
"""What is unread of an answer whose body cannot be decoded."""
_ENDED: Final = frozenset({"completed", "incomplete"})
_FAILED: Final = frozenset({"failed", "expired"})
_NOT_YET: Final = frozenset({"queued", "in_progress"})
_SERVICE_FAULTS: Final = frozenset({402, 407, 425, 429, 498})
"""Statuses below 500 that blame the service: its credit, its proxies, its capacity (429, 498)."""
_TIMEOUTS: Final = frozenset({408, 504, 522, 524})
_LONGEST_NAME: Final = 200
_REDIRECTS, _ERRORS, _SERVER_ERRORS = 300, 400, 500


class ParsedAnswer(msgspec.Struct, kw_only=True):
    """The facts of an answer; the first choice's if there are several. None where absent.

    Attributes:
        text: The answer's text; of a spoken answer its transcript.
        tool_calls: Tool calls as JSON text in the chat API's form.
        refusal: The model's refusal, if the upstream reports it in a field of its own.
        media: Whether the answer has anything else: images, sound, files, calls of tools that the
            API defines.
        open_choices: Whether other choices of the answer have begun and not ended.
        finish_reason: The upstream's finish reason.
        state: What the Responses API says of the answer: ``completed``, ``failed``, ``queued`` ….
        error: The code of an error that the upstream reports in the answer; empty without one.
        generated: Whether it is an answer that a model generates, so that it can be checked.
        absent: Whether there is no answer: no choice, no output, or no JSON at all.
        input_tokens: Tokens of the prompt.
        output_tokens: Tokens generated.
        cached_tokens: Tokens of the prompt from the upstream's cache.
        reasoning_tokens: Generated tokens that are not part of the answer.
        model: The model as the upstream names it.
        fingerprint: The upstream's ``system_fingerprint``.
        queue_ms: Time in the upstream's queue.
        response_id: Id that a later request of the Responses API may follow.
        unread: Names of the fields that were there and could not be read.
    """

    text: str | None = None
    tool_calls: str | None = None
    refusal: str | None = None
    media: bool = False
    open_choices: bool = False
    finish_reason: str | None = None
    state: str | None = None
    error: str | None = None
    generated: bool = False
    absent: bool = False
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    model: str | None = None
    fingerprint: str | None = None
    queue_ms: float | None = None
    response_id: str | None = None
    unread: tuple[str, ...] = ()

    def leave_unread(self, name: str) -> None:
        """Note that a field is there and cannot be read."""
        if name not in self.unread:
            self.unread += (name,)

    @property
    def usage(self) -> Usage | None:
        """The usage that the upstream reports; None unless it is complete.

        No tokens of an answer that is there, or of its prompt, are none that were counted.
        """
        if self.input_tokens is None or self.output_tokens is None:
            return None
        if self.generated and not (self.input_tokens and (self.output_tokens or self.is_empty)):
            return None
        return Usage(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cached_tokens=self.cached_tokens,
            reasoning_tokens=self.reasoning_tokens,
        )

    @property
    def is_empty(self) -> bool:
        """Whether there is no text, no tool call, no refusal and nothing else."""
        said = self.tool_calls or self.refusal or self.media or (self.text or "").strip()
        return not said and self.finish_reason != "refusal"

    @property
    def is_cut_off(self) -> bool | None:
        """Whether the answer was cut off at a limit; None without a finish reason."""
        return None if self.finish_reason is None else self.finish_reason.lower() in CUT_OFF_REASONS

    @property
    def ended(self) -> bool:
        """Whether the upstream itself says that the answer has ended, well or not."""
        if self.error is not None:
            return True
        if self.open_choices:
            return False
        if self.finish_reason is not None:
            return True
        return self.state is not None and self.state not in _NOT_YET


class Ending(NamedTuple):
    """How an exchange ended.

    Attributes:
        outcome: Its outcome.
        error: The kind of its error; None without one.
        detail: One line about the error in our own words; None without one.
    """

    outcome: ExchangeOutcome
    error: ErrorKind | None = None
    detail: str | None = None


_OK: Final = Ending("ok")


def decide(
    answer: ParsedAnswer, status: int, fault: tuple[ErrorKind, str] | None, *, done: bool
) -> Ending:
    """Decide how an exchange ended, from the facts of its answer and from the transport.

    What the answer itself says outweighs who closed the connection first: a client that leaves
    after the finish reason got its answer, and an error that the upstream reports is the
    service's, whoever closed.

    Args:
        answer: The answer, as far as it came.
        status: The upstream's status, or that of the gateway's own error.
        fault: How the transport failed, kind and description; None if it did not.
        done: Whether the answer came to its end, as the transport tells it.

    Example:
        >>> decide(ParsedAnswer(finish_reason="stop"), 200, None, done=False).outcome
        'ok'
        >>> decide(ParsedAnswer(error="502"), 200, None, done=True).error
        <ErrorKind.UPSTREAM_ERROR: 'upstream_error'>
    """
    if status >= _ERRORS and fault is None:
        return _by_status(status)
    told = _as_told(answer)
    if told is not None:
        return told
    if fault is not None:
        return Ending(outcome_of(fault[0]), fault[0], fault[1])
    return _untold(answer, status, done=done)


def _as_told(answer: ParsedAnswer) -> Ending | None:
    """Return the ending that the answer itself tells; None if it tells none."""
    reason, state = answer.finish_reason, answer.state
    if answer.error is not None or state in _FAILED:
        code = f" ({answer.error})" if answer.error else ""
        return _failed(f"the upstream reported an error in its answer{code}")
    if reason is not None and reason not in _USUAL and _gave_up(reason.lower()):
        return _failed("the upstream gave the answer up, as its finish reason says")
    if state == "cancelled":
        return Ending("cancelled", None, "the answer was cancelled at the upstream")
    return _OK if (reason is not None or state in _ENDED) and not answer.open_choices else None


def _gave_up(reason: str) -> bool:
    return reason in _GAVE_UP or any(word in reason for word in _GAVE_UP_WORDS)


def _untold(answer: ParsedAnswer, status: int, *, done: bool) -> Ending:
    """Return the ending of an answer that tells none and did not break."""
    if status >= _REDIRECTS:
        return _failed(f"the upstream answered {status}, a redirect")
    if CONTENT_ENCODING in answer.unread:
        return Ending("unread", None, "the answer's content encoding cannot be decoded")
    if not done:
        detail = "the upstream ended the stream before the answer was complete"
        return Ending("failed", ErrorKind.UPSTREAM_INTERRUPTED, detail)
    if answer.state in _NOT_YET and answer.text is None:
        return Ending("pending", None, "the upstream answers later, in the background")
    return _failed("no answer can be read in what the upstream sent") if answer.absent else _OK


def _failed(detail: str) -> Ending:
    return Ending("failed", ErrorKind.UPSTREAM_ERROR, detail)


def _by_status(status: int) -> Ending:
    detail = f"the upstream answered {status}"
    if status in _TIMEOUTS:
        return Ending("failed", ErrorKind.UPSTREAM_TIMEOUT, detail)
    if status >= _SERVER_ERRORS or status in _SERVICE_FAULTS:
        return _failed(detail)
    return Ending("rejected", ErrorKind.UPSTREAM_REJECTED, detail)


class AnswerParts:
    """Puts an answer together from its parts, in the order in which they arrive.

    Args:
        single: Whether there is one choice only, whose index does not matter.

    Attributes:
        answer: The facts that need no putting together.
        texts: Parts of the text.
        refusal: The refusal so far.
        choice: Index of the choice that is read; None before the first.
        listed: Whether the upstream has sent a list for answers, even an empty one.
        piece: Whether the event that was read last holds something generated.
        usage_only: Whether it holds a usage and no choice.
    """

    __slots__ = (
        "_calls",
        "_open",
        "_single",
        "answer",
        "choice",
        "listed",
        "piece",
        "refusal",
        "texts",
        "usage_only",
    )

    def __init__(self, *, single: bool = False) -> None:
        self._single = single
        self.answer = ParsedAnswer(absent=True)
        self.choice: int | None = None
        self.listed = False
        self.piece = False
        self.usage_only = False
        self.texts: list[str] = []
        self.refusal = ""
        self._calls: Calls | None = None
        self._open: set[int] = set()

    def forget(self) -> None:
        """Forget the text and the calls, since what follows replaces them."""
        self.texts, self.refusal, self._calls = [], "", None

    def takes(self, index: int) -> bool:
        """Whether a choice is the one that is read: the one of least index."""
        if self._single:
            self.choice = index
        elif self.choice is None or index < self.choice:
            if self.choice is not None:
                self.forget()
                self.end_choice(self.choice, ended=self.answer.finish_reason is not None)
                self.answer.finish_reason = None
                self._open.discard(index)
            self.choice = index
        return index == self.choice

    def end_choice(self, index: int, *, ended: object) -> None:
        """Note whether a choice that is not read has ended."""
        (self._open.discard if ended else self._open.add)(index)

    @property
    def has_calls(self) -> bool:
        """Whether there is a tool call so far."""
        return self._calls is not None

    @property
    def has_content(self) -> bool:
        """Whether there is a text, a refusal or a tool call so far."""
        return bool(self.texts or self.refusal) or self._calls is not None

    def add_call(  # noqa: PLR0913 - the parts of a call
        self,
        place: object,
        call_id: str | None,
        name: str | None,
        arguments: str,
        *,
        custom: bool = False,
        whole: bool = False,
    ) -> None:
        """Add a tool call or a part of one.

        Args:
            place: Its index, or the id of its item; None if the upstream tells none.
            call_id: The call's id.
            name: The tool's name.
            arguments: The arguments, or a part of them.
            custom: Whether the tool is a custom one, whose input is a text.
            whole: Whether it is a whole call.
        """
        if self._calls is None:
            self._calls = Calls()
        call = self._calls.add(place, call_id or None, name, custom=custom, whole=whole)
        if call.name and name and not call_id and not any(call.arguments):
            # A name in pieces; where each part brings the whole name, it has an id as well.
            name = name if name.startswith(call.name) else well_formed(call.name + name)
            call.name = name[:_LONGEST_NAME]
        call.name = call.name or name
        call.arguments.append(arguments)

    def collected(self) -> ParsedAnswer:
        """Return the answer so far."""
        answer, texts, calls = self.answer, self.texts, self._calls
        text = texts[0] if len(texts) == 1 else "".join(texts)
        if not text.isascii():
            text = well_formed(text)
        if self.refusal:
            answer.refusal = well_formed(self.refusal)
        if calls is not None:
            answer.tool_calls = calls.in_form()
        says_nothing = calls is not None or self.refusal or answer.media or not self.listed
        answer.text = None if not text and says_nothing else text
        answer.generated, answer.open_choices = self.listed, bool(self._open)
        if text or self.refusal or calls is not None:
            answer.generated, answer.absent = True, False
        return answer
