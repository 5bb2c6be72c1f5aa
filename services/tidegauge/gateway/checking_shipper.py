"""Ships the gateway's outbox to Kafka, and makes the checks that the gateway left to it.

``python -m tidegauge.gateway.checking_shipper`` is the plain shipper (``capture.shipper``) with the
format that expands the gateway's records. Answers that fail a check get a line in the request
log. LiteLLM's records, of which there is no request log, are expanded and checked alike.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from tidegauge.capture import shipper
from tidegauge.capture.answer import ParsedAnswer
from tidegauge.capture.dimensions import Dimensions
from tidegauge.capture.exchange_record import (
    BOTH,
    AnswerRecord,
    ExchangeRecord,
    PendingChecks,
    expand_format,
)
from tidegauge.capture.frame import ExpandFormats
from tidegauge.capture.settings import CaptureSettings
from tidegauge.gateway.policy.checks import check
from tidegauge.gateway.policy.checks.form_process import FormProcess

__all__ = ["Checks", "expand_formats", "main"]

_log: Final = logging.getLogger(__name__)
_REQUEST_LOG: Final = "TIDEGAUGE_GATEWAY_REQUEST_LOG"
_WITHOUT_LOG: Final = "litellm"
"""The producer whose process writes no request log."""


class Checks:
    """Makes the checks that were left to the shipper.

    Args:
        log: Where answers are logged that fail a check; None for nowhere.
    """

    def __init__(self, log: BinaryIO | None = None) -> None:
        self._log = log
        self._forms = FormProcess()

    def __call__(
        self, record: ExchangeRecord, answer: AnswerRecord, pending: PendingChecks
    ) -> dict[str, str]:
        """Return the findings of an answer's checks."""
        parsed = ParsedAnswer(
            text=answer.text,
            tool_calls=answer.tool_calls,
            refusal=pending.refusal,
            media=pending.media,
            finish_reason=answer.finish_reason,
        )
        findings = check(record.messages, pending.wanted, parsed, self._forms.check)
        if self._log is not None and any(finding != "passed" for finding in findings.values()):
            line = msgspec.json.encode(record.check_line(findings)) + b"\n"
            with suppress(OSError, ValueError):  # the log may be full; the events are not lost
                self._log.write(line)
                self._log.flush()
        return findings


def expand_formats(settings: CaptureSettings, log: BinaryIO | None = None) -> ExpandFormats:
    """Return how the gateway's records are expanded.

    Args:
        settings: Capture settings.
        log: The request log; None for none.
    """
    labelled = Dimensions(settings.dimensions).labelled if settings.dimensions else None
    secret = settings.conversation_secret.encode()
    return {BOTH.type: expand_format(Checks(log), secret, labelled)}


def _with_log(settings: CaptureSettings) -> ExpandFormats:
    return expand_formats(settings, _request_log(settings))


def _request_log(settings: CaptureSettings) -> BinaryIO | None:
    """Return the request log of the gateway that started the shipper, to append to."""
    path = os.environ.get(_REQUEST_LOG)
    if path is None:
        return None if settings.producer == _WITHOUT_LOG else sys.stdout.buffer
    try:
        return Path(path).open("ab", buffering=0)
    except OSError as error:
        _log.warning("failed checks are not logged: %s", error)
        return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the shipper; see ``tidegauge.capture.shipper.main``."""
    return shipper.main(arguments, _with_log)


if __name__ == "__main__":
    sys.exit(main())
