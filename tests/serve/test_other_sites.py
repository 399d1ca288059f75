"""A page of another site, which a user has open beside, gets nothing from a server on this machine."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from fittingroom.errors import FittingRoomError
from fittingroom.serve.app import create_app
from tests.serve.conftest import Running, started
from tests.serve.test_hostile import talk

EVIL = {"Origin": "https://evil.example"}


def headers(**values: str) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in values.items()}


@pytest.mark.parametrize(
    "said",
    [
        headers(Origin="https://evil.example"),
        headers(Origin="null"),
        headers(Origin="http://localhost:1"),
        headers(Origin="https://evil.example", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors"),
        headers(Origin="http://localhost:3000", Sec_Fetch_Site="same-site", Sec_Fetch_Mode="cors"),
        headers(Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate"),  # a form that sends itself
    ],
    ids=["origin", "sandbox", "another-port", "no-cors", "same-site", "form"],
)
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_a_picture_that_a_page_of_another_site_posts_is_refused_before_it_is_read(
    server: Running, shoe: bytes, said: dict[str, str], kind: str
) -> None:
    with server.client() as client:
        for path in ("/predict", "/v2/models/first/infer"):
            answer = client.post(path, content=shoe, headers={**said, "Content-Type": kind})
            assert answer.status_code == 403
            assert "another site" in answer.json()["error"]

    # A body that is never sent is not waited for.
    head = "".join(f"{name}: {value}\r\n" for name, value in said.items())
    request = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n{head}Content-Length: 9999\r\n\r\n"
    answer_bytes, seconds = talk(server, request.encode())
    assert answer_bytes.startswith(b"HTTP/1.1 403")
    assert seconds < 5


def test_the_page_itself_may_ask(server: Running, shoe: bytes) -> None:
    own = f"http://127.0.0.1:{server.port}"
    for said in (
        headers(Origin=own),
        headers(Origin=own, Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="cors"),
        headers(Origin="https://behind.a.proxy", Sec_Fetch_Site="same-origin"),
        headers(Sec_Fetch_Site="none", Sec_Fetch_Mode="navigate"),
        {},
    ):
        with server.client() as client:
            assert client.post("/predict", content=shoe, headers=said).status_code == 200


def test_a_link_on_another_site_leads_to_the_page(server: Running) -> None:
    with server.client() as client:
        link = headers(Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")
        assert client.get("/", headers=link).status_code == 200
        picture = headers(Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")
        assert client.get("/models/first/examples", headers=picture).status_code == 403


def test_a_site_that_was_allowed_may_ask(two_runs: list[Path], shoe: bytes) -> None:
    with started(two_runs[:1], allow_origins=["https://shop.example"]) as running, running.client() as client:
        said = headers(Origin="https://shop.example", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="cors")
        assert client.post("/predict", content=shoe, headers=said).status_code == 200
        assert client.post("/predict", content=shoe, headers={**said, **EVIL}).status_code == 403


def test_a_name_that_was_pointed_here_is_turned_away_whatever_else_it_says(server: Running, shoe: bytes) -> None:
    rebound = {"Host": f"evil.example:{server.port}", "Origin": f"http://evil.example:{server.port}"}
    with server.client() as client:
        answer = client.post("/predict", content=shoe, headers={**rebound, "Sec-Fetch-Site": "same-origin"})
        assert answer.status_code == 421


@pytest.mark.parametrize("second", ["localhost", "evil.example"])
def test_two_host_headers_are_refused(server: Running, second: str) -> None:
    answer, _ = talk(server, f"GET /v2 HTTP/1.1\r\nHost: localhost\r\nHost: {second}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400")


def test_no_page_reads_an_answer(server: Running) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        for method in ("GET", "OPTIONS"):
            answer = client.request(method, "/models", headers=EVIL | {"Access-Control-Request-Method": "POST"})
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "site", ["*", "https://shop.example/", "shop.example", "javascript:alert(1)", "https://*.example"]
)
def test_a_site_that_no_browser_would_name_so_is_refused(site: str) -> None:
    with pytest.raises(FittingRoomError, match=r"`allow_origins`: a site .* expected, such as https://example\.org"):
        create_app([], allow_origins=(site,))
