"""A judge's whole specification, and the hash that names it.

Everything that changes a score changes the hash, and scores of two specifications are never
added up.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import ClassVar, Final, Literal, TypeAlias

import msgspec

from tidegauge.quality.context import GUESS, ContextRule, ContextState
from tidegauge.quality.errors import SpecificationError
from tidegauge.quality.exchange_parts import divide
from tidegauge.quality.golden_set import (
    ADDED_CLAIM,
    FLATTERING,
    HOT_SAMPLER,
    OTHER_ANSWER,
    SHUFFLED,
    SWAPPED_ENTITY,
    UNSUPPORTED_NUMBER,
)
from tidegauge.quality.judged_exchange import JudgedExchange, JudgedUnit

__all__ = [
    "METHODS",
    "VOTE",
    "AppliesTo",
    "ClassifierSpec",
    "Grade",
    "GroundednessSpec",
    "LikelihoodSpec",
    "RubricExample",
    "RubricSpec",
    "Specification",
    "shortened",
]

Part: TypeAlias = Literal[
    "system", "context", "earlier", "steps", "reference", "answer", "tool_calls"
]
"""A part that an exchange may have; ``context`` only where it is known in full."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}")
METHODS: Final[Mapping[str, int]] = MappingProxyType(
    {"RubricSpec": 2, "LikelihoodSpec": 1, "GroundednessSpec": 1, "ClassifierSpec": 2}
)
"""Kind of judge -> version of its defaults, of what it asks, and of how replies are read.

A hash holds the version in place of all that. A test fails where any of it has changed without
the version.
"""


class AppliesTo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which exchanges a judge is asked about. Names may hold ``*`` and ``?``.

    Attributes:
        has: Parts that an exchange must have.
        lacks: Parts that it must not have.
        models: Models, as clients ask for them.
        versions: Versions of the deployment that answered.
        routes: The gateway's routes.
        customers: Customers.
    """

    has: tuple[Part, ...] = ("answer",)
    lacks: tuple[Part, ...] = ()
    models: tuple[str, ...] = ("*",)
    versions: tuple[str, ...] = ("*",)
    routes: tuple[str, ...] = ("*",)
    customers: tuple[str, ...] = ("*",)

    def holds(self, exchange: JudgedExchange, rule: ContextRule = GUESS) -> bool:
        """Whether an exchange is one of these.

        Args:
            exchange: The exchange.
            rule: Which of its texts are context.
        """
        segment = exchange.segment
        values = (
            (segment.model, self.models),
            (segment.version, self.versions),
            (segment.route, self.routes),
            (exchange.customer, self.customers),
        )
        if not all(any(fnmatchcase(name, glob) for glob in globs) for name, globs in values):
            return False
        wanted = {*self.has, *self.lacks}
        if wanted <= {"answer", "tool_calls", "reference"}:  # the usual case needs no search
            found = _own_parts(exchange)
        else:
            found = _own_parts(exchange) | _searched_parts(exchange, rule)
        return found.issuperset(self.has) and found.isdisjoint(self.lacks)


class Grade(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A grade of a rubric's scale.

    Attributes:
        label: What the judge replies.
        score: Its value in [0, 1].
        meaning: When it is given.
    """

    label: str
    score: float
    meaning: str = ""


class RubricExample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An exchange with the grade that it should get, shown to the judge.

    Attributes:
        question: What the user asked.
        answer: What the assistant said.
        grade: The right grade's label.
        system: The system message, if any.
        context: The context, if any.
        reference: An answer that is known to be right, if any.
        tool_calls: The answer's tool calls as JSON text, if any.
        reason: Why, in one sentence.
    """

    question: str
    grade: str
    answer: str = ""
    system: str = ""
    context: str = ""
    reference: str = ""
    tool_calls: str = ""
    reason: str = ""


class RubricSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A judge that has a rubric of good answers, and replies with one label.

    Attributes:
        model: The model's name on the judge's server.
        name: The judge's name in events.
        version: The rubric's version, as its author counts them.
        task: What is graded, in a sentence or two.
        criteria: What is looked at.
        scale: The grades.
        examples: Exchanges with their grades, shown before each question.
        applies_to: Which exchanges it is asked about.
        context: Which texts of an exchange are its context.
        qualified_on: Kinds of bad answers that it has to tell from good ones.
        lead: Beginning of the assistant's turn, so that the next token is the label.
        minimum_mass: Least total probability of the labels for a valid reply.
        retries: Whether a second call, with reasoning, follows an invalid reply.
        reasoning_tokens: Largest number of tokens for the reasoning.
        reasons_below: Scores below which the judge is asked for its reason, in a call of its own;
            the score stays as it is. 0 for never.
        budget_tokens: Estimated tokens of an exchange that are shown; more are left out by
            importance, and marked.
        top_tokens: Most likely next tokens that the server is asked for.
        jury: Further models on the same server that grade a share of the answers as well; their
            disagreement with this one is reported and changes no score.
        jury_share: Share of the judged answers that the jury grades.
        unit: Whether it grades each answer, or whole conversations after their end.
        labels_by: How the labels' probabilities are told: ``logprobs`` of the likeliest next
            tokens, or ``scoring``, vLLM's ``/generative_scoring``, where the server has it.
        votes_on: Check of the output on which it votes: a score below .5 says that the answer
            failed it. Its votes correct the check's rate. Empty for none.
        system_role: Whether the model's chat template knows the system's role; if not, the
            rubric stands at the beginning of the user's message.
    """

    model: str
    name: str
    task: str
    scale: tuple[Grade, ...]
    version: int = 1
    criteria: tuple[str, ...] = ()
    examples: tuple[RubricExample, ...] = ()
    applies_to: AppliesTo = AppliesTo()
    context: ContextRule = GUESS
    qualified_on: tuple[str, ...] = ()
    lead: str = "The grade is "
    minimum_mass: float = 0.9
    retries: bool = True
    reasoning_tokens: int = 160
    reasons_below: float = 0.0
    budget_tokens: int = 6000
    top_tokens: int = 20
    jury: tuple[str, ...] = ()
    jury_share: float = 0.2
    unit: JudgedUnit = "answer"
    labels_by: Literal["logprobs", "scoring"] = "logprobs"
    votes_on: str = ""
    system_role: bool = True

    def __post_init__(self) -> None:
        """Refuse a rubric that cannot be asked or scored.

        Raises:
            SpecificationError: The name has other characters than small letters, digits, ``_``
                and ``-``; there are fewer than two labels, or one begins another; a score is
                outside [0, 1]; an example has a grade that the scale does not have.
        """
        _check_name(self.name)
        labels = [grade.label for grade in self.scale]
        if len(labels) < 2:  # noqa: PLR2004 - one label says nothing
            raise SpecificationError(f"the rubric {self.name} needs two labels at least")
        for label in labels:
            begun = sum(other.casefold().startswith(label.casefold()) for other in labels)
            if label != label.strip() or not label or begun > 1:
                raise SpecificationError(
                    f"the rubric {self.name} cannot have the label {label!r}: a label is read "
                    "from its first token, so none may be empty, have blanks at its ends, or "
                    "begin another one"
                )
        _check_scores(self.scale)
        if not 0 <= self.jury_share <= 1:
            raise SpecificationError(
                f"the rubric {self.name}: jury_share lies in [0, 1], got {self.jury_share}"
            )
        for example in self.examples:
            if example.grade not in labels:
                raise SpecificationError(
                    f"an example of the rubric {self.name} has the grade {example.grade!r}: "
                    f"the scale has {', '.join(labels)}"
                )

    def applies(self, exchange: JudgedExchange) -> bool:
        """Whether the judge is asked about an exchange."""
        return exchange.unit == self.unit and self.applies_to.holds(exchange, self.context)

    @property
    def labels(self) -> dict[str, float]:
        """Return the valid replies with their scores."""
        return {grade.label: grade.score for grade in self.scale}

    @property
    def specification_hash(self) -> str:
        """Return the specification's hash; what changes no score is none of it."""
        graded = msgspec.structs.replace(
            self, jury=(), jury_share=0.0, reasons_below=0.0, votes_on=""
        )
        return _hash_of(graded)


class LikelihoodSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A judge that computes the answer's likelihood with the prompt and without it.

    Attributes:
        model: The model's name on the judge's server.
        name: The judge's name in events.
        version: Version of the method.
        system: System message where the conversation has none; None leaves it to the
            model's chat template. The empty one is shorter than most templates' own.
        answer_bytes: Longest part of the answer that is scored, in bytes of UTF-8: the server
            holds a distribution over the whole vocabulary for each position.
        prompt_bytes: Longest part of the conversation that is shown, in bytes of UTF-8; its
            oldest messages are left out first.
    """

    unit: ClassVar[JudgedUnit] = "answer"
    votes_on: ClassVar[str] = ""
    model: str
    name: str = "likelihood"
    version: int = 2
    system: str | None = ""
    answer_bytes: int = 1200
    prompt_bytes: int = 2400

    @property
    def qualified_on(self) -> tuple[str, ...]:
        """Return the kinds of bad answers that it has to tell from good ones.

        A refusal, and an answer that addresses its judge, are fluent: likelihood cannot tell them.
        """
        return (HOT_SAMPLER, SHUFFLED, OTHER_ANSWER, FLATTERING)

    @property
    def applies_to(self) -> AppliesTo:
        """Return which exchanges it is asked about."""
        return AppliesTo()

    def applies(self, exchange: JudgedExchange) -> bool:
        """Whether the judge is asked about an exchange: about all with a text as answer."""
        return exchange.unit == self.unit and bool(exchange.answer.strip())

    @property
    def specification_hash(self) -> str:
        """Return the specification's hash."""
        return _hash_of(self)


class GroundednessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A judge that reads an answer with its context and without it.

    Attributes:
        model: The model's name on the judge's server.
        name: The judge's name in events.
        version: Version of the method.
        context: Which texts of an exchange are its context.
        question: Asked where an exchange has no question.
        context_bytes: Longest part of the context that is shown, in bytes of UTF-8: of a longer
            one, the sentences that share most words with the answer.
        question_bytes: Longest part of the question that is shown.
        answer_bytes: Longest part of the answer that is scored: the server holds a distribution
            over the whole vocabulary for each position.
    """

    unit: ClassVar[JudgedUnit] = "answer"
    votes_on: ClassVar[str] = ""
    model: str
    name: str = "groundedness_likelihood"
    version: int = 1
    context: ContextRule = GUESS
    question: str = "What does this text say?"
    context_bytes: int = 4000
    question_bytes: int = 800
    answer_bytes: int = 1200

    @property
    def qualified_on(self) -> tuple[str, ...]:
        """Return the kinds of bad answers that it has to tell from good ones."""
        return (UNSUPPORTED_NUMBER, SWAPPED_ENTITY, ADDED_CLAIM)

    @property
    def applies_to(self) -> AppliesTo:
        """Return which exchanges it is asked about: those whose context is known in full."""
        return AppliesTo(has=("answer", "context"))

    def applies(self, exchange: JudgedExchange) -> bool:
        """Whether the judge is asked about an exchange."""
        return exchange.unit == self.unit and self.applies_to.holds(exchange, self.context)

    @property
    def specification_hash(self) -> str:
        """Return the specification's hash."""
        return _hash_of(self)


class ClassifierSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A judge that was trained for one question, and tells probabilities of classes.

    Attributes:
        model: The model's name on its server.
        name: The judge's name in events.
        method: How it is asked: ``classify`` a text, ``score`` a pair, ``tokens`` of a text.
        text: The text, in which ``{system}``, ``{context}``, ``{question}``, ``{reference}``,
            ``{answer}`` and ``{tool_calls}`` stand for the exchange's parts. It may hold marks of
            the model's tokenizer, such as ``[SEP]``; the exchange's own are broken. Of tokens,
            only the answer's count.
        second: The second text of a pair.
        scale: The model's classes in its order, with their scores; none for pairs. Where a label
            is the model's own name of a class, the order is checked.
        url: Address of its server; empty for that of the other judges.
        version: Version, as its author counts.
        applies_to: Which exchanges it is asked about.
        context: Which texts of an exchange are its context.
        qualified_on: Kinds of bad answers that it has to tell from good ones.
        budget_tokens: Estimated tokens of an exchange that it is shown.
        votes_on: See ``RubricSpec``.
    """

    unit: ClassVar[JudgedUnit] = "answer"
    model: str
    name: str
    method: Literal["classify", "score", "tokens"]
    text: str
    second: str = ""
    scale: tuple[Grade, ...] = ()
    url: str = ""
    version: int = 1
    applies_to: AppliesTo = AppliesTo()
    context: ContextRule = GUESS
    qualified_on: tuple[str, ...] = ()
    budget_tokens: int = 6000
    votes_on: str = ""

    def __post_init__(self) -> None:
        """Refuse a classifier that cannot be asked or read.

        Raises:
            SpecificationError: The name has other characters than small letters, digits, ``_``
                and ``-``; a pair lacks its second text, or another method has one; classes lack
                scores in [0, 1]; a judge of tokens has no answer in its text, or several.
        """
        _check_name(self.name)
        if self.method == "tokens" and self.text.count("{answer}") != 1:
            raise SpecificationError(
                f"the classifier {self.name}: the tokens of the answer are scored, so its text "
                "needs {answer}, once"
            )
        if (self.method == "score") != bool(self.second):
            raise SpecificationError(
                f"the classifier {self.name}: a pair to score has text and second, another "
                "method has text alone"
            )
        if self.method != "score" and len(self.scale) < 2:  # noqa: PLR2004 - one class says nothing
            raise SpecificationError(
                f"the classifier {self.name} needs a scale with each of the model's classes, in "
                "the model's order"
            )
        _check_scores(self.scale)

    def applies(self, exchange: JudgedExchange) -> bool:
        """Whether the judge is asked about an exchange."""
        return exchange.unit == self.unit and self.applies_to.holds(exchange, self.context)

    @property
    def specification_hash(self) -> str:
        """Return the specification's hash; its server is none of it."""
        return _hash_of(msgspec.structs.replace(self, url="", votes_on=""))


VOTE: Final = 0.5
"""Score below which a judge that votes on a check says that the answer failed it."""

Specification: TypeAlias = RubricSpec | LikelihoodSpec | GroundednessSpec | ClassifierSpec


def shortened(text: str, most_bytes: int) -> str:
    """Return the longest beginning of a text with at most ``most_bytes`` bytes of UTF-8.

    Example:
        >>> shortened("naïve", 3)
        'na'
    """
    return text.encode(errors="replace")[:most_bytes].decode(errors="ignore")


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise SpecificationError(
            f"a judge cannot be named {name!r}: use up to 40 small letters, digits, _ and -, a "
            "letter first"
        )


def _check_scores(scale: tuple[Grade, ...]) -> None:
    bad = {grade.label: grade.score for grade in scale if not 0 <= grade.score <= 1}
    if bad:
        raise SpecificationError(f"a label's score lies in [0, 1], got {bad}")


def _own_parts(exchange: JudgedExchange) -> set[str]:
    texts = {
        "answer": exchange.answer.strip(),
        "tool_calls": exchange.tool_calls,
        "reference": exchange.reference,
    }
    return {name for name, text in texts.items() if text}


def _searched_parts(exchange: JudgedExchange, rule: ContextRule) -> set[str]:
    parts = divide(exchange, rule)
    found = {"system": parts.system, "earlier": parts.earlier, "steps": parts.steps}
    named = {name for name, part in found.items() if part}
    return named | ({"context"} if parts.state is ContextState.GIVEN else set())


def _hash_of(specification: Specification) -> str:
    """Return the hash of what differs from the defaults.

    So a field that is added later, with a default that scores as before, keeps the hashes and
    with them baselines and qualifications. Whoever changes a default that there is, or what one
    means, raises the kind's version in ``METHODS``.
    """
    kind = type(specification).__name__
    told = {"kind": kind, "method": METHODS[kind], **_told(specification)}
    return hashlib.sha256(msgspec.json.encode(told, order="sorted")).hexdigest()


def _told(value: msgspec.Struct) -> dict[str, object]:
    """Return the fields that differ from their defaults, those of structs within alike."""
    found: dict[str, object] = {}
    for field in msgspec.structs.fields(type(value)):
        told = getattr(value, field.name)
        if field.required or told != field.default:
            found[field.name] = _plain(told)
    return found


def _plain(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return _told(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value
