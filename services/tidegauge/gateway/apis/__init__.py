"""Adapters for the APIs that the gateway forwards; they parse requests and answers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tidegauge.capture.answer import ParsedAnswer
from tidegauge.gateway.apis.api import (
    NOTHING_EXPECTED,
    AnswerCollector,
    Api,
    ChunkKind,
    Expectations,
    ParsedRequest,
    malformed,
    prompt_tokens,
    text_tokens,
)
from tidegauge.gateway.apis.chat import Chat
from tidegauge.gateway.apis.completions import Completions
from tidegauge.gateway.apis.embeddings import Embeddings
from tidegauge.gateway.apis.forwarded import FORWARDED
from tidegauge.gateway.apis.messages import Messages
from tidegauge.gateway.apis.responses import Responses

__all__ = [
    "APIS",
    "NOTHING_EXPECTED",
    "AnswerCollector",
    "Api",
    "ChunkKind",
    "Expectations",
    "ParsedAnswer",
    "ParsedRequest",
    "malformed",
    "prompt_tokens",
    "text_tokens",
]

_ALL: tuple[Api, ...] = (
    Chat(),
    Completions(),
    Embeddings(),
    Responses(),
    Messages(),
    *FORWARDED,
)
APIS: Mapping[str, Api] = MappingProxyType({api.path: api for api in _ALL})
"""Path -> its adapter."""
