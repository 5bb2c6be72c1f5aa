"""The gateway as a FastAPI application, which serves its hot routes by raw ASGI."""

from __future__ import annotations

import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from starlette.exceptions import HTTPException
from starlette.routing import Route

from tidegauge.capture.recorder import Recorder
from tidegauge.gateway.apis import APIS
from tidegauge.gateway.asgi import ApiRoutes, BodyReader
from tidegauge.gateway.dispatch import Gateway
from tidegauge.gateway.documentation import error_responses
from tidegauge.gateway.errors import (
    ConfigurationError,
    ExchangeError,
    RefusedError,
    error_body,
)
from tidegauge.gateway.exchange_state import Exchange
from tidegauge.gateway.http.connections import ConnectionLimits, ConnectionTable
from tidegauge.gateway.http.cors import CorsPolicy
from tidegauge.gateway.plain_chat import Collected, PlainChat, PlainRequest, PlainResponse
from tidegauge.gateway.policy.keys import Caller, authorization, read_headers
from tidegauge.gateway.refusals import Reason
from tidegauge.gateway.runtime import Runtime, check_files
from tidegauge.gateway.settings import GatewaySettings
from tidegauge.schemas.exchange import ErrorKind

__all__ = ["Gateway", "create_app"]

_STARTED: Final = int(time.time())
_REFUSED_ROUTES: Final[dict[int, Reason]] = {404: "route", 405: "method"}
_MESSAGES: Final = {
    404: "the gateway does not serve this route",
    405: "the gateway serves this route with another method",
}
_OTHER_DESCRIPTORS: Final = 128
"""Descriptors for anything but connections: files, Redis, the event loop."""


def create_app(settings: GatewaySettings, recorder: Recorder) -> Gateway:
    """Return the application; its runtime is created and started by the lifespan.

    Args:
        settings: Checked settings.
        recorder: A started recorder; the caller closes it.

    Raises:
        ConfigurationError: A file of models or keys cannot be used.
    """
    check_files(settings)
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        assert isinstance(app, Gateway)  # noqa: S101 - told to the type checker
        app.runtime = Runtime(settings, recorder, registry)
        app.hot = ApiRoutes(
            app.runtime.engine,
            APIS,
            app.runtime.completion,
            max_body_bytes=settings.max_body_bytes,
            cors=app.cors,
        )
        app.connections = ConnectionTable(_limits(settings), app.runtime.refusals)
        app.runtime.start()
        try:
            yield
        finally:
            app.hot = app.connections = None
            await app.runtime.stop()

    app = Gateway(
        title="tidegauge gateway",
        summary="OpenAI-compatible; every field that the upstream knows passes untouched.",
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.admin_port = settings.admin_port
    if settings.admin_key is not None:
        app.admin_key = settings.admin_key.get_secret_value()
    if settings.cors_origins:
        app.cors = CorsPolicy(list(settings.cors_origins))
    app.add_exception_handler(ExchangeError, _say_exchange_error)
    app.add_exception_handler(HTTPException, _say_http_error)
    for path in APIS:
        app.router.routes.append(Route(path, _unreachable, methods=["POST"]))
    _add_operations(app, registry)
    _add_models(app)
    _add_chat(app)
    if settings.admin_key is not None:
        _add_admin(app)
    return app


def _limits(settings: GatewaySettings) -> ConnectionLimits:
    """Return the limits on connections; each may need a descriptor for its upstream as well."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    usual = ConnectionLimits().total
    bounded = descriptors != resource.RLIM_INFINITY
    return ConnectionLimits(
        total=min(usual, max(1, descriptors - _OTHER_DESCRIPTORS) // 2) if bounded else usual,
        per_address=settings.connections_per_address,
        request_seconds=settings.request_seconds,
    )


async def _unreachable(_request: Request) -> Response:
    """Placeholder for a hot route in FastAPI, so that other methods get a 405."""
    return Response(status_code=HTTPStatus.SERVICE_UNAVAILABLE)


def _add_operations(app: Gateway, registry: CollectorRegistry) -> None:
    @app.get("/healthz", tags=["operations"], summary="Whether the process is alive")
    async def healthz() -> dict[str, bool]:
        return {"alive": True}

    @app.get(
        "/readyz",
        tags=["operations"],
        summary="Whether there is a model to ask, and an upstream that takes connections",
        responses={503: {"description": "No model is known, or no upstream can be reached."}},
    )
    async def readyz() -> Response:
        models = len(app.runtime.upstreams.routes)
        reachable = bool(models) and await app.runtime.reachable()
        ready = app.runtime.ready and reachable
        return JSONResponse(
            {"ready": ready, "models": models, "upstream_reachable": reachable},
            status_code=HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE,
        )

    @app.get(
        "/metrics",
        tags=["operations"],
        summary="Prometheus metrics",
        response_class=PlainTextResponse,
    )
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


_LOOKUP: Final = ("401", "404")
_SECURED: Final[dict[str, Any]] = {"security": [{"bearer": []}]}


def _add_models(app: Gateway) -> None:
    def offered(request: Request) -> list[dict[str, Any]]:
        headers = read_headers(request.scope["headers"])
        customer = app.runtime.engine.identify(Caller(authorization(headers)))
        return [
            {"id": name, "object": "model", "created": _STARTED, "owned_by": "tidegauge"}
            for name in app.runtime.upstreams.routes
            if customer.may_use(name)
        ]

    refused: dict[int | str, dict[str, Any]] = {
        status: text for status, text in error_responses().items() if status in _LOOKUP
    }

    @app.get(
        "/v1/models", tags=["OpenAI"], summary="Models", responses=refused, openapi_extra=_SECURED
    )
    async def models(request: Request) -> dict[str, Any]:
        return {"object": "list", "data": offered(request)}

    @app.get(
        "/v1/models/{name:path}",
        tags=["OpenAI"],
        summary="Model",
        responses=refused,
        openapi_extra=_SECURED,
    )
    async def model(name: str, request: Request) -> dict[str, Any]:
        for entry in offered(request):
            if entry["id"] == name:
                return entry
        raise RefusedError(
            ErrorKind.UNKNOWN_MODEL,
            "no such model, or the key may not use it",
            code="model_not_found",
            param="model",
        )


def _add_chat(app: Gateway) -> None:
    body = {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": PlainRequest.model_json_schema()}},
        },
        **_SECURED,
    }

    @app.post(
        "/chat", tags=["chat"], summary="Chat", responses=error_responses(), openapi_extra=body
    )
    async def chat(request: Request) -> PlainResponse:
        runtime, sink = app.runtime, Collected()
        headers = read_headers(request.scope["headers"])
        exchange = Exchange.begin("/chat", headers)
        reader = BodyReader(request.receive, runtime.settings.max_body_bytes, headers)
        api = PlainChat(lambda: runtime.default_model)

        async def read() -> bytes:
            exchange.customer = runtime.engine.identify(Caller(authorization(headers)))
            return await reader.read()

        await runtime.engine.serve(exchange, api, read, sink)
        runtime.completion.record()
        attempt, ended = exchange.attempt, exchange.conclusion
        if attempt is None or ended is None or ended.ending.outcome != "ok":
            raise _PassedOnError(sink)
        return PlainResponse(
            response=ended.answer.text or "",
            model=attempt.target.name,
            latency_ms=ended.latency_seconds * 1e3,
        )

    app.add_exception_handler(_PassedOnError, _pass_on)


class _PassedOnError(Exception):
    """An error answer that the engine has already written to a sink."""

    def __init__(self, sink: Collected) -> None:
        super().__init__(sink.status)
        self.sink = sink


async def _pass_on(_request: Request, error: Exception) -> Response:
    assert isinstance(error, _PassedOnError)  # noqa: S101 - told to the type checker
    response = Response(error.sink.body, error.sink.status)
    response.raw_headers[:] = error.sink.headers
    return response


def _add_admin(app: Gateway) -> None:
    @app.post(
        "/admin/reload",
        tags=["admin"],
        summary="Read the files of models and keys again",
        responses={401: {"description": "Wrong admin key."}, 422: {"description": "A wrong file."}},
        openapi_extra=_SECURED,
    )
    async def reload(request: Request) -> Response:
        if not app.may_administer(request.scope):
            raise RefusedError(
                ErrorKind.UNAUTHORIZED, "the admin key is wrong", code="invalid_api_key"
            )
        try:
            models = app.runtime.reload()
        except ConfigurationError as error:
            refused = RefusedError(
                ErrorKind.INVALID_REQUEST, str(error), code="invalid_configuration"
            )
            return _error_response(refused, HTTPStatus.UNPROCESSABLE_ENTITY)
        return JSONResponse({"models": models})


async def _say_exchange_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ExchangeError)  # noqa: S101 - told to the type checker
    if error.kind is ErrorKind.UNAUTHORIZED:
        request.app.runtime.refusals.add("unauthorized")
    return _error_response(error, error.status)


async def _say_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - told to the type checker
    if error.status_code in _REFUSED_ROUTES:
        request.app.runtime.refusals.add(
            _REFUSED_ROUTES[error.status_code], method=request.method, path=request.url.path
        )
    content = {
        "error": {
            "message": _MESSAGES.get(error.status_code, error.detail),
            "type": "invalid_request_error",
            "param": None,
            "code": HTTPStatus(error.status_code).phrase.lower().replace(" ", "_"),
        }
    }
    return Response(
        msgspec.json.encode(content),
        error.status_code,
        media_type="application/json",
        headers=dict(error.headers or {}),
    )


def _error_response(error: ExchangeError, status: int) -> Response:
    response = Response(error_body(error), status, media_type="application/json")
    response.raw_headers.extend(error.headers)
    return response
