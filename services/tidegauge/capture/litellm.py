"""A LiteLLM callback that captures exchanges as events.

In the proxy's configuration::

    litellm_settings:
      callbacks: ["tidegauge.capture.litellm.callback"]

with ``tidegauge`` installed beside ``litellm[proxy]``. The destination of the events is set by
``TIDEGAUGE_CAPTURE_…`` and ``TIDEGAUGE_KAFKA_…``; ``TIDEGAUGE_LITELLM_TEXT=none`` leaves
prompts and answers out, and ``redacted`` what looks like personal data and secrets. The customer
is the key's metadata ``customer``, else its team, else its alias; a model's version is
``model_info: version``. A conversation's id is the client's ``x-session-id``, its
``litellm_session_id`` or one in its metadata; without it, the first exchange identifies the
conversation. Each answer to a client is one exchange; LiteLLM's retries are counted as its
attempts.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Mapping
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

from tidegauge.capture.errors import CaptureError
from tidegauge.capture.exchange_record import BOTH, ExchangeRecord
from tidegauge.capture.litellm_exchange import (
    answered,
    came_through_proxy,
    failed,
    with_limited_text,
)
from tidegauge.capture.placement import Conversations
from tidegauge.capture.recorder import Recorder
from tidegauge.capture.settings import CaptureSettings, LiteLLMSettings

__all__ = ["TidegaugeCallback", "callback"]

_log = logging.getLogger(__name__)

_SHIPPER = "tidegauge.gateway.checking_shipper"
"""The process that checks the answers and makes the events; it needs no package of a gateway."""


class TidegaugeCallback(CustomLogger):  # type: ignore[misc]  # LiteLLM has no types
    """Records every exchange of a generating call.

    The outbox is created at the first exchange, in the process that serves it.

    Args:
        settings: Capture settings.
        limits: How much of prompts and answers is captured.
    """

    def __init__(self, settings: CaptureSettings, limits: LiteLLMSettings) -> None:
        super().__init__()
        self._settings = settings
        self._limits = limits
        self._text = limits.text != "none"
        self._conversations = Conversations(settings.conversation_secret.encode())
        self._recorder: Recorder | None = None
        self._starting = threading.Lock()

    async def async_log_success_event(
        self,
        kwargs: Mapping[str, Any],
        response_obj: object,
        start_time: object,
        end_time: object,
    ) -> None:
        """Record a successful exchange."""
        del response_obj, start_time, end_time
        self._record(answered(kwargs, text=self._text, conversations=self._conversations))

    async def async_log_failure_event(
        self,
        kwargs: Mapping[str, Any],
        response_obj: object,
        start_time: object,
        end_time: object,
    ) -> None:
        """Record a failure of the library; in the proxy, which may retry, the hook below does."""
        del response_obj, start_time, end_time
        error = kwargs.get("exception")
        if not came_through_proxy(kwargs) and isinstance(error, BaseException):
            self._record(self._failed(kwargs, error))

    async def async_post_call_failure_hook(
        self,
        request_data: Mapping[str, Any],
        original_exception: Exception,
        user_api_key_dict: object,
        traceback_str: str | None = None,
    ) -> None:
        """Record the failure that a client of the proxy sees."""
        del user_api_key_dict, traceback_str
        self._record(self._failed(request_data, original_exception))

    def _failed(self, data: Mapping[str, Any], error: BaseException) -> ExchangeRecord | None:
        return failed(
            *(data, error),
            now_seconds=time.time(),
            text=self._text,
            conversations=self._conversations,
        )

    def _record(self, exchange: ExchangeRecord | None) -> None:
        if exchange is None or (recorder := self._started()) is None:
            return
        exchange = with_limited_text(exchange, self._limits.text, self._limits.characters)
        recorder.record_compact(BOTH, [exchange])
        recorder.served()

    def _started(self) -> Recorder | None:
        with self._starting:
            if self._recorder is None:
                recorder = Recorder(self._settings, shipper=_SHIPPER)
                try:
                    recorder.start()
                except CaptureError as error:
                    _log.error("nothing is captured: %s", error)
                    return None
                atexit.register(recorder.close)
                self._recorder = recorder
        return self._recorder


def _from_environment() -> TidegaugeCallback:
    limits = LiteLLMSettings.from_environment()
    environment = {"TIDEGAUGE_CAPTURE_PRODUCER": "litellm", **os.environ}
    return TidegaugeCallback(CaptureSettings.from_environment(environment), limits)


callback: TidegaugeCallback


def __getattr__(name: str) -> TidegaugeCallback:
    """Create ``callback`` on first access, so that importing the module reads no environment."""
    if name != "callback":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = _from_environment()
    globals()["callback"] = made
    return made
