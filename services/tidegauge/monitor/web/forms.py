"""Small forms, read without trusting their size or their fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from fastapi import Request

__all__ = ["documented_form", "fields"]

_MOST_BYTES = 4_096


async def fields(request: Request, names: Sequence[str]) -> dict[str, str] | None:
    """Return the named fields of a form, empty where absent; None for a form too long."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BYTES:
            return None
    form = parse_qs(body.decode(errors="replace"))
    return {name: form.get(name, [""])[0] for name in names}


def documented_form(names: Mapping[str, str], required: Sequence[str]) -> dict[str, Any]:
    """Return the OpenAPI description of a form: field -> what it means."""
    schema = {
        "type": "object",
        "required": list(required),
        "properties": {
            name: {"type": "string", "description": meaning} for name, meaning in names.items()
        },
    }
    content = {"application/x-www-form-urlencoded": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}
