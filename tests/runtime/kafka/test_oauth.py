from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs

import pytest
from kafka.errors import SaslAuthenticationFailedError

from tidegauge.runtime.kafka.oauth import AccessTokens, token_provider

SECRET = "s:cret"  # noqa: S105 - of a provider in this file


class Provider(BaseHTTPRequestHandler):
    """An identity provider that numbers its tokens, and knows one client."""

    given = 0

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        known = f"Basic {b64encode(b'gauge:s%3Acret').decode()}"
        if self.headers["authorization"] != known:
            self._answer(401, {"error": "invalid_client"})
            return
        Provider.given += 1
        token = f"{form['grant_type'][0]} {form['scope'][0]} {Provider.given}"
        self._answer(200, {"access_token": token, "expires_in": 100})

    def _answer(self, status: int, found: object) -> None:
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Provider.given = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/token"
        server.shutdown()
        thread.join()


def test_a_token_is_fetched_with_the_client_s_secret_and_kept_for_most_of_its_life(
    url: str,
) -> None:
    clock = [0.0]
    tokens = AccessTokens(
        url=url, client_id="gauge", client_secret=SECRET, scope="kafka", now=lambda: clock[0]
    )
    assert tokens.token() == "client_credentials kafka 1"
    clock[0] = 79
    assert tokens.token() == "client_credentials kafka 1"
    clock[0] = 80
    assert tokens.token() == "client_credentials kafka 2"


def test_a_refusal_says_what_the_provider_said(url: str) -> None:
    tokens = AccessTokens(url=url, client_id="gauge", client_secret=SECRET[::-1])
    with pytest.raises(
        SaslAuthenticationFailedError, match=r"answered 401.*invalid_client"
    ) as told:
        tokens.token()
    assert SECRET[::-1] not in str(told.value)


def test_a_provider_that_is_away_is_told() -> None:
    with pytest.raises(SaslAuthenticationFailedError, match="SASL_TOKEN_URL gives no token"):
        AccessTokens(url="http://127.0.0.1:1/token").token()


def test_a_token_s_file_is_read_again_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    tokens = AccessTokens(file=file)
    with pytest.raises(SaslAuthenticationFailedError, match="SASL_TOKEN_FILE cannot be read"):
        tokens.token()
    for text in ("first", "second"):
        file.write_text(f"{text}\n")
        assert tokens.token() == text


def test_without_settings_there_is_no_source_of_tokens() -> None:
    nothing = {"client_id": None, "client_secret": None, "scope": None}
    assert token_provider(file=None, url=None, **nothing) is None
    assert token_provider(file=None, url="http://127.0.0.1:1/", **nothing) is not None
