"""Apprise itself, sending to a server of this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from tidegauge.adapters.apprise import addresses
from tidegauge.runtime.environment import SettingsError


class Chat(BaseHTTPRequestHandler):
    """A chat that takes what it is sent, or refuses it."""

    taken: ClassVar[list[dict[str, str]]] = []
    status: ClassVar[int] = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Chat.taken.append(json.loads(body))
        self.send_response(Chat.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def chat() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Chat)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    Chat.taken.clear()
    Chat.status = 200
    yield f"json://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_notice_arrives_as_it_is(chat: str) -> None:
    (address,) = addresses(f"  {chat} ")
    assert address.scheme == "json"
    assert address.tell("warn: chat v2", "It rose by *half*.\nhttp://page/i/1", "warn")
    (taken,) = Chat.taken
    assert taken["title"] == "warn: chat v2"
    assert taken["message"] == "It rose by *half*.\nhttp://page/i/1"
    assert taken["type"] == "warning"


def test_what_is_refused_was_not_taken(chat: str) -> None:
    (address,) = addresses(chat)
    Chat.status = 500
    assert not address.tell("ended: chat v2", "It has ended.", None)


def test_an_address_that_apprise_does_not_know_is_named_without_its_secret() -> None:
    with pytest.raises(SettingsError, match="cannot use nosuch://…") as found:
        addresses("nosuch://token-of-ours@somewhere")
    assert "token" not in str(found.value)


def test_no_address_needs_no_apprise() -> None:
    assert addresses("") == ()
