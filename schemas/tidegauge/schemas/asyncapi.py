"""The topics as one AsyncAPI 3 document."""

from __future__ import annotations

from typing import Any, Final

from tidegauge.schemas.codec import cloud_event_headers, type_name
from tidegauge.schemas.json_schemas import components
from tidegauge.schemas.topics import (
    ALL_TOPICS,
    CONTROLS,
    HEARTBEATS,
    LABELS,
    REQUESTS,
    RESPONSES,
    Event,
    Topic,
)

__all__ = ["OPEN_TO_OTHERS", "document"]

OPEN_TO_OTHERS: Final = (REQUESTS, RESPONSES, HEARTBEATS, LABELS, CONTROLS)
"""Topics that other programs may publish to; only tidegauge publishes to the rest."""

_VERSION: Final = "1.0.0"
_BINDING: Final = "0.5.0"


def document() -> dict[str, Any]:
    """Return the self-contained AsyncAPI document."""
    topics = list(ALL_TOPICS.values())
    kinds = list(dict.fromkeys(kind for topic in topics for kind in topic.carries))
    references, schemas = components(kinds, "#/components/schemas/{name}")
    messages = {
        _message_name(kind): _message(kind, reference)
        for kind, reference in zip(kinds, references, strict=True)
    }
    return {
        "asyncapi": "3.0.0",
        "id": "urn:tidegauge:events",
        "info": {
            "title": "tidegauge events",
            "version": _VERSION,
            "description": (
                "What gateways, workers, the monitor and people tell each other, as JSON in "
                "Kafka records with CloudEvents 1.0 headers (binary content mode)."
            ),
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        },
        "defaultContentType": "application/json",
        "channels": {_channel_name(topic): _channel(topic) for topic in topics},
        "operations": dict(
            [_operation("send", topic) for topic in topics]
            + [_operation("receive", topic) for topic in OPEN_TO_OTHERS]
        ),
        "components": {
            "schemas": {**{n: _draft_7(s) for n, s in schemas.items()}, **_headers_schema()},
            "messages": messages,
        },
    }


def _channel_name(topic: Topic) -> str:
    return topic.name.partition(".")[0]


def _message_name(kind: type[Event]) -> str:
    return type_name(kind).rpartition(".")[2]


def _channel(topic: Topic) -> dict[str, Any]:
    names = [_message_name(kind) for kind in topic.carries]
    configuration: dict[str, Any] = {"cleanup.policy": ["compact"]}
    if topic.retention_ms is not None:
        configuration = {"cleanup.policy": ["delete"], "retention.ms": topic.retention_ms}
    return {
        "address": topic.name,
        "description": f"Key of a record: {topic.key}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": configuration,
                "bindingVersion": _BINDING,
            }
        },
    }


def _operation(action: str, topic: Topic) -> tuple[str, dict[str, Any]]:
    channel = _channel_name(topic)
    return f"{action}-{channel}", {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [
            {"$ref": f"#/channels/{channel}/messages/{_message_name(kind)}"}
            for kind in topic.carries
        ],
    }


def _message(kind: type[Event], payload: str) -> dict[str, Any]:
    return {
        "name": type_name(kind),
        "title": kind.__name__,
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/CloudEventHeaders"},
        "payload": {"$ref": payload},
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": _BINDING}},
    }


def _headers_schema() -> dict[str, Any]:
    sample = cloud_event_headers(event_id="1", kind="tidegauge.request", source="p", time_ms=0)
    properties: dict[str, Any] = {name: {"type": "string"} for name, _ in sample}
    properties["ce_specversion"]["const"] = "1.0"
    properties["ce_time"]["format"] = "date-time"
    properties["content-type"]["const"] = "application/json"
    return {
        "CloudEventHeaders": {
            "title": "CloudEventHeaders",
            "description": "CloudEvents 1.0 attributes, as UTF-8.",
            "type": "object",
            "properties": properties,
            "required": list(properties),
        }
    }


def _draft_7(schema: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Rewrite tuples for AsyncAPI's dialect, a superset of JSON Schema draft 7."""
    if isinstance(schema, list):
        return [_draft_7(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    rewritten = {name: _draft_7(value) for name, value in schema.items()}
    if "prefixItems" in rewritten:
        rewritten["additionalItems"] = rewritten.get("items", True)
        rewritten["items"] = rewritten.pop("prefixItems")
    return rewritten
