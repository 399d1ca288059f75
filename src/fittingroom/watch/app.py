"""The page's addresses, all of them below a token that only who started the page knows."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from fittingroom.errors import ArtifactError
from fittingroom.files.run_file import read_run_file
from fittingroom.rendering.html_page import STYLE_SHEET, render_page
from fittingroom.serve.guard import Guard, Limits, Refused
from fittingroom.serve.listening import LOOPBACK_NAMES
from fittingroom.serve.metrics import Metrics
from fittingroom.serve.tickets import Tickets
from fittingroom.watch.state import REPORT, WatchedRun

WEB = Path(__file__).parent / "web"
REPORT_STYLES = Path(__file__).parent.parent / "report"
STATIC = {
    "watch.js": (WEB / "watch.js", "text/javascript"),
    "words.js": (WEB / "words.js", "text/javascript"),
    "class_names.js": (STYLE_SHEET.parent / "class_names.js", "text/javascript"),
    "share.js": (STYLE_SHEET.parent / "share.js", "text/javascript"),
    "style.css": (STYLE_SHEET, "text/css"),
    "curves.css": (REPORT_STYLES / "curves.css", "text/css"),
    "matrix.css": (REPORT_STYLES / "matrix.css", "text/css"),
    "watch.css": (WEB / "watch.css", "text/css"),
}
PAUSE_SECONDS = 1.0  # between two readings of the run
HOLD_SECONDS = 20.0  # that a question for news may wait for some; the guard ends one after 30
MAX_REPORT = 64 << 20  # bytes

# A run may have come from a stranger, and its report is no page of ours: it runs, but as a site of its own, and can't
# ask anything of this server or of another.
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Page:
    """The handlers. Used in one event loop.

    Attributes:
        ending: is set when no more news will come, so that nobody waits for it.
        asked_at: when somebody last asked, by the loop's clock; None before.
        waiting: how many questions for news are under way.
        report_given: whether the report was fetched.

    Args:
        run: that is watched.
        token: in every address.
    """

    def __init__(self, run: WatchedRun, token: str):
        self.run, self.token = run, token
        self.ending = asyncio.Event()
        self.asked_at: float | None = None
        self.waiting = 0
        self.report_given = False
        self._reading = asyncio.Lock()
        self._read: tuple[float, str | None, bytes, str] = (-1e9, None, b"", "")  # when, of what, the answer, its hash

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return

        # In constant time, as the token is all that keeps other users of the machine out.
        scope["endpoint_name"] = "watch"
        token, _, name = scope["path"].removeprefix("/").partition("/")
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            raise Refused(404, "nothing is here: open the address that was printed, with its token")
        if scope["method"] != "GET":
            raise Refused(405, "GET expected", {"Allow": "GET"})
        self.asked_at = asyncio.get_running_loop().time()

        if name == "":
            await _answer(send, render_page(WEB / "watch.html", {"name": self.run.name}).encode(), "text/html")
        elif name == "state":
            asked = {key: values[0] for key, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
            await _answer(send, await self._news(asked), "application/json")
        elif name == "report":
            await self._report(send)
        elif name in STATIC:
            file, media_type = STATIC[name]
            await _answer(send, file.read_bytes(), media_type)
        else:
            raise Refused(404, "nothing is here")

    async def _news(self, asked: Mapping[str, str]) -> bytes:
        """How the run stands, as soon as that differs from what the asker has seen; or as it is after a while."""
        loop = asyncio.get_running_loop()
        until = loop.time() + HOLD_SECONDS
        self.waiting += 1
        try:
            while True:
                answer, version = await self._state(asked.get("member"))
                # What the asker hasn't seen is told at once; and an answer comes before the guard gives the asker up.
                if version != asked.get("seen") or loop.time() > until or self.ending.is_set():
                    return answer

                try:
                    async with asyncio.timeout(PAUSE_SECONDS):
                        await self.ending.wait()
                except TimeoutError:
                    continue
        finally:
            # The process ends a while after the last question, and one that was long under way is no old one.
            self.waiting -= 1
            self.asked_at = loop.time()

    async def _state(self, member: str | None) -> tuple[bytes, str]:
        """The state as JSON, and its version; for all who ask within a second, the run is read once."""
        loop = asyncio.get_running_loop()
        async with self._reading:
            read_at, of_member, answer, version = self._read
            if of_member != member or loop.time() - read_at >= PAUSE_SECONDS or self.ending.is_set():
                answer, version = await asyncio.to_thread(self._read_state, member)
                self._read = (loop.time(), member, answer, version)
            return answer, version

    def _read_state(self, member: str | None) -> tuple[bytes, str]:
        try:
            state: dict[str, Any] = self.run.state(member)
        except (ArtifactError, OSError) as error:  # the folder was removed, or one of its files was damaged
            state = {"name": self.run.name, "standing": "damaged", "problem": str(error)}
        version = hashlib.sha256(json.dumps(state).encode()).hexdigest()[:16]
        return json.dumps(state | {"version": version}, ensure_ascii=False).encode(errors="replace"), version

    async def _report(self, send: Send) -> None:
        """The run's report, in a sandbox."""
        try:
            content = await asyncio.to_thread(
                read_run_file, self.run.folder / REPORT, "the run's report", limit=MAX_REPORT
            )
        except ArtifactError:
            raise Refused(404, "this run has no report yet") from None
        await _answer(send, content, "text/html", {"content-security-policy": REPORT_POLICY})
        self.report_given = True


def create_app(page: Page) -> ASGIApp:
    """The page behind the server's guard: only this machine's names are answered, and no page of another site."""
    limits = Limits(body=0, bodies=1 << 16, hosts=LOOPBACK_NAMES)
    return Guard(page, limits, Metrics(), Tickets())


async def _live(receive: Receive, send: Send) -> None:
    """What uvicorn says before the first request and after the last."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _answer(send: Send, content: bytes, media_type: str, headers: Mapping[str, str] | None = None) -> None:
    said = {"content-type": f"{media_type}; charset=utf-8", "content-length": str(len(content)), **(headers or {})}
    start = [(name.encode(), value.encode()) for name, value in said.items()]
    await send({"type": "http.response.start", "status": 200, "headers": start})
    await send({"type": "http.response.body", "body": content})
