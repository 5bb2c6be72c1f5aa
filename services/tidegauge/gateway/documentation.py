"""The hot routes' part of the OpenAPI document, which FastAPI cannot generate."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["ERROR_SCHEMA", "error_responses", "hot_paths"]

ERROR_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
"""OpenAI's error object, the form of every error of the gateway."""

_ERRORS: Final = {
    "400": "The body is malformed.",
    "401": "No valid key.",
    "404": "No such model, or the key may not use it.",
    "413": "The body is too long.",
    "429": "A limit of the key is reached.",
    "502": "The upstream cannot be reached, or broke off.",
    "504": "The upstream is too slow.",
}
_STREAM: Final = {"stream": {"type": "boolean", "default": False}}
_REQUESTS: Final[dict[str, tuple[str, list[str], dict[str, Any]]]] = {
    "/v1/chat/completions": (
        "Chat, plain or streamed",
        ["model", "messages"],
        {
            "messages": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["role"],
                    "properties": {"role": {"type": "string"}},
                },
            },
            **_STREAM,
        },
    ),
    "/v1/completions": (
        "Completions, plain or streamed",
        ["model", "prompt"],
        {"prompt": {"type": ["string", "array"]}, **_STREAM},
    ),
    "/v1/embeddings": (
        "Embeddings",
        ["model", "input"],
        {"input": {"type": ["string", "array"]}},
    ),
    "/v1/responses": (
        "Responses, plain or streamed",
        ["model", "input"],
        {"input": {"type": ["string", "array"]}, **_STREAM},
    ),
    "/v1/messages": (
        "Anthropic's messages, plain or streamed",
        ["model", "messages", "max_tokens"],
        {
            "messages": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["role", "content"],
                    "properties": {"role": {"type": "string"}},
                },
            },
            "max_tokens": {"type": "integer"},
            **_STREAM,
        },
    ),
    "/v1/rerank": (
        "Documents by relevance to a query",
        ["model", "query", "documents"],
        {"query": {"type": "string"}, "documents": {"type": "array"}},
    ),
    "/v1/score": ("Similarity of texts", ["model"], {}),
    "/tokenize": ("Tokens of a prompt", ["model"], {"prompt": {"type": "string"}}),
}


def error_responses() -> dict[int | str, dict[str, Any]]:
    """Return the error responses that every forwarded route may give."""
    return {
        status: {
            "description": text,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
        for status, text in _ERRORS.items()
    }


def hot_paths() -> dict[str, Any]:
    """Return the OpenAPI ``paths`` of the hot routes; other fields are passed through."""
    return {
        path: {
            "post": {
                "summary": summary,
                "operationId": path.strip("/").replace("/", "_"),
                "tags": ["OpenAI"],
                "security": [{"bearer": []}],
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "required": required,
                                "properties": {"model": {"type": "string"}, **fields},
                                "additionalProperties": True,
                            }
                        }
                    },
                },
                "responses": {
                    "200": {
                        "description": "As the upstream answered.",
                        "content": {"application/json": {}, "text/event-stream": {}},
                    },
                    **error_responses(),
                },
            }
        }
        for path, (summary, required, fields) in _REQUESTS.items()
    }
