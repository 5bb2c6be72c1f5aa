"""Receivers of alerts: a signed webhook, and Alertmanager.

Both send once and report the outcome; the caller repeats what failed. The webhook follows
the Standard Webhooks specification (symmetric signatures, ``v1``), so that receivers can
verify it with a library that exists in their language.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlencode, urlsplit

import msgspec

from tidegauge.reports.runbooks import runbook
from tidegauge.runtime.environment import shown_address
from tidegauge.schemas.codec import encode, rfc3339
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.findings import Alert

__all__ = [
    "Alertmanager",
    "DeliveryError",
    "DeliveryRefusedError",
    "NotifyError",
    "Webhook",
    "alertmanager_alert",
    "backoff_seconds",
    "delivery_id",
    "signature",
]

_SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix by which the specification marks a secret
_REFUSALS = frozenset({400, 413, 422})
_LONGEST_SECONDS = 60.0
_EXCERPT = 200


class NotifyError(TidegaugeError):
    """An alert was not taken.

    NotifyError
    ├── DeliveryError
    └── DeliveryRefusedError
    """


class DeliveryError(NotifyError):
    """The receiver could not be reached or is not well: try again."""


class DeliveryRefusedError(NotifyError):
    """The receiver read the alert and will never take it: trying again is of no use."""


def backoff_seconds(failures: int) -> float:
    """Return how long to wait after so many failures in a row: 1, 2, 4 … 60 seconds.

    Example:
        >>> [backoff_seconds(n) for n in (1, 2, 3, 9)]
        [1.0, 2.0, 4.0, 60.0]
    """
    return min(_LONGEST_SECONDS, 2.0 ** min(failures - 1, 16))


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """An alert goes where it was told to, or nowhere."""

    def redirect_request(self, *_: object) -> None:
        return None


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise NotifyError(
            f"{shown_address(url)!r} is no address to send alerts to: give http://… or https://…"
        )
    return url


def _post(url: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float) -> None:
    request = urllib.request.Request(  # noqa: S310 - _checked has allowed http and https only
        url,
        data=body,
        method="POST",
        headers={"Content-Type": "application/json", "User-Agent": "tidegauge", **headers},
    )
    host = urlsplit(url).netloc.rpartition("@")[2]
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=timeout_seconds) as r:
            r.read(_EXCERPT)
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(_EXCERPT).decode(errors="replace")
        kind = DeliveryRefusedError if error.code in _REFUSALS else DeliveryError
        raise kind(f"{host} answered {error.code}: {said!r}") from error
    except (OSError, http.client.HTTPException) as error:
        raise DeliveryError(f"{host} was not reached: {error}") from error


def delivery_id(alert: Alert) -> str:
    """Return an id that a repeated delivery bears again, so that a receiver can drop it."""
    return f"{alert.alert_id}.{alert.status}.{alert.time_ms}"


def signature(secret: str, *, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the ``webhook-signature`` header's value.

    Args:
        secret: ``whsec_`` and base64, or any text.
        message_id: The ``webhook-id`` header's value.
        timestamp: The ``webhook-timestamp`` header's value, Unix seconds.
        body: The body as it is sent.

    Raises:
        NotifyError: What follows ``whsec_`` is no base64.
    """
    if secret.startswith(_SECRET_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
        except binascii.Error as error:
            raise NotifyError("the webhook's secret has no base64 after whsec_") from error
    else:
        key = secret.encode()
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


@dataclass(frozen=True, slots=True)
class Webhook:
    """Posts each alert event as JSON.

    Attributes:
        url: Where to.
        secret: Signs each delivery; empty for none.
        timeout_seconds: For one attempt.
    """

    url: str
    secret: str = ""
    timeout_seconds: float = 10.0

    def send(self, alert: Alert, now_ms: int) -> None:
        """Deliver one alert.

        Raises:
            DeliveryError: Try again.
            DeliveryRefusedError: Do not.
            NotifyError: The address or the secret is wrong.
        """
        body = encode(alert)
        headers = {
            "webhook-id": delivery_id(alert),
            "webhook-timestamp": str(now_ms // 1000),
        }
        if self.secret:
            headers["webhook-signature"] = signature(
                self.secret,
                message_id=headers["webhook-id"],
                timestamp=now_ms // 1000,
                body=body,
            )
        _post(_checked(self.url), body, headers, self.timeout_seconds)


def alertmanager_alert(
    alert: Alert, *, ends_ms: int, page_url: str = ""
) -> dict[str, str | dict[str, str]]:
    """Return the alert as Alertmanager's API v2 takes it.

    Its labels are the monitor, the segment and the incident, which stay while it fires; a label
    without a value is left out, since Alertmanager takes it for absent.

    Args:
        alert: The alert.
        ends_ms: When Alertmanager shall think it over, unless it is told again before.
        page_url: Address of the monitor's page, empty where there is none to link to.
    """
    segment = alert.segment
    labels = {
        "alertname": "Tidegauge" + alert.signal.title(),
        "monitor": alert.monitor,
        "signal": alert.signal,
        "severity": alert.severity,
        "model": segment.model,
        "version": segment.version,
        "route": segment.route,
        "customer": segment.customer,
        "incident": alert.incident,
    }
    query = urlencode({"monitor": alert.monitor, "segment": segment.key})
    where = f"i/{alert.incident}" if alert.incident else f"alarm?{query}"
    return {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": _annotations(alert, page_url.rstrip("/")),
        "startsAt": rfc3339(alert.starts_ms),
        "endsAt": rfc3339(ends_ms),
        "generatorURL": f"{page_url.rstrip('/')}/{where}" if page_url else "",
    }


def _annotations(alert: Alert, page_url: str) -> dict[str, str]:
    found = {
        "summary": alert.summary,
        "alert_id": alert.alert_id,
        "owner": alert.owner,
        "runbook_url": f"{page_url}/runbook/{runbook(alert.monitor).name}" if page_url else "",
    }
    return {name: value for name, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class Alertmanager:
    """Tells Alertmanager what fires and what has ended.

    Alertmanager forgets what it is not told again, so what fires is to be sent at least
    every ``hold_seconds / 3``.

    Attributes:
        url: Alertmanager's own address, without ``/api/v2``.
        page_url: Address of the monitor's page, linked from the alert.
        hold_seconds: How long an alert lasts without being repeated.
        timeout_seconds: For one attempt.
    """

    url: str
    page_url: str = ""
    hold_seconds: float = 240.0
    timeout_seconds: float = 10.0

    def send(self, alerts: Sequence[Alert], now_ms: int) -> None:
        """Deliver the latest state of each alert.

        Raises:
            DeliveryError: Try again.
            DeliveryRefusedError: Do not.
            NotifyError: The address is wrong.
        """
        body = [told for alert in alerts for told in self._told(alert, now_ms)]
        address = _checked(self.url).rstrip("/") + "/api/v2/alerts"
        _post(address, msgspec.json.encode(body), {}, self.timeout_seconds)

    def _told(self, alert: Alert, now_ms: int) -> list[dict[str, str | dict[str, str]]]:
        """Return an alert, and the end of what it was before it escalated.

        The severity is a label, by which people route, and labels are an alert's identity.
        """
        over_ms = max(alert.starts_ms, now_ms)
        held_ms = now_ms + int(1000 * self.hold_seconds)
        tell = partial(alertmanager_alert, page_url=self.page_url)
        told = [tell(alert, ends_ms=held_ms if alert.fires else over_ms)]
        before = alert.severity_before
        if before is not None and before != alert.severity:
            quieter = msgspec.structs.replace(alert, severity=before)
            told.append(tell(quieter, ends_ms=over_ms))
        return told
