"""Access tokens for the login OAUTHBEARER: from a file, or from an identity provider."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from kafka.errors import SaslAuthenticationFailedError
from kafka.net.sasl.oauth import AbstractTokenProvider

__all__ = ["AccessTokens", "token_provider"]

_SECONDS: Final = 10.0
_LONGEST_ANSWER: Final = 1 << 20
_USED: Final = 0.8
"""Share of a token's life after which a new one is fetched."""


def token_provider(
    *,
    file: Path | None,
    url: str | None,
    client_id: str | None,
    client_secret: str | None,
    scope: str | None,
) -> AccessTokens | None:
    """Return the source of tokens that settings name; None if they name none."""
    if file is None and not url:
        return None
    return AccessTokens(
        file=file,
        url=url or "",
        client_id=client_id or "",
        client_secret=client_secret or "",
        scope=scope or "",
    )


class AccessTokens(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python has no types
    """Returns an access token for each login.

    A token's file is read at each login, since others replace it in time, as Kubernetes does.
    From an identity provider the token is fetched with the client credentials (RFC 6749, section
    4.4), and kept for most of its life.

    Args:
        file: The token's file; None to ask the identity provider.
        url: The provider's token endpoint.
        client_id: The client.
        client_secret: Its secret.
        scope: Scopes between spaces; empty for the provider's default.
        now: A clock, seconds.
    """

    def __init__(  # noqa: PLR0913 - what the provider's endpoint takes, by name
        self,
        *,
        file: Path | None = None,
        url: str = "",
        client_id: str = "",
        client_secret: str = "",
        scope: str = "",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._file = file
        self._url = url
        self._client = f"{urllib.parse.quote(client_id)}:{urllib.parse.quote(client_secret)}"
        self._scope = scope
        self._now = now
        self._kept = ("", float("-inf"))

    def token(self) -> str:
        """Return a token.

        Raises:
            SaslAuthenticationFailedError: There is none to be had.
        """
        if self._file is not None:
            try:
                return self._file.read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise SaslAuthenticationFailedError(
                    f"TIDEGAUGE_KAFKA_SASL_TOKEN_FILE cannot be read: {error}"
                ) from error
        token, until = self._kept
        if self._now() >= until:
            token, life = self._fetch()
            self._kept = (token, self._now() + _USED * life)
        return token

    def _fetch(self) -> tuple[str, float]:
        form = {
            "grant_type": "client_credentials",
            **({"scope": self._scope} if self._scope else {}),
        }
        request = urllib.request.Request(  # noqa: S310 - the operator's own address
            self._url,
            urllib.parse.urlencode(form).encode(),
            {
                "authorization": f"Basic {base64.b64encode(self._client.encode()).decode()}",
                "content-type": "application/x-www-form-urlencoded",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - as above
                found: Any = json.loads(answer.read(_LONGEST_ANSWER))
            return str(found["access_token"]), float(found.get("expires_in", 0))
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(300).decode(errors="replace")
            raise SaslAuthenticationFailedError(
                f"TIDEGAUGE_KAFKA_SASL_TOKEN_URL answered {error.code}: {said}"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SaslAuthenticationFailedError(
                f"TIDEGAUGE_KAFKA_SASL_TOKEN_URL gives no token: {error}"
            ) from error
