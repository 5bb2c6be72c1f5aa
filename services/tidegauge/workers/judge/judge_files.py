"""The judges that the settings name, and the files of rubrics and golden answers."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

from tidegauge.adapters.vllm import VllmClient
from tidegauge.monitoring.catalog import HALLUCINATION
from tidegauge.quality.context import ContextRule
from tidegauge.quality.errors import SpecificationError
from tidegauge.quality.golden_set import GoldenAnswer
from tidegauge.quality.hallucination import NAME
from tidegauge.quality.judged_exchange import JudgedExchange, JudgedUnit, question_key
from tidegauge.quality.rubric_text import parse_judge
from tidegauge.quality.specifications import (
    ClassifierSpec,
    GroundednessSpec,
    LikelihoodSpec,
    RubricSpec,
    Specification,
)
from tidegauge.runtime.json_lines import read_json_lines
from tidegauge.schemas.exchange import Message
from tidegauge.workers.judge.classifier_judge import ClassifierJudge
from tidegauge.workers.judge.judges import GroundednessJudge, Judge, LikelihoodJudge, RubricJudge
from tidegauge.workers.judge.settings import JudgeSettings

__all__ = [
    "WITHOUT_RUBRIC",
    "GoldenLine",
    "built_in_rubrics",
    "make_client",
    "make_judge",
    "read_golden_answers",
    "read_lines",
    "read_references",
    "specification",
    "specifications",
]

_RESERVED: Final = frozenset({HALLUCINATION, NAME})
_LIKELIHOOD: Final = "likelihood"
_GROUNDEDNESS: Final = "groundedness_likelihood"
_EXCHANGE: Final = "an exchange needs a question, and an answer or tool_calls"
_REFERENCE: Final = "a reference needs a question and a reference"
WITHOUT_RUBRIC: Final = (_LIKELIHOOD, _GROUNDEDNESS)
"""Judges that read likelihoods."""


class GoldenLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a file with exchanges: a question with an answer, and what is known of it.

    Attributes:
        question: What the user asked.
        answer: What the assistant said.
        kind: ``good``, or what is bad about it; None where nobody has said it.
        system: The system message.
        context: The context that the answer has to be supported by.
        reference: An answer that is known to be right.
        tool_calls: The answer's tool calls as JSON text.
        messages: The conversation before the question.
        unit: Whether the kind says something of the answer, or of the whole conversation.
    """

    question: str
    answer: str = ""
    kind: str | None = None
    system: str = ""
    context: str = ""
    reference: str | None = None
    tool_calls: str | None = None
    messages: tuple[Message, ...] = ()
    unit: JudgedUnit = "answer"

    @property
    def exchange(self) -> JudgedExchange:
        """Return the exchange."""
        told = (Message(role="system", content=self.system),) if self.system else ()
        given = (Message(role="document", content=self.context),) if self.context else ()
        asked = Message(role="user", content=self.question)
        return JudgedExchange(
            (*told, *self.messages, *given, asked),
            self.answer,
            self.tool_calls,
            reference=self.reference,
            unit=self.unit,
        )


class _ReferenceLine(msgspec.Struct, frozen=True):
    question: str
    reference: str


def built_in_rubrics() -> Mapping[str, str]:
    """Return name -> YAML text of the rubrics that come with the product."""
    folder = resources.files("tidegauge.quality").joinpath("rubrics")
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return {
        file.name.removesuffix(".yaml"): file.read_text(encoding="utf-8")
        for file in files
        if file.name.endswith(".yaml")
    }


def specifications(settings: JudgeSettings) -> Mapping[str, Specification]:
    """Return the specifications of the judges that the settings name, by name and in order.

    Raises:
        SpecificationError: No judge is named, one is unknown, two have one name, or a file cannot
            be read or is no rubric.
    """
    found: dict[str, Specification] = {}
    for named in settings.names:
        each = specification(named, settings)
        if each.name in _RESERVED:
            raise SpecificationError(
                f"a judge cannot be named {each.name!r}, which names the check of answers against "
                f"their context: give it another name in {named}"
            )
        if each.name in found:
            raise SpecificationError(
                f"TIDEGAUGE_JUDGE_JUDGES names two judges {each.name!r}: give one of them another "
                "name in its file"
            )
        found[each.name] = each
    if not found:
        raise SpecificationError("TIDEGAUGE_JUDGE_JUDGES names no judge")
    return found


def specification(named: str, settings: JudgeSettings) -> Specification:
    """Return the specification of one judge.

    Args:
        named: One of ``WITHOUT_RUBRIC``, a built-in rubric's name, or the path of a YAML file.
        settings: The model and what else the rubric leaves open.

    Raises:
        SpecificationError: There is no such judge, or its file cannot be read or is no rubric.
    """
    if named == _LIKELIHOOD:
        return LikelihoodSpec(model=settings.model, system=settings.likelihood_system)
    context = ContextRule.parse(settings.context, settings.context_tags)
    if named == _GROUNDEDNESS:
        return GroundednessSpec(model=settings.model, context=context)
    rubrics = built_in_rubrics()
    if named in rubrics:
        source, text = f"the rubric {named}", rubrics[named]
    elif named.endswith((".yaml", ".yml")):
        source, text = named, _read(Path(named))
    else:
        raise SpecificationError(
            f"there is no judge {named!r}: there are {', '.join((*WITHOUT_RUBRIC, *rubrics))}, "
            "and those of YAML files, whose names end in .yaml"
        )
    return parse_judge(
        text,
        source=source,
        model=settings.model,
        retries=settings.rubric_retry,
        reasons_below=settings.reasons_below,
        labels_by=settings.labels_by,
        context=context,
    )


def make_client(settings: JudgeSettings, url: str = "") -> VllmClient:
    """Return a client of the judges' server, or of another one.

    Args:
        settings: The settings.
        url: Address of the other server, which is not sent the judges' key.

    Raises:
        JudgeRefusedError: The address is invalid.
    """
    key = settings.api_key if url in {"", settings.url} else None
    return VllmClient(
        url or settings.url,
        api_key=key.get_secret_value() if key else None,
        timeout_seconds=settings.request_seconds,
        connections=2 * settings.concurrency + 1,
    )


def make_judge(client: VllmClient, specification: Specification) -> Judge:
    """Return the judge of a specification."""
    if isinstance(specification, RubricSpec):
        return RubricJudge(client, specification)
    if isinstance(specification, ClassifierSpec):
        return ClassifierJudge(client, specification)
    if isinstance(specification, GroundednessSpec):
        return GroundednessJudge(client, specification)
    return LikelihoodJudge(client, specification)


def read_golden_answers(path: Path) -> tuple[GoldenAnswer, ...]:
    """Read golden answers from a file of JSON lines.

    Raises:
        SpecificationError: The file cannot be read, or a line is not a golden answer.
    """
    lines = read_lines(path)
    for number, line in enumerate(lines, start=1):
        if line.kind is None:
            raise SpecificationError(
                f"{path}: the golden answer {number} has no kind: give good, or what is bad about "
                "the answer"
            )
    return tuple(GoldenAnswer(line.kind or "", line.exchange) for line in lines)


def read_references(path: Path) -> Mapping[str, str]:
    """Read question -> an answer that is known to be right, from a file of JSON lines.

    Raises:
        SpecificationError: The file cannot be read, or a line lacks question or reference.
    """
    lines = read_json_lines(path, _ReferenceLine, SpecificationError, _REFERENCE)
    return {question_key(line.question): line.reference for _, line in lines}


def read_lines(path: Path) -> tuple[GoldenLine, ...]:
    """Read exchanges from a file of JSON lines; blank lines count for nothing.

    Raises:
        SpecificationError: The file cannot be read, or a line is no exchange.
    """
    found: list[GoldenLine] = []
    for number, line in read_json_lines(path, GoldenLine, SpecificationError, _EXCHANGE):
        if not line.answer.strip() and not line.tool_calls:
            raise SpecificationError(
                f"{path}, line {number}: there is no answer and no tool_calls; {_EXCHANGE}"
            )
        found.append(line)
    return tuple(found)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecificationError(f"cannot read {path}: {error}") from error
