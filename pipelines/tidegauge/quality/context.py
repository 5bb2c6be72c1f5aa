"""Finds the context of an answer: the texts that it has to be supported by.

A context can be all of the system message, what tools returned, messages of a role of their own
(``document``), or a marked part of a message: between tags (``<context> … </context>``) or below
a heading (``Context:`` … ``Question:``). Which of these count is a rule. Texts are untrusted:
every search takes time linear in the length of the text.
"""

# ruff: noqa: RUF001 - headings in many scripts

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, TypeAlias, get_args

from tidegauge.quality.errors import SpecificationError
from tidegauge.schemas.exchange import Message

__all__ = ["GUESS", "ContextRule", "ContextSource", "ContextState", "MarkedParts", "Passage"]

ContextSource: TypeAlias = Literal["system", "tools", "documents", "tagged", "headed"]
"""Where a passage stood: the system message, a tool's result, a message of the role ``document``
or ``context``, between tags, or below a heading."""

_SOURCES: Final[tuple[ContextSource, ...]] = get_args(ContextSource)
_TAGS: Final = (
    *("context", "contexts", "document", "documents", "doc", "docs", "passage", "passages"),
    *("source", "sources", "search_results", "search_result", "results", "retrieved"),
    *("retrieved_context", "reference", "references", "knowledge", "article", "background"),
)
_TAG_NAME: Final = re.compile(r"[\w.-]{1,64}")
_HEADINGS: Final = (
    r"context|(?:the )?(?:documents?|passages?|sources?|excerpts?|articles?|references?)"
    r"|(?:search|retrieved) results|retrieved (?:context|documents|passages)|background"
    r"|knowledge(?: base)?|source text|kontext|dokumente?|quellen?|hintergrund|contexte|documents?"
    r"|extraits?|contexto|documentos?|fuentes?|fontes?|contesto|documenti|fonti|documenten|bronnen"
    r"|контекст|документы?|источники?|bağlam|belgeler|السياق|المستندات|संदर्भ|दस्तावेज़"
    r"|上下文|背景|参考资料|资料|文档|コンテキスト|文脈|資料|参考文書|컨텍스트|문맥|문서|참고 자료"
)
_ENDINGS: Final = (
    r"(?:user )?(?:question|query|request)|task|instructions?|answer|output|summary|response"
    r"|(?:nutzer)?frage|aufgabe|antwort|zusammenfassung|question|tâche|réponse|résumé|pregunta"
    r"|tarea|respuesta|resumen|pergunta|tarefa|resposta|resumo|domanda|compito|risposta|vraag"
    r"|opdracht|antwoord|вопрос|задача|ответ|soru|görev|cevap|السؤال|الإجابة|प्रश्न|उत्तर"
    r"|问题|任务|回答|答案|質問|問題|課題|질문|과제|답변|대답"
)
_DECORATION: Final = r"[ \t#*_\[]{0,8}"
_HEADING: Final = re.compile(
    rf"^{_DECORATION}(?:{_HEADINGS})[ \t*_\]]{{0,8}}[:：][ \t*_]{{0,8}}"
    r"|^(?=[^\n]{0,240}[:：][ \t]*$)[^\n]{0,200}?\b(?:following|below|folgenden?|suivante?s?"
    r"|siguientes?|seguintes?)\b[^\n]{0,40}?[:：][ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_ENDING: Final = re.compile(
    rf"^{_DECORATION}(?:{_ENDINGS})[ \t*_\]]{{0,8}}[:：]", re.IGNORECASE | re.MULTILINE
)
_INSTRUCTION: Final = re.compile(
    r"\b(?:following|below|folgenden?|suivante?s?|siguientes?|seguintes?)\b", re.IGNORECASE
)
_SHORTEST: Final = 40
"""Characters below which a text under an instruction's line is no context."""


class ContextState(StrEnum):
    """What is known of an answer's context."""

    GIVEN = "given"
    """The context is known in full."""
    NONE = "none"
    """The exchange is known in full, and holds no context."""
    CUT = "cut"
    """A part of the exchange was left out, in which context may have stood."""
    REDACTED = "redacted"
    """Words of the context were replaced before it was captured."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of context.

    Attributes:
        source: Where it stood.
        text: Its text, without tags and heading.
    """

    source: ContextSource
    text: str


@dataclass(frozen=True, slots=True)
class MarkedParts:
    """A message divided into context and the rest.

    Attributes:
        rest: The text without the passages.
        passages: The passages, in order.
    """

    rest: str
    passages: tuple[Passage, ...] = ()


@dataclass(frozen=True, slots=True)
class ContextRule:
    """Which parts of an exchange are its context.

    Attributes:
        sources: Where context stands. The system message as a whole is not among the default
            ones: it usually instructs.
        tags: Names of the tags around context; upper and lower case are the same.
    """

    sources: frozenset[ContextSource] = frozenset({"tools", "documents", "tagged", "headed"})
    tags: tuple[str, ...] = _TAGS

    @classmethod
    def parse(cls, sources: str, tags: str = "") -> ContextRule:
        """Return the rule of two settings, each with names between commas.

        Args:
            sources: Some of ``system``, ``tools``, ``documents``, ``tagged`` and ``headed``;
                ``guess`` for all but the first, ``none`` for no context at all.
            tags: Names of tags in place of the usual ones; empty for the usual ones.

        Raises:
            SpecificationError: A source is unknown, or a tag's name has other characters than
                letters, digits, ``_``, ``.`` and ``-``.

        Example:
            >>> ContextRule.parse("system").sources
            frozenset({'system'})
        """
        names = {name.strip() for name in sources.split(",") if name.strip()}
        if unknown := names - {*_SOURCES, "guess", "none"}:
            raise SpecificationError(
                f"where context stands cannot be {', '.join(sorted(unknown))!r}: give some of "
                f"{', '.join(_SOURCES)}, or guess, or none"
            )
        known: set[ContextSource] = {source for source in _SOURCES if source in names}
        if "guess" in names or not names:
            known |= GUESS.sources
        named = tuple(name.strip() for name in tags.split(",") if name.strip()) or _TAGS
        if bad := [name for name in named if not _TAG_NAME.fullmatch(name)]:
            raise SpecificationError(
                f"a tag around context cannot be named {bad[0]!r}: give its name alone, "
                "such as context"
            )
        return cls(frozenset(known), named)

    def divide(self, message: Message) -> MarkedParts:
        """Divide a message's content into context and the rest."""
        text = message.content
        if not text.strip():
            return MarkedParts(text)
        source: ContextSource | None = None
        if message.role in {"system", "developer"}:
            source = "system"
        elif message.role in {"tool", "function"}:
            source = "tools"
        elif message.role.partition(" ")[0] in {"document", "context"}:
            source = "documents"
        if source in self.sources:
            return MarkedParts("", (Passage(source, text.strip()),))
        if source in {"tools", "documents"} or message.role == "assistant":
            return MarkedParts(text)
        passages: list[Passage] = []
        if "tagged" in self.sources:
            text, found = _between_tags(text, self.tags)
            passages += found
        if "headed" in self.sources and not passages:
            text, found = _below_heading(text, question=message.role == "user")
            passages += found
        return MarkedParts(text.strip(), tuple(passages))


GUESS: Final = ContextRule()
"""The rule where nothing is set: context is where it plainly is."""


def _between_tags(text: str, tags: Iterable[str]) -> tuple[str, list[Passage]]:
    names = "|".join(map(re.escape, tags))
    opening = re.compile(rf"<({names})(?:[ \t\n][^<>]{{0,400}})?>", re.IGNORECASE)
    lower = text.lower() if len(text.lower()) == len(text) else text
    rest: list[str] = []
    passages: list[Passage] = []
    unclosed: set[str] = set()
    end = 0
    for match in opening.finditer(text):
        name = match[1].lower()
        if match.start() < end or name in unclosed:
            continue
        close = lower.find(f"</{name}>", match.end())
        if close < 0:
            unclosed.add(name)
            continue
        if inner := text[match.end() : close].strip():
            passages.append(Passage("tagged", inner))
        rest.append(text[end : match.start()])
        end = close + len(name) + 3
    return "".join([*rest, text[end:]]), passages


def _below_heading(text: str, *, question: bool) -> tuple[str, list[Passage]]:
    """Take out the text below the first heading, if it leaves a question where one is needed."""
    heading = _HEADING.search(text)
    if heading is None:
        return text, []
    ending = _ENDING.search(text, heading.end())
    end = len(text) if ending is None else ending.start()
    inner = text[heading.end() : end].strip()
    instructs = _INSTRUCTION.search(heading[0]) is not None
    before = text[: heading.end() if instructs else heading.start()]
    rest = f"{before.rstrip()}\n\n{text[end:].lstrip()}".strip()
    if not inner or (question and not rest) or (instructs and len(inner) < _SHORTEST):
        return text, []
    return rest, [Passage("headed", inner)]
