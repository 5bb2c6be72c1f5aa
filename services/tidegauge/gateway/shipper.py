"""The process that ships the gateway's outbox to Kafka: ``python -m tidegauge.gateway.shipper``.

It is ``tidegauge.capture.shipper`` with the format that expands the gateway's records; it makes
the checks that the gateway left to the shipper.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tidegauge.capture import shipper
from tidegauge.capture.answer import ParsedAnswer
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

__all__ = ["expand_formats", "main"]


def _check(record: ExchangeRecord, answer: AnswerRecord, checks: PendingChecks) -> dict[str, str]:
    parsed = ParsedAnswer(
        text=answer.text,
        tool_calls=answer.tool_calls,
        refusal=checks.refusal,
        media=checks.media,
        finish_reason=answer.finish_reason,
    )
    return check(record.messages, checks.wanted, parsed)


def expand_formats(settings: CaptureSettings) -> ExpandFormats:
    """Return how the gateway's records are expanded."""
    return {BOTH.type: expand_format(_check, settings.conversation_secret.encode())}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the shipper; see ``tidegauge.capture.shipper.main``."""
    return shipper.main(arguments, expand_formats)


if __name__ == "__main__":
    sys.exit(main())
