"""Reads the files that traffic is drawn from: conversations, single questions, arrivals."""

from __future__ import annotations

import csv
import re
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.promise.errors import TrafficFileError
from tidegauge.runtime.json_lines import read_json_lines
from tidegauge.simulation.conversations import Script
from tidegauge.simulation.rhythm import Recorded

__all__ = ["SingleQuestion", "read_arrivals", "read_conversations", "read_questions"]

T = TypeVar("T")

_FEWEST = 200
_AROUND = 301
_CONVERSATION = 'a line is {"turns": [["user", "assistant", "topic"], …], "services": ["topic"]}'
_QUESTION = 'a line is {"text": "…", "topic": "…"}'
_VARIANT = re.compile(r"_\d+$")
_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


class SingleQuestion(NamedTuple):
    """A single question and its topic."""

    text: str
    topic: str


class _Conversation(msgspec.Struct):
    turns: list[tuple[str, str, str | None]]
    services: list[str] = []


class _Question(msgspec.Struct):
    text: str
    intent: str = ""
    topic: str = ""


def read_conversations(path: Path) -> list[Script]:
    """Read a JSONL file of conversations.

    A line is ``{"turns": [[user, assistant, intent or null], …], "services": [topic, …]}``; the
    first service is the topic, or without services the first intent. A number at a service's end
    names a variant, as in ``Hotels_2``: users ask the variants of a service for the same, so that
    none of them is a new topic where another is known.

    Raises:
        TrafficFileError: The file cannot be read, or a line is not as it must be.
    """
    found = []
    for number, one in read_json_lines(path, _Conversation, TrafficFileError, _CONVERSATION):
        asked = [turn for turn in one.turns if turn[0].strip()]
        if not asked:
            raise TrafficFileError(f"{path}, line {number}: the conversation has no user's message")
        topic = _VARIANT.sub("", one.services[0]) if one.services else asked[0][2] or ""
        found.append(Script(tuple((user, answer) for user, answer, _ in asked), topic))
    return _enough(path, found, "conversations")


def read_questions(path: Path) -> list[SingleQuestion]:
    """Read a JSONL file of single questions, ``{"text": …, "topic": …}`` a line.

    Raises:
        TrafficFileError: The file cannot be read, or a line is not as it must be.
    """
    found = [
        SingleQuestion(one.text, one.topic or one.intent)
        for _, one in read_json_lines(path, _Question, TrafficFileError, _QUESTION)
        if one.text.strip()
    ]
    return _enough(path, found, "questions")


def _enough(path: Path, found: list[T], what: str) -> list[T]:
    if len(found) < _FEWEST:
        raise TrafficFileError(f"{path} holds {len(found)} {what}: at least {_FEWEST} are needed")
    return found


def read_arrivals(path: Path) -> Recorded:
    """Read a CSV file of requests: their times, prompt tokens and generated tokens.

    Its columns are ``TIMESTAMP`` (ISO 8601), ``ContextTokens`` and ``GeneratedTokens``.

    Raises:
        TrafficFileError: The file cannot be read, or a line is not as it must be.
    """
    times, prompt, output = [], [], []
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            reader = csv.DictReader(lines)
            if missing := [name for name in _COLUMNS if name not in (reader.fieldnames or ())]:
                raise TrafficFileError(f"{path}, line 1: there is no column {missing[0]}")
            for row in reader:
                try:
                    moment, context, generated = (row[name] or "" for name in _COLUMNS)
                    # Seven digits of a second are one more than Python reads.
                    times.append(datetime.fromisoformat(moment[:26]).timestamp())
                    prompt.append(int(context))
                    output.append(int(generated))
                except ValueError as error:
                    raise TrafficFileError(f"{path}, line {reader.line_num}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise TrafficFileError(f"cannot read {path}: {error}") from error
    _enough(path, times, "requests")
    order = np.argsort(times, kind="stable")
    gaps = np.diff(np.array(times)[order])
    if not gaps.mean() > 0:
        raise TrafficFileError(f"{path}: all requests have the same time")
    return Recorded(_levelled(gaps), np.array(prompt)[order][1:], np.array(output)[order][1:])


def _levelled(gaps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide gaps by their mean over some hundred around each.

    Bursts stay, and the recording's slow changes of rate go: the rhythm has its own.
    """
    around = np.ones(min(_AROUND, len(gaps)))
    counted = np.convolve(np.ones_like(gaps), around, "same")
    levelled = gaps / np.maximum(np.convolve(gaps, around, "same") / counted, np.finfo(float).tiny)
    return np.asarray(levelled / levelled.mean(), np.float64)
