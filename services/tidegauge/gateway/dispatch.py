"""The application: hot routes by raw ASGI, the others by FastAPI, and who may reach which."""

from __future__ import annotations

import hmac
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from starlette.responses import Response

from tidegauge.gateway.asgi import ApiRoutes, Message, Receive, Scope, Send
from tidegauge.gateway.documentation import ERROR_SCHEMA, hot_paths
from tidegauge.gateway.errors import RefusedError, error_body
from tidegauge.gateway.http.connections import ConnectionTable
from tidegauge.gateway.http.cors import CorsPolicy
from tidegauge.gateway.policy.keys import read_headers
from tidegauge.gateway.runtime import Runtime
from tidegauge.schemas.exchange import ErrorKind

__all__ = ["Gateway"]

_ADMIN_PATHS: Final = frozenset(
    {"/metrics", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"}
)


class Gateway(FastAPI):
    """A FastAPI application whose hot routes bypass FastAPI.

    FastAPI's middleware and routing cost more than everything else that the gateway does. The
    hot routes need neither, so they are dispatched before FastAPI.

    Metrics and documentation are for operators: they are served on the administration listener,
    and to requests with the admin key.

    Attributes:
        runtime: The parts of the gateway, while it serves.
        hot: The hot routes, while it serves.
        connections: The clients' connections, while it serves.
        cors: Which sites' scripts may call; None for none.
        admin_port: Port of the administration listener; None without one.
        admin_key: Key of the administration routes; None without one.
    """

    runtime: Runtime
    hot: ApiRoutes | None = None
    connections: ConnectionTable | None = None
    cors: CorsPolicy | None = None
    admin_port: int | None = None
    admin_key: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a hot route directly and everything else through FastAPI.

        A slash at the end of the path is ignored.
        """
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        if scope["path"].endswith("/"):
            scope["path"] = scope["path"].rstrip("/") or "/"
        if self.cors is not None:
            send = _with_cors(self.cors, scope, send)
        hot, method = self.hot, scope["method"]
        if hot is not None and hot.serves(scope):
            await hot(scope, receive, send)
        elif method == "OPTIONS":
            await self._options(scope)(scope, receive, send)
        elif scope["path"] in _ADMIN_PATHS and not self.may_administer(scope):
            await self._refuse_admin(scope)(scope, receive, send)
        elif method == "HEAD":
            await super().__call__({**scope, "method": "GET"}, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def may_administer(self, scope: Scope) -> bool:
        """Whether a request came by the administration listener or has the admin key."""
        server = scope.get("server")
        if self.admin_port is not None and server and server[1] == self.admin_port:
            return True
        if self.admin_key is None:
            return False
        given = read_headers(scope["headers"]).get(b"authorization", b"")
        return hmac.compare_digest(given, b"Bearer " + self.admin_key.encode())

    def _refuse_admin(self, scope: Scope) -> Response:
        self.runtime.refusals.add("admin_route", path=scope["path"])
        refused = RefusedError(
            ErrorKind.UNAUTHORIZED,
            "this route is served on the administration listener "
            "(TIDEGAUGE_GATEWAY_ADMIN_PORT), and to requests with the admin key",
            code="invalid_api_key",
        )
        return Response(
            error_body(refused),
            refused.status,
            {"www-authenticate": "Bearer"},
            media_type="application/json",
        )

    def _options(self, scope: Scope) -> Response:
        response = Response(
            status_code=HTTPStatus.OK, headers={"allow": "GET, HEAD, POST, OPTIONS"}
        )
        if self.cors is not None:
            headers = self.cors.preflight(read_headers(scope["headers"]))
            response.raw_headers.extend(headers)
        return response

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document with the hot routes in it."""
        if self.openapi_schema is None:
            document = super().openapi()
            document["paths"] = {**hot_paths(), **document["paths"]}
            components = document.setdefault("components", {})
            components.setdefault("schemas", {})["Error"] = ERROR_SCHEMA
            components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        return super().openapi()


def _with_cors(cors: CorsPolicy, scope: Scope, send: Send) -> Send:
    allowed = cors.headers(read_headers(scope["headers"]))

    async def send_allowed(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", ()))
            message["headers"] = [
                *given,
                *(header for header in allowed if header[0] not in {name for name, _ in given}),
            ]
        await send(message)

    return send_allowed
