"""JSON answers made of msgspec values, and their schemas for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError

from tidegauge.monitoring.incidents import IncidentSummary
from tidegauge.monitoring.ledger import Ledger
from tidegauge.monitoring.view import MonitorView
from tidegauge.schemas.findings import Alert, Verdict

__all__ = [
    "LedgerAnswer",
    "answer",
    "documented",
    "documented_page",
    "json_of",
    "publish_schemas",
    "refuse_invalid",
]

_REFERENCE = "#/components/schemas/{name}"
_FRAMEWORK_ERRORS = ("HTTPValidationError", "ValidationError")
_MOST_FAULTS = 5
_LONGEST = 400

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


def documented_page(description: str) -> Schema:
    """Return an error that is told on a page, for a route's ``responses`` argument."""
    return {"description": description, "content": {"text/html": {"schema": {"type": "string"}}}}


def refuse_invalid(app: FastAPI) -> None:
    """Answer parameters that are absent or wrong as every other error of the interface."""

    def refused(_request: Request, error: Exception) -> Response:
        found = error.errors() if isinstance(error, RequestValidationError) else []
        said = "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in found[:_MOST_FAULTS])
        return json_of({"error": said[:_LONGEST] or "the request is wrong"}, status=422)

    app.add_exception_handler(RequestValidationError, refused)


def publish_schemas(app: FastAPI, types: Sequence[type] = _TYPES) -> None:
    """Let the application's OpenAPI document contain our own types, and errors as we answer."""
    generate: Callable[[], Schema] = app.openapi

    def openapi() -> Schema:
        document = generate()
        _, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(components)
        for name in _FRAMEWORK_ERRORS:
            schemas.pop(name, None)
        for operations in document["paths"].values():
            for operation in operations.values():
                found = operation["responses"].get("422", {})
                if _FRAMEWORK_ERRORS[0] in str(found):
                    operation["responses"]["422"] = documented("A parameter is absent or wrong")
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI documents
