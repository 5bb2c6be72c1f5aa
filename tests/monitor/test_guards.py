from __future__ import annotations

import base64

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tidegauge.monitor.web import guards
from tidegauge.monitor.web.guards import RequestGuard, is_loopback

WORD = "pässword"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setattr(guards, "_WRONG_SECONDS", 0.0)
    app = FastAPI()
    app.add_middleware(
        RequestGuard,
        policy="default-src 'none'",
        host="0.0.0.0",  # noqa: S104 - not bound to
        password=WORD,
        page_url="http://monitor.example",
    )

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
        {"origin": ""},
        {"origin": "http://["},
        {"origin": "http://monitor.example:81"},
        {"origin": "http://192.0.2.8", "host": "192.0.2.7"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_change_from_an_origin_that_is_not_ours_is_refused(
    client: TestClient, headers: dict[str, str]
) -> None:
    answer = client.post("/controls", headers={**basic("ada:pässword"), **headers})
    assert answer.status_code == 403
    assert "another site's page" in answer.text


def behind_a_proxy(page_url: str) -> TestClient:
    app = FastAPI()
    app.add_middleware(RequestGuard, policy="", host="127.0.0.1", page_url=page_url)

    @app.post("/controls")
    def change() -> str:
        return "done"

    return TestClient(app)


@pytest.mark.parametrize(
    ("page_url", "origin"),
    [
        ("https://monitor.example", "https://monitor.example"),
        ("https://Monitor.example:443/", "https://monitor.example"),
        ("http://monitor.example:81/page", "http://monitor.example:81"),
        ("http://[fd00::1]:8090", "http://[fd00::1]:8090"),
    ],
)
def test_forms_work_behind_a_proxy_whether_it_keeps_the_name_or_not(
    page_url: str, origin: str
) -> None:
    client = behind_a_proxy(page_url)
    for host in (origin.partition("://")[2], "127.0.0.1:8090"):
        answer = client.post("/controls", headers={"origin": origin, "host": host})
        assert answer.status_code == 200, host
        refused = client.post("/controls", headers={"origin": "null", "host": host})
        assert refused.status_code == 403, host


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:8090", "http://monitor.example", 403),
        ("127.0.0.1:8090", "https://monitor.example:444", 403),
        ("127.0.0.1:8090", "https://evil.example", 403),
        ("evil.example", "https://evil.example", 421),
        ("", "https://monitor.example", 421),
    ],
)
def test_a_published_address_opens_nothing_to_other_sites(
    host: str, origin: str, status: int
) -> None:
    client = behind_a_proxy("https://monitor.example")
    headers = {"origin": origin, "host": host}
    assert client.post("/controls", headers=headers).status_code == status


def test_without_a_published_address_no_name_but_this_machines_is_answered() -> None:
    client = behind_a_proxy("")
    assert client.post("/controls", headers={"host": "monitor.example"}).status_code == 421
    headers = {"host": "127.0.0.1:8090", "origin": ""}
    assert client.post("/controls", headers=headers).status_code == 403


@pytest.mark.parametrize("bound", ["0.0.0.0", "::", "192.0.2.7", "127.0.0.1", "host.internal"])  # noqa: S104
@pytest.mark.parametrize("page_url", ["https://monitor.example/", ""])
def test_only_names_of_its_own_are_answered_wherever_it_listens(bound: str, page_url: str) -> None:
    app = FastAPI()
    app.add_middleware(RequestGuard, policy="", host=bound, page_url=page_url)

    @app.get("/{path:path}")
    def anything(path: str) -> str:
        return path

    client = TestClient(app)

    def status(host: str, path: str = "/api/view") -> int:
        return client.get(path, headers={"host": host}).status_code

    for host in ("evil.example", "evil.example:8090", "monitor.example.evil.example", "", "[::"):
        assert status(host) == 421, host
        for path in ("/metrics", "/healthz", "/readyz"):
            assert status(host, path) == 200, host
    assert status("localhost:8090") == 200
    assert status("monitor.example") == (200 if page_url else 421)
    assert status("198.51.100.1:8090") == status("[2001:db8::1]:8090")
    assert status("198.51.100.1:8090") == (421 if bound == "127.0.0.1" else 200)
    assert status("host.internal:8090") == (200 if bound == "host.internal" else 421)


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
