"""Who may ask the local server."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from demiurge.viewer.guard import Guard

HOSTS = frozenset({"127.0.0.1:8000", "localhost:8000"})
app = Starlette(routes=[Route("/", lambda _request: PlainTextResponse("yes"))])


def client(token: str = "", hosts: frozenset[str] = HOSTS) -> TestClient:
    return TestClient(Guard(app, hosts, token), base_url="http://127.0.0.1:8000")


def test_this_machine_is_served() -> None:
    answer = client().get("/")
    assert answer.text == "yes"
    assert "default-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:9", "", "localhost.evil.example:8000"])
def test_foreign_hosts_are_refused(host: str) -> None:
    assert client().get("/", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:9"])
def test_foreign_origins_are_refused(origin: str) -> None:
    assert client().get("/", headers={"origin": origin}).status_code == 403
    assert client().get("/", headers={"origin": "http://localhost:8000"}).status_code == 200


def test_only_short_gets_are_answered() -> None:
    assert client().post("/", content=b"x").status_code == 405
    assert client().get("/?" + "a" * 3000).status_code == 414
    assert client().request("GET", "/", content=b"body").status_code == 413


def test_a_token_opens_once_and_a_cookie_keeps_it_open() -> None:
    asked = client("secret")
    assert asked.get("/").status_code == 401
    assert asked.get("/?token=wrong").status_code == 401
    first = asked.get("/?token=secret")
    assert first.status_code == 200
    assert "HttpOnly" in first.headers["set-cookie"]
    assert asked.get("/").status_code == 200
    assert client("secret").get("/", headers={"cookie": "a=;;=b"}).status_code == 401


def test_behind_a_proxy_the_token_decides() -> None:
    asked = client("secret", frozenset())
    headers = {"host": "hub.example", "origin": "https://hub.example"}
    assert asked.get("/", headers=headers).status_code == 401
    assert asked.get("/?token=secret", headers=headers).status_code == 200
