"""What stands before the application: who may ask, how much, for how long, and how whoever may not is refused."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fittingroom.errors import FittingRoomError
from fittingroom.serve.metrics import Metrics
from fittingroom.serve.request_log import RequestDone
from fittingroom.serve.tickets import Tickets

log = logging.getLogger("fittingroom.serve")

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = [
    (name.encode(), value.encode())
    for name, value in {
        "content-security-policy": PAGE_POLICY,
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "geolocation=(), microphone=(), camera=(self)",
        "cache-control": "no-store",
    }.items()
]
OPEN_TO_ALL = ("/", "/v2/health/live", "/v2/health/ready", "/docs", "/openapi.json")  # and /static/: they say nothing
GONE = 499  # what is counted for a client that left; nobody is answered
FAILED = "the server failed; its log says how"
LISTEN_ON_SECONDS, LISTEN_ON_BYTES = 1.0, 64 << 20  # to what is too large already


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a request may take, and who may send one.

    Attributes:
        body: bytes of a request, counted as they come.
        bodies: bytes of all requests that are under way.
        seconds: for a whole request, its sending included.
        hosts: that a request may be for, so that another site's name which was pointed here is turned away; None for
            any.
        api_key: asked for in ``Authorization: Bearer KEY`` or ``X-API-Key``; None for nobody to be asked.
        open_metrics: whether ``/metrics``, which names the models, is answered without the key.
        origins: other sites whose pages may ask, as in ``https://example.org``.
    """

    body: int = 16 << 20
    bodies: int = 512 << 20
    seconds: float = 30.0
    hosts: tuple[str, ...] | None = None
    api_key: str | None = field(default=None, repr=False)
    open_metrics: bool = False
    origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an empty key, such as that of a variable that was never filled: everybody knows it.

        One that no client can say is refused as well: a header's value has no line breaks, and no space at its ends.
        """
        if self.api_key == "":
            raise FittingRoomError("`api_key` or $FITTINGROOM_API_KEY: a key expected, an empty text found")
        if self.api_key and (not self.api_key.isprintable() or self.api_key != self.api_key.strip()):
            raise FittingRoomError(
                "`api_key` or $FITTINGROOM_API_KEY: a key that a header can hold expected, one with a line break or "
                "another unprintable sign in it, or a space at an end, found"
            )


class Guard:
    """ASGI middleware around the whole application: limits, headers, and an answer for every failure.

    Args:
        app: what is guarded.
        limits: who may ask, and how much.
        metrics: counts each request.
        tickets: that open an address in place of the key.
        observe: receives each request when it is done.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        metrics: Metrics,
        tickets: Tickets,
        observe: Callable[[RequestDone], None] | None = None,
    ):
        self.app, self.limits, self.metrics, self.tickets, self.observe = app, limits, metrics, tickets, observe
        self.held = _Held()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on within the limits, and count it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        exchange = _Exchange(self.limits, self.held, scope, receive, send)
        start = time.perf_counter()

        # Each way to fail has its answer here; nothing of the inside goes out.
        try:
            async with asyncio.timeout(self.limits.seconds):
                self._check(scope)
                await self.app(scope, exchange.receive, exchange.send)
        except Refused as refused:
            scope["refused"] = str(refused)
            await exchange.refuse(refused)
        except TimeoutError:
            status, what = (503, "no answer was ready") if exchange.is_received else (408, "the request did not come")
            scope["refused"] = f"{what} within {self.limits.seconds:g} seconds"
            if exchange.status:  # an answer is under way that nobody reads
                await _hang_up(scope)
            await exchange.refuse(Refused(status, scope["refused"]))
        except ClientDisconnect:
            exchange.status = GONE
        except Exception:
            log.exception("a request failed")
            scope["refused"] = FAILED
            await exchange.refuse(Refused(500, FAILED))
        finally:
            self.held.bytes -= exchange.held_bytes
            self._count(scope, exchange, time.perf_counter() - start)

    def _count(self, scope: Scope, exchange: _Exchange, seconds: float) -> None:
        endpoint = str(scope.get("endpoint_name", "other"))
        self.metrics.request_done(endpoint, exchange.status, seconds)

        # The path as it came, still escaped: decoded, it could hold line ends.
        if self.observe is not None:
            client, path = scope.get("client"), scope.get("raw_path", b"").decode("latin-1")
            self.observe(
                RequestDone(
                    client=client[0] if client else "-",
                    method=scope["method"],
                    path=path or scope["path"],
                    status=exchange.status,
                    seconds=seconds,
                    received=exchange.bytes,
                    error=scope.get("refused"),
                    at=time.time(),
                )
            )

    def _check(self, scope: Scope) -> None:
        """Refuse by its head alone a request for another host, one that is too large, and one without the key."""
        headers = dict(scope["headers"])
        if sum(name == b"host" for name, _ in scope["headers"]) > 1:
            raise Refused(400, "one Host header expected, several found", {"Connection": "close"})

        # A name that somebody else pointed here, so that a page of theirs may read the answers, is none of ours.
        if self.limits.hosts is not None:
            host = headers.get(b"host", b"").decode("latin-1").lower()
            name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
            if name not in self.limits.hosts:
                raise Refused(
                    421, f"this server answers for {', '.join(self.limits.hosts)} only, by which it was started"
                )
        if not self._may_ask(scope["method"], headers):
            raise Refused(403, "a page of another site asks, which isn't among those that this server answers")

        # One that doesn't say its length, or says a smaller one, is counted as it comes.
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.limits.body:
            raise Refused(413, f"at most {self.limits.body:,} bytes expected", {"Connection": "close"})

        # The key, or a ticket in its place, of a frame, which can't say a key.
        path = scope["path"]
        if self.limits.api_key is None or path in OPEN_TO_ALL or path.startswith("/static/"):
            return
        if self.limits.open_metrics and path == "/metrics":
            return
        if scope["method"] == "GET" and self.tickets.opens(path, _ticket_of(scope)):
            return
        key = headers.get(b"x-api-key") or headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        if not hmac.compare_digest(key, self.limits.api_key.encode()):
            raise Refused(
                401, "an API key expected: X-API-Key or Authorization: Bearer", {"WWW-Authenticate": "Bearer"}
            )

    def _may_ask(self, method: str, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request comes from a program, a person, or a page of this server or of a site that is allowed.

        A page of any site that a user has open may send pictures to 127.0.0.1. It can't read the answers, yet it would
        keep the model at work. A browser says where a request comes from, and no page can change what it says:
        ``Sec-Fetch-Site`` where the connection is local or secure, else ``Origin``.
        """
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site")
        if origin is None and site is None:
            return True
        if origin is not None and origin.decode("latin-1") in self.limits.origins:
            return True
        if site is not None:
            is_link = method == "GET" and headers.get(b"sec-fetch-mode") == b"navigate"
            return site in (b"same-origin", b"none") or is_link
        return origin is None or origin.partition(b"://")[2].lower() == headers.get(b"host", b"").lower()


@dataclass
class _Held:
    """How many bytes of requests are in memory."""

    bytes: int = 0


class _Exchange:
    """One request and its answer: counts what comes, and adds to what goes."""

    def __init__(self, limits: Limits, held: _Held, scope: Scope, receive: Receive, send: Send):
        self._limits, self._held, self._receive, self._send = limits, held, receive, send
        self.bytes = self.status = self.held_bytes = 0
        self.is_received = not _has_body(scope)

    async def receive(self) -> Message:
        """The next part of the request. Raises Refused (413) where all that came is too much."""
        message = await self._receive()
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            self.bytes += size
            if self.bytes > self._limits.body:
                raise Refused(413, f"at most {self._limits.body:,} bytes expected", {"Connection": "close"})

            # Many requests, each within its limit, could still take more than there is.
            if self._held.bytes + size > self._limits.bodies:
                raise Refused(503, "busy: too much is under way; try again", {"Retry-After": "1"})
            self._held.bytes += size
            self.held_bytes += size
            self.is_received = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer, its first one with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            present = {name.lower() for name, _ in message["headers"]}
            added = [header for header in HEADERS if header[0] not in present]
            message = {**message, "headers": [*message["headers"], *added]}
        await self._send(message)

    async def refuse(self, refused: Refused) -> None:
        """Answer with an error, unless an answer is under way already: then nothing more can be said."""
        if self.status:
            return
        if refused.status == 413:
            await self._discard()

        body = error_body(str(refused))
        headers: Mapping[str, Any] = {"content-type": "application/json", "content-length": str(len(body))}
        if not self.is_received:
            headers = {**headers, "connection": "close"}  # what is left of the request is not read
        headers = {**headers, **{name.lower(): value for name, value in refused.headers.items()}}

        start = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": refused.status, "headers": start})
        await self.send({"type": "http.response.body", "body": body})

    async def _discard(self) -> None:
        """Read on for a while: who is still sending when the connection closes never sees the answer."""
        try:
            async with asyncio.timeout(LISTEN_ON_SECONDS):
                while not self.is_received and self.bytes < LISTEN_ON_BYTES:
                    message = await self._receive()
                    self.bytes += len(message.get("body", b""))
                    self.is_received = not message.get("more_body", False)
        except TimeoutError:
            pass


def _has_body(scope: Scope) -> bool:
    """Whether anything of a request comes after its head: RFC 9112, 6."""
    return any(name in (b"content-length", b"transfer-encoding") and value != b"0" for name, value in scope["headers"])


def _ticket_of(scope: Scope) -> str:
    """What a frame's address says in place of the key."""
    query: bytes = scope.get("query_string", b"")
    try:
        return parse_qs(query.decode("latin-1"), max_num_fields=20).get("ticket", [""])[0]
    except ValueError:  # more fields than any address of ours has
        return ""


async def _hang_up(scope: Scope) -> None:
    """Close the connection at once, and let uvicorn learn of it before the application ends without an answer."""
    abort = scope.get("extensions", {}).get("fittingroom", {}).get("abort")
    if abort is not None:
        abort()
        await asyncio.sleep(0)


def error_body(message: str) -> bytes:
    """An error as the inference protocol wants it."""
    return json.dumps({"error": message}, ensure_ascii=False).encode()


class Refused(Exception):
    """Answered with ``status`` and ``{"error": message}``. The message never has a path or a traceback in it."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.status, self.headers = status, dict(headers or {})
