"""Environment variables: which ones tidegauge knows, and how it refuses a bad one.

The module imports only the standard library, since the capture library reads variables, too.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final
from urllib.parse import urlsplit

from tidegauge.schemas.errors import TidegaugeError

__all__ = [
    "SettingsError",
    "authority_of",
    "bad_value",
    "known_variables",
    "refuse_unknown",
    "shown_address",
    "without_unknown",
]

PREFIX: Final = "TIDEGAUGE_"

_LONGEST_VALUE = 80
_NEAREST = 0.6


class SettingsError(TidegaugeError):
    """An environment variable cannot be used; the message names it and says what to do."""


@cache
def known_variables() -> frozenset[str]:
    """Return the names of all variables that tidegauge, its installer and its tests read.

    ``make generate`` writes the file from the services' settings.
    """
    file = resources.files("tidegauge.runtime").joinpath("variables.txt")
    return frozenset(file.read_text(encoding="utf-8").split())


def refuse_unknown(environment: Mapping[str, str]) -> None:
    """Refuse variables with tidegauge's prefix that no process reads.

    Values are not shown: the intended variable may hold a secret.

    Raises:
        SettingsError: There are such variables; it names each with the nearest known name.
    """
    unknown = sorted(filter(_is_unknown, environment))
    if unknown:
        raise SettingsError("\n".join(_unknown(name) for name in unknown))


def without_unknown(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that ``refuse_unknown`` would not refuse."""
    return {name: value for name, value in environment.items() if not _is_unknown(name)}


def _is_unknown(name: str) -> bool:
    return name.upper().startswith(PREFIX) and name not in known_variables()


def bad_value(
    variable: str, value: str, problem: str, *, default: object = None, secret: bool = False
) -> str:
    """Return a message on a variable's invalid value: the problem and the remedy.

    >>> bad_value("TIDEGAUGE_WINDOW_SECONDS", "0", "must be greater than 0", default=10.0)
    "TIDEGAUGE_WINDOW_SECONDS is '0': it must be greater than 0; change it, or unset it to use 10.0"

    Args:
        variable: Name of the variable.
        value: Its value; of an address only the host is shown, since the rest may hold a
            password or a token.
        problem: What is allowed, such as ``must be greater than 0``.
        default: Value that applies where the variable is not set; None if there is none.
        secret: Whether the value must not be shown at all.
    """
    shown = "a secret that is not shown" if secret else repr(shown_address(value))
    way_out = f"unset it to use {default}" if default not in (None, "") else "unset it"
    return f"{variable} is {shown}: it {problem}; change it, or {way_out}"


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name.upper(), known_variables(), n=1, cutoff=_NEAREST)
    way_out = f"did you mean {near[0]}?" if near else "unset it"
    return f"{name} is no variable of tidegauge's: {way_out} (docs/SETTINGS.md lists all)"


def shown_address(value: str) -> str:
    """Return an address as it may be printed: without credentials, path and query, and not long.

    >>> shown_address("redis://ann:hunter2@cache:6379/0")
    'redis://cache:6379/…'
    """
    if "://" in value or "@" in value:
        scheme, separator, rest = value.rpartition("://") if "://" in value else ("", "", value)
        host, *path = re.split(r"[/?#]", rest.rpartition("@")[2], maxsplit=1)
        if not re.fullmatch(r"(?:\[.*\]|[^:]*)(?::\d*)?", host):
            host = f"{host.partition(':')[0]}:…"  # no port, perhaps a password
        value = f"{scheme}{separator}{host}" + ("/…" if path and path[0] else "")
    return value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}…"


def authority_of(address: str) -> str | None:
    """Return an address's host and port, without the port that its scheme stands for.

    None stands for an address that cannot be read: what Python says of it may show a password.

    >>> authority_of("https://ann:hunter2@judge:443/v1"), authority_of("http://ann:hunter2")
    ('judge', None)
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host:
        return None
    host = f"[{host}]" if ":" in host else host
    usual = 443 if parts.scheme == "https" else 80
    return host if port in {None, usual} else f"{host}:{port}"
