"""Keep-alive HTTP/1.1 to one server, one request at a time on each connection, parsed by `httptools`.

General clients spend more CPU on a call than all the rest of an episode's turn does (docs/adr/0012;
`tests/bench/bench_chat.py` has the openai package's beside ours). So this knows what chat needs and no more: no
redirects, no cookies, no proxies, no compression, whole bodies.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import NamedTuple, cast

import httptools
import httpx2

__all__ = ["Answer", "BadAnswerError", "Connections", "LateAnswerError", "NoConnectionError"]

IDLE_S = 4.0
"""A connection that was idle for longer is not used again: servers close them after 5 s, uvicorn's default."""


class NoConnectionError(ConnectionError):
    """No connection was made: nothing was sent, nothing was paid for."""


class LateAnswerError(TimeoutError):
    """The request was sent and no whole answer came in time."""


class BadAnswerError(ConnectionError):
    """The connection was lost, or what came is not HTTP."""


class Answer(NamedTuple):
    """What a server said."""

    status: int
    headers: dict[bytes, bytes]
    """By lower-case name; of equal names the last. Only errors are read for them, so they stay as they came."""
    body: bytes


class Connections:
    """Connections to the server of one base address, opened when asked for; lives in one event loop."""

    def __init__(
        self, base_url: str, headers: Mapping[str, str], *, timeout_s: float, connect_timeout_s: float
    ) -> None:
        """Nothing is opened yet.

        Args:
            base_url: Address to whose path that of each request is added.
            headers: Sent with every request; they may hold the key.
            timeout_s: For one whole answer, from its sending.
            connect_timeout_s: For a connection, TLS included.
        """
        url = httpx2.URL(base_url)
        secure = url.scheme == "https"
        self._host, self._port = url.raw_host.decode(), url.port or (443 if secure else 80)
        self._tls: ssl.SSLContext | None = httpx2.create_ssl_context() if secure else None
        path, mark, query = url.raw_path.partition(b"?")
        self._path, self._query = path.rstrip(b"/"), mark + query
        sent = {"Host": url.netloc.decode(), **headers}
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in sent.items()).encode("latin-1")
        self._timeout_s, self._connect_timeout_s = timeout_s, connect_timeout_s
        self._idle: list[_Connection] = []
        self._heads: dict[str, bytes] = {}

    async def post(self, path: str, content: bytes) -> Answer:
        """The answer to one request, whatever its status.

        Raises:
            NoConnectionError: When no connection could be made in time.
            LateAnswerError: When the answer did not come in time.
            BadAnswerError: When the connection was lost before the answer was whole.
        """
        head = self._heads.get(path)
        if head is None:
            # Its end, the length, alone differs between the requests of a path.
            line = b"POST %b%b%b HTTP/1.1\r\n" % (self._path, path.encode(), self._query)
            head = self._heads[path] = line + self._headers + b"Content-Length: "
        connection = self._kept() or await self._opened()
        try:
            answer = await connection.ask(b"%b%d\r\n\r\n%b" % (head, len(content), content), self._timeout_s)
        except BaseException:
            # Whatever still comes would be taken for the answer to the next request.
            connection.drop()
            raise
        if connection.usable:
            self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Close what is idle; what is under way ends with its request."""
        while self._idle:
            self._idle.pop().drop()

    def _kept(self) -> "_Connection | None":
        # The one that rested shortest is the likeliest to stand.
        oldest = asyncio.get_running_loop().time() - IDLE_S
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and connection.rested_since > oldest:
                return connection
            connection.drop()
        return None

    async def _opened(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, connection = await loop.create_connection(
                    lambda: _Connection(loop), self._host, self._port, ssl=self._tls
                )
        except OSError as error:  # TimeoutError and the errors of TLS are such
            said = str(error) or f"no connection within {self._connect_timeout_s:g} s"
            raise NoConnectionError(f"{self._host}:{self._port}: {said}") from None
        return connection


class _Connection(asyncio.Protocol):
    """One connection; callbacks of `asyncio` and of `httptools`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.usable, self.rested_since = True, 0.0
        self._loop = loop
        self._asked: asyncio.Future[Answer] | None = None
        self._deadline = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._in_body = False

    def ask(self, request: bytes, timeout_s: float) -> asyncio.Future[Answer]:
        """Send a request."""
        self._asked = self._loop.create_future()
        self._deadline = self._loop.time() + timeout_s
        if self._watch is None:
            self._watch = self._loop.call_at(self._deadline, self._look, timeout_s)
        self._transport.write(request)
        return self._asked

    def drop(self) -> None:
        """Close at once."""
        self.usable = False
        self._transport.abort()

    def _look(self, timeout_s: float) -> None:
        """Fail what is late. One timer outlives many requests: to set and cancel one for each costs more."""
        self._watch = None
        if self._asked is None:
            return
        if self._loop.time() < self._deadline:
            self._watch = self._loop.call_at(self._deadline, self._look, timeout_s)
        else:
            self._fail(LateAnswerError(f"no answer within {timeout_s:g} s"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Of whatever loop: uvloop's are no subclass.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        # An answer without a length ends with its connection.
        if self._in_body and exc is None and not self._headers.keys() & {b"content-length", b"transfer-encoding"}:
            self.on_message_complete()
        self._fail(BadAnswerError(str(exc) if exc else "the server closed the connection before its answer was whole"))

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.drop()
            self._fail(BadAnswerError(f"expected HTTP/1.1, got {error}"))

    def on_message_begin(self) -> None:
        if self._asked is None:
            # Nobody asked: it would be taken for the answer to the next request.
            self.drop()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self._in_body = True

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        if not self._in_body:
            return
        status, headers, body = self._parser.get_status_code(), self._headers, b"".join(self._parts)
        self._headers, self._parts, self._in_body = {}, [], False
        if status < 200:  # an interim answer; the real one follows
            return
        self.usable = self.usable and self._parser.should_keep_alive()
        self.rested_since = self._loop.time()
        asked = self._over()
        if asked is not None and not asked.done():
            asked.set_result(Answer(status, headers, body))

    def _fail(self, error: Exception) -> None:
        asked = self._over()
        if asked is not None and not asked.done():
            asked.set_exception(error)

    def _over(self) -> "asyncio.Future[Answer] | None":
        asked, self._asked = self._asked, None
        return asked
