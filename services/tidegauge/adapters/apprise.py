"""Apprise, which passes notices on to chats, mail and pagers, for those without Alertmanager."""

from __future__ import annotations

import logging
import warnings
from importlib import import_module
from typing import Any, Final

from tidegauge.runtime.environment import SettingsError

__all__ = ["AppriseAddress", "addresses"]

_KINDS: Final = {"critical": "failure", "warn": "warning", "info": "info"}


class AppriseAddress:
    """One address of Apprise's, such as ``slack://…``, ``mailto://…`` or ``pagerduty://…``.

    Args:
        url: The address; it holds secrets, and is never shown.

    Attributes:
        scheme: The part before ``://``.

    Raises:
        SettingsError: Apprise is not installed, or knows no such address.
    """

    def __init__(self, url: str) -> None:
        self.scheme = url.partition("://")[0][:20]
        logging.getLogger("apprise").setLevel(logging.CRITICAL)  # the caller logs what failed
        with warnings.catch_warnings():  # its services load modules that Python will drop
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                apprise: Any = import_module("apprise")
            except ImportError as error:
                raise SettingsError(
                    "TIDEGAUGE_MONITOR_APPRISE_URLS needs Apprise: pip install 'tidegauge[apprise]'"
                ) from error
            self._apprise = apprise.Apprise()
            known = self._apprise.add(url)
        self._format = apprise.NotifyFormat.TEXT
        if not known:
            raise SettingsError(
                f"TIDEGAUGE_MONITOR_APPRISE_URLS: Apprise cannot use {self.scheme}://…, see its "
                "documentation of that service"
            )

    def tell(self, title: str, body: str, severity: str | None) -> bool:
        """Deliver a notice; return whether it was taken.

        Args:
            title: One line.
            body: The text; no markup in it is followed.
            severity: ``info``, ``warn`` or ``critical``; None for an end.
        """
        kind = _KINDS[severity] if severity else "success"
        return bool(
            self._apprise.notify(title=title, body=body, notify_type=kind, body_format=self._format)
        )


def addresses(urls: str) -> tuple[AppriseAddress, ...]:
    """Return the addresses that stand in a text, between blanks.

    Raises:
        SettingsError: Apprise is not installed, or one cannot be used.
    """
    return tuple(AppriseAddress(url) for url in urls.split())
