"""Report and comparison as frames ask for them: with a ticket in place of the key, and in a sandbox."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fittingroom.runs.compare_ledger import COMPARE_LEDGER
from fittingroom.serve.tickets import SECONDS, Tickets
from tests.serve.conftest import Running, started

KEY = {"X-API-Key": "sesame"}
PAIR = {"baseline": "first", "run": "second", "split": "validation"}


@pytest.fixture(scope="module")
def locked(two_runs: list[Path]) -> Iterator[Running]:
    with started(two_runs, api_key="sesame") as running:
        yield running


def test_a_ticket_opens_its_own_address_and_no_other(locked: Running) -> None:
    with locked.client() as client:
        assert client.get("/models/first/report").status_code == 401
        ticket = client.get("/ticket", params={"path": "/models/first/report"}, headers=KEY).json()["ticket"]
        report = client.get("/models/first/report", params={"ticket": ticket})
        assert report.status_code == 200
        assert "sandbox" in report.headers["content-security-policy"]

        for path in ("/models/second/report", "/compare", "/models", "/models/first/examples", "/metrics", "/ticket"):
            assert client.get(path, params={"ticket": ticket} | PAIR).status_code == 401
        assert client.post("/predict", params={"ticket": ticket}, content=b"x").status_code == 401
        for wrong in ("", "0", ticket[:-1], "0." + ticket.partition(".")[2], "é.é", ticket.upper()):
            assert client.get("/models/first/report", params={"ticket": wrong}).status_code == 401


def test_a_ticket_is_given_for_reports_and_comparisons_to_whoever_has_the_key(locked: Running) -> None:
    with locked.client() as client:
        assert client.get("/ticket", params={"path": "/compare"}).status_code == 401
        for path in ("/models", "/models/none/report", "/models/first/examples", "", "//x"):
            assert client.get("/ticket", params={"path": path}, headers=KEY).status_code == 400
        many = "&".join(f"a{number}=1" for number in range(500))
        assert client.get(f"/models/first/report?{many}").status_code == 401


def test_a_ticket_is_of_one_server_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, others = Tickets(), Tickets()
    ticket = ours.make("/compare")
    assert ours.opens("/compare", ticket)
    assert not others.opens("/compare", ticket)
    now = time.time()
    for jump in (-3600, 3600):  # a clock that is put right neither keeps a ticket open nor ends it
        monkeypatch.setattr(time, "time", lambda jump=jump: now + jump)
        assert ours.opens("/compare", ticket)
    passed = time.monotonic() + SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: passed)
    assert not ours.opens("/compare", ticket)


def test_a_comparison_is_made_once_and_is_on_record(server: Running, two_runs: list[Path]) -> None:
    ledger = two_runs[0].parent / COMPARE_LEDGER
    with server.client() as client:
        pages = [client.get("/compare", params=PAIR) for _ in range(2)]
        looks = ledger.read_text().count("\n")
        again = client.get("/compare", params=PAIR)
    assert [page.status_code for page in pages] == [200, 200]
    assert pages[0].text == pages[1].text == again.text
    assert "second against first, on validation" in pages[0].text
    assert "sandbox" in pages[0].headers["content-security-policy"]
    assert looks == ledger.read_text().count("\n") > 0


def test_what_cant_be_compared_is_said_without_a_folder_of_the_server(server: Running, two_runs: list[Path]) -> None:
    with server.client() as client:
        unjudged = client.get("/compare", params=PAIR | {"split": "test"})
        assert unjudged.status_code == 409
        assert "second: not judged on test" in unjudged.json()["error"]
        assert str(two_runs[0].parent) not in unjudged.text

        assert client.get("/compare", params=PAIR | {"run": "first"}).status_code == 400
        assert client.get("/compare", params=PAIR | {"split": "train"}).status_code == 400
        assert client.get("/compare", params=PAIR | {"run": "none"}).status_code == 404


def test_a_link_of_another_site_puts_nothing_on_record(server: Running) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    with server.client() as client:
        assert client.get("/", headers=link).status_code == 200
        assert client.get("/compare", params=PAIR, headers=link).status_code == 403


def test_report_and_comparison_speak_the_language_of_the_page_around_them(server: Running) -> None:
    with server.client() as client:
        for path, query in (("/models/first/report", {}), ("/compare", PAIR)):
            english, chinese = (
                client.get(path, params=query | {"language": language}).text for language in ("en", "zh")
            )
            shown = chinese.partition("</main>")[0]
            assert '<html lang="en">' in english
            assert '<html lang="zh-Hans">' in chinese
            assert re.search(r"<h1[^>]*>[^<]*[\u4e00-\u9fff]", shown), path
            headings = re.findall(
                r"<h2[^>]*>(.*?)</h2>", re.sub(r"<section id=.try.*?</section>", "", shown, flags=re.DOTALL)
            )
            assert [heading for heading in headings if not re.search(r"[\u4e00-\u9fff]", heading)] == []
