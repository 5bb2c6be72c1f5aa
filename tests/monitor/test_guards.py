from __future__ import annotations

import base64

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tidegauge.monitor import guards
from tidegauge.monitor.guards import Guard, is_loopback

WORD = "pässword"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setattr(guards, "_WRONG_SECONDS", 0.0)
    app = FastAPI()
    app.add_middleware(Guard, policy="default-src 'none'", loopback=False, password=WORD)

    @app.get("/{path:path}")
    def anything(path: str) -> str:
        return path

    @app.post("/{path:path}")
    def change(path: str) -> str:
        return path

    return TestClient(app, base_url="http://monitor.example")


def basic(text: str) -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


def test_without_the_password_nothing_is_shown(client: TestClient) -> None:
    for path in ("/", "/api/view", "/metrics", "/openapi.json", "/healthz/../api/view"):
        answer = client.get(path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic")
    assert client.post("/controls").status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_checks_need_none(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        basic("ada:wrong"),
        basic("pässword"),
        basic("ada:pässword "),
        {"authorization": "Basic no base64!"},
        {"authorization": f"Bearer {WORD}".encode().decode("latin-1")},
        {"authorization": "Basic"},
    ],
)
def test_a_wrong_password_is_none(client: TestClient, headers: dict[str, str]) -> None:
    encoded = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    assert client.get("/", headers=encoded).status_code == 401


@pytest.mark.parametrize("user", ["ada", "", "prometheus"])
def test_the_password_opens_whoever_says_it(client: TestClient, user: str) -> None:
    answer = client.get("/api/view", headers=basic(f"{user}:pässword"))
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == "default-src 'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_password_does_not_let_another_sites_page_in(client: TestClient) -> None:
    known = basic("ada:pässword")
    assert client.post("/controls", headers=known).status_code == 200
    foreign = {**known, "origin": "http://evil.example"}
    assert client.post("/controls", headers=foreign).status_code == 403
    own = {**known, "origin": "http://monitor.example"}
    assert client.post("/controls", headers=own).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "null"},
        {"origin": "null", "sec-fetch-site": "same-origin"},
        {"origin": "null", "host": ""},
        {"origin": ""},
        {"origin": "http://["},
        {"origin": "http://monitor.example:81"},
        {"origin": "http://monitor.example", "host": "other.example"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_change_from_an_origin_that_is_not_ours_is_refused(
    client: TestClient, headers: dict[str, str]
) -> None:
    answer = client.post("/controls", headers={**basic("ada:pässword"), **headers})
    assert answer.status_code == 403
    assert "another site's page" in answer.text


def test_our_pages_tell_us_their_origin_and_others_nothing(client: TestClient) -> None:
    policy = client.get("/", headers=basic("ada:pässword")).headers["referrer-policy"]
    assert policy == "same-origin"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.9", True),
        ("::1", True),
        ("0.0.0.0", False),  # noqa: S104 - not bound to
        ("127.0.0.1.example", False),
        ("", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:  # noqa: FBT001 - a parameter
    assert is_loopback(host) is loopback
