"""Checks answers that cannot be left to the shipper, without blocking the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tidegauge.capture.answer import ParsedAnswer
from tidegauge.capture.expectations import Expectations
from tidegauge.gateway.policy.checks import (
    Finding,
    check,
    check_wording,
    forms_unchecked,
    has_form,
)
from tidegauge.gateway.policy.checks.form_process import FormProcess
from tidegauge.schemas.exchange import Message

__all__ = ["Checker"]

_MOST_WAITING: Final = 16


class Checker:
    """Checks an answer's wording directly and its form in another process, one answer at a time.

    A thread waits for the process. At most 16 answers wait for the thread; the form of further
    ones stays unchecked. So clients with expensive checks cannot delay others for long.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checks")
        self._forms = FormProcess()
        self._waiting = 0

    async def check(
        self, messages: Sequence[Message], wanted: Expectations, answer: ParsedAnswer
    ) -> dict[str, Finding]:
        """Return an answer's findings; see ``policy.checks.check``."""
        if not has_form(wanted, answer):
            return check_wording(messages, answer)
        if self._waiting >= _MOST_WAITING:
            return check_wording(messages, answer) | forms_unchecked(wanted, answer, "busy")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, check, messages, wanted, answer, self._forms.check
            )
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the process without waiting for a check in progress."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._forms.close()
