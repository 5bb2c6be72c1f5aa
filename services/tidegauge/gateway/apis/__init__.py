"""What the gateway must understand of each API: what was asked, and what was answered."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tidegauge.gateway.apis.api import (
    AnswerCollector,
    Api,
    ChunkKind,
    Expectations,
    ParsedAnswer,
    ParsedRequest,
)
from tidegauge.gateway.apis.chat import Chat
from tidegauge.gateway.apis.completions import Completions
from tidegauge.gateway.apis.embeddings import Embeddings
from tidegauge.gateway.apis.responses import Responses

__all__ = [
    "APIS",
    "AnswerCollector",
    "Api",
    "ChunkKind",
    "Expectations",
    "ParsedAnswer",
    "ParsedRequest",
]

APIS: Mapping[str, Api] = MappingProxyType(
    {dialect.path: dialect for dialect in (Chat(), Completions(), Embeddings(), Responses())}
)
"""Path -> dialect."""
