"""Dimensions of a segment beside model, version, route and customer, as parts of its version.

A version label with a system prompt, a served model or one of the application's tags in it makes
every change of one a new version: it is compared with the one before, and has numbers and alarms of
its own.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tidegauge.capture.exchange_record import ExchangeRecord
from tidegauge.capture.settings import Dimension
from tidegauge.schemas.system_prompts import system_prompt

__all__ = ["MOST_VALUES", "Dimensions"]

MOST_VALUES: Final = 8
"""Values of a dimension with a label of their own, for each model; the rest are ``other``."""
_OTHER: Final = "other"
_LENGTH: Final = 60


class Dimensions:
    """Adds the values of dimensions to the versions of exchanges.

    Args:
        names: The dimensions.
    """

    def __init__(self, names: tuple[Dimension, ...]) -> None:
        self._names = names
        self._known: dict[tuple[str, Dimension], set[str]] = {}

    def labelled(self, record: ExchangeRecord) -> ExchangeRecord:
        """Return the record of an exchange with its dimensions in its version."""
        parts = [record.version] if record.version else []
        for name in self._names:
            value = _value(name, record)
            if value:
                parts.append(f"{name}={self._bounded(record.model, name, value[:_LENGTH])}")
        version = " ".join(parts)
        if version == record.version:
            return record
        return msgspec.structs.replace(record, version=version)

    def _bounded(self, model: str, name: Dimension, value: str) -> str:
        known = self._known.setdefault((model, name), set())
        if value not in known and len(known) >= MOST_VALUES:
            return _OTHER
        known.add(value)
        return value


def _value(name: Dimension, record: ExchangeRecord) -> str:
    """Return an exchange's value of a dimension; empty where it is not known."""
    if name == "served_model":
        return "" if record.answer is None else record.answer.served_model or ""
    if name != "system_prompt":
        return record.tags.get(name, "")
    if record.capture != "full" or not record.messages or record.omitted_characters:
        return ""
    return system_prompt(record.messages)
