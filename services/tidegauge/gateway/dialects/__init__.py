"""What the gateway must understand of each API: what was asked, and what was answered."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tidegauge.gateway.dialects.chat import Chat
from tidegauge.gateway.dialects.completions import Completions
from tidegauge.gateway.dialects.dialect import (
    Answer,
    Asked,
    Collector,
    Dialect,
    Expectations,
    Seen,
)
from tidegauge.gateway.dialects.embeddings import Embeddings
from tidegauge.gateway.dialects.responses import Responses

__all__ = [
    "DIALECTS",
    "Answer",
    "Asked",
    "Collector",
    "Dialect",
    "Expectations",
    "Seen",
]

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {dialect.path: dialect for dialect in (Chat(), Completions(), Embeddings(), Responses())}
)
"""Path -> dialect."""
