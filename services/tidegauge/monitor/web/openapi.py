"""JSON answers made of msgspec values, and their schemas for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from fastapi import FastAPI, Response

from tidegauge.monitoring.incidents import IncidentSummary
from tidegauge.monitoring.ledger import Ledger
from tidegauge.monitoring.view import MonitorView
from tidegauge.schemas.findings import Alert, Verdict

__all__ = ["LedgerAnswer", "answer", "documented", "json_of", "publish_schemas"]

_REFERENCE = "#/components/schemas/{name}"

Schema = dict[str, Any]


class LedgerAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The ledger and what it comes to.

    Attributes:
        balanced: Whether every event is accounted for, those on their way apart.
        settled: Whether it balances with nothing on its way.
        in_flight: Events that the slowest kind of worker still has before it.
        ledger: The account.
    """

    balanced: bool
    settled: bool
    in_flight: int
    ledger: Ledger

    @classmethod
    def of(cls, ledger: Ledger) -> LedgerAnswer:
        """Return the answer for a ledger."""
        return cls(
            balanced=ledger.balanced,
            settled=ledger.settled,
            in_flight=ledger.in_flight,
            ledger=ledger,
        )


_TYPES = (MonitorView, Verdict, Alert, LedgerAnswer, IncidentSummary)


def json_of(value: object, *, status: int = 200) -> Response:
    """Return a value as a JSON answer; numbers that JSON cannot say become null."""
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")


def answer(kind: type[msgspec.Struct], *, many: bool = False) -> dict[int | str, Schema]:
    """Return what a route answers with, for its ``responses`` argument."""
    schema: Schema = {"$ref": _REFERENCE.format(name=kind.__name__)}
    if many:
        schema = {"type": "array", "items": schema}
    return {
        200: {"description": "As it is now", "content": {"application/json": {"schema": schema}}},
        503: documented("Nothing has been measured yet"),
    }


def documented(description: str) -> Schema:
    """Return an error's answer, for a route's ``responses`` argument."""
    return {
        "description": description,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"error": {"type": "string"}},
                    "required": ["error"],
                }
            }
        },
    }


def publish_schemas(app: FastAPI, types: Sequence[type] = _TYPES) -> None:
    """Let the application's OpenAPI document contain the schemas of our own types."""
    generate: Callable[[], Schema] = app.openapi

    def openapi() -> Schema:
        document = generate()
        _, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
        document.setdefault("components", {}).setdefault("schemas", {}).update(components)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI documents
