"""httpx's own connections in the pool's place, for providers that ask for them: HTTP/2 where a vendor speaks it.

Each request is a task that puts what comes into an ``Incoming``, as a connection of the pool does; so whoever reads it
cannot tell. httpx has a pool for each origin here. Nothing is known of its idle connections, and a request is not sent
once more when a kept one was dead.

httpx resets no stream of HTTP/2 that is left early, and what still comes of it counts against the window that all
streams share. So a connection that may have such a stream takes no further request, and is closed with its last one.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Coroutine, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway.errors import Fault, FaultKind
from gateway.wire.connection import KEEPALIVE_EXPIRY, LINGER, READ_AHEAD
from gateway.wire.dialing import Address, address_of
from gateway.wire.incoming import NOT_MADE, Ask, Incoming, network_fault, said, unmade
from gateway.wire.pool import MOST_IDLE, check_header, check_method, unsendable

if TYPE_CHECKING:
    import httpx


def speaks_http2() -> bool:
    return find_spec("h2") is not None


class HttpxPool:
    """``tls`` makes the context of the first request; it is kept for all. Used as ``Pool`` is."""

    def __init__(self, tls: Callable[[], ssl.SSLContext]) -> None:
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None
        self._ways: dict[str, Way] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, ask: Ask, /) -> Incoming:
        """The answer that will come. Raises nothing and wakes nobody: whatever is wrong is there to be taken."""
        answer = Incoming(ask)
        answer.connected = NOT_MADE
        try:
            _check(ask)
            way = self._way(address_of(ask.url)[0])
        except ValueError as error:
            return answer.broken(unsendable(error))
        except OSError as error:
            return answer.broken(network_fault(FaultKind.UNREACHABLE, said(error)))
        exchange = Exchange(answer, way)
        answer._connection = exchange
        exchange.task = self._begin(exchange.run())
        exchange.task.add_done_callback(exchange.left)
        return answer

    def counts(self) -> dict[str, tuple[int, int]]:
        """Origin -> requests under way, 0."""
        return {origin: (way.in_use, 0) for origin, way in self._ways.items()}

    def sweep(self) -> None:
        """Gives up the connections to an origin that nobody has asked for too long."""
        now = time.monotonic()
        for origin, way in list(self._ways.items()):
            if not way.in_use and way.used + KEEPALIVE_EXPIRY <= now:
                del self._ways[origin]
                self._begin(way.close())

    async def close(self) -> None:
        ways, self._ways = self._ways, {}
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for way in ways.values():
            await way.close()

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _way(self, address: Address) -> Way:
        way = self._ways.get(address.origin)
        if way is None:
            way = self._ways[address.origin] = Way(address, self._context)
        return way

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = self._make_tls()
        return self._tls


class Carrier:
    """Connections of httpx's, and how many requests they carry. ``retired``: they take no further one."""

    def __init__(self, transport: httpx.AsyncHTTPTransport, *, retired: bool) -> None:
        self.transport, self.retired, self.carries = transport, retired, 0


class Way:
    """One origin as httpx reaches it, and how many requests to it are under way."""

    def __init__(self, address: Address, tls: Callable[[], ssl.SSLContext]) -> None:
        self.address, self._tls = address, tls
        self._carrier: Carrier | None = None
        self.in_use = 0
        self.used = time.monotonic()

    def take(self, *, fresh: bool) -> Carrier:
        carrier = self._carrier
        if fresh:
            carrier = Carrier(self._made(), retired=True)
        elif carrier is None or carrier.retired:
            carrier = self._carrier = Carrier(self._made(), retired=False)
        carrier.carries += 1
        return carrier

    async def give_back(self, carrier: Carrier) -> None:
        carrier.carries -= 1
        if carrier.retired and not carrier.carries:
            await carrier.transport.aclose()

    async def close(self) -> None:
        if self._carrier is not None:
            await self._carrier.transport.aclose()

    def _made(self) -> httpx.AsyncHTTPTransport:
        """A transport and not a client: that would keep cookies, follow redirects and send headers of its own."""
        import httpx

        found, proxy = self.address.proxy, None
        if found:
            host = f"[{found.host}]" if ":" in found.host else found.host
            url = f"http{'s' if found.tls else ''}://{host}:{found.port}"
            name, _, value = found.header.decode("ascii").strip().partition(": ")
            tls = self._tls() if found.tls else None
            proxy = httpx.Proxy(url, headers={name: value} if name else None, ssl_context=tls)
        return httpx.AsyncHTTPTransport(
            # An empty one is never used; to make a whole one takes its time.
            verify=self._tls() if self.address.tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            trust_env=False,
            http2=speaks_http2(),
            limits=httpx.Limits(
                max_connections=None, max_keepalive_connections=MOST_IDLE, keepalive_expiry=KEEPALIVE_EXPIRY
            ),
            proxy=proxy,
            uds=self.address.path or None,
        )


class Exchange:
    """One request and its answer: what the answer knows as its connection.

    Over once: when the task has ended or nobody wants it any more, whichever is first. Nothing is told after that.
    """

    task: asyncio.Task[None]

    def __init__(self, answer: Incoming, way: Way) -> None:
        self._answer, self._way = answer, way
        self._room = asyncio.Event()
        self._deaf = False
        self._began = 0.0
        # Has it a stream of HTTP/2 that would not be at its end?
        self._may_be_left = way.address.tls and speaks_http2()
        way.in_use += 1

    # What the answer asks for (``Line``) ----------------------------------------------------------------------------

    def read_on(self) -> None:
        self._room.set()

    def linger(self) -> None:
        if not self._deaf:
            self._deaf = True
            self._room.set()
            timer = asyncio.get_running_loop().call_later(LINGER, self.give_up)
            self.task.add_done_callback(lambda _: timer.cancel())

    def give_up(self) -> None:
        self.left()
        self.task.cancel()

    def left(self, task: asyncio.Task[None] | None = None) -> None:
        """Cancelled, perhaps before it began."""
        self._over(Fault(kind=FaultKind.UNREACHABLE, message="the call was given up", origin="gateway"))

    def _over(self, end: bytes | Fault) -> None:
        answer = self._answer
        if answer._connection is self:
            answer._connection, answer._end = None, end
            self._way.in_use -= 1
            self._way.used = time.monotonic()
            answer.wake()

    # The request ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        self._over(await self._told())

    async def _told(self) -> bytes | Fault:
        """How it ended."""
        import httpx

        ask, answer = self._answer.ask, self._answer
        carrier: Carrier | None = None
        try:
            carrier = self._way.take(fresh=ask.fresh)
            response = await carrier.transport.handle_async_request(self._request())
            self._may_be_left = response.extensions["http_version"] == b"HTTP/2"
            try:
                await self._read(response)
            finally:
                await response.aclose()
            self._may_be_left = False
        except httpx.ConnectTimeout:
            return network_fault(FaultKind.TIMEOUT_CONNECT, f"no connection within {ask.connect:g} s")
        except httpx.WriteTimeout:
            words = f"the vendor stopped reading the request for {ask.write:g} s"
            return network_fault(FaultKind.TIMEOUT_FIRST_TOKEN, words)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            return unsendable(error)
        # Whatever it is, somebody waits for the answer and must be told.
        except Exception as error:
            if not answer.status:
                return unmade(error)
            return network_fault(FaultKind.UNREACHABLE, f"the connection broke: {said(error)}")
        finally:
            if carrier is not None:
                carrier.retired = carrier.retired or self._may_be_left
                await self._way.give_back(carrier)
        return b""

    def _request(self) -> httpx.Request:
        import httpx

        ask = self._answer.ask
        url = ask.url
        if self._way.address.path:
            url = urlsplit(url)._replace(scheme="http", netloc="localhost").geturl()
        timeouts = {"connect": ask.connect, "read": None, "write": ask.write, "pool": None}
        return httpx.Request(
            ask.method,
            url,
            headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in ask.headers],
            content=ask.body,
            extensions={"timeout": timeouts, "trace": self._trace},
        )

    async def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """How long the connection took to make: https://www.encode.io/httpcore/extensions/#trace"""
        step = event.partition(".")[2]
        if step in ("connect_tcp.started", "connect_unix_socket.started"):
            self._began = time.monotonic()
        elif step in ("connect_tcp.complete", "connect_unix_socket.complete", "start_tls.complete"):
            self._answer.connected = time.monotonic() - self._began
        elif step == "send_request_headers.started" and self._answer.connected == NOT_MADE:
            self._answer.connected = 0.0

    async def _read(self, response: httpx.Response) -> None:
        answer = self._answer
        answer.headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.raw
        }
        answer.status = response.status_code
        answer.wake()
        # As it came: whoever reads it undoes its ``content-encoding``.
        async for chunk in response.stream:  # type: ignore[union-attr]  # httpx's own transport makes it async
            if not chunk or self._deaf:
                continue
            answer._come.append(chunk)
            answer._ahead += len(chunk)
            answer.wake()
            if answer._ahead > READ_AHEAD:
                answer._full = True
                self._room.clear()
                await self._room.wait()


def _check(ask: Ask) -> None:
    """Raises ``ValueError`` for what cannot be sent, in the pool's words."""
    check_method(ask.method)
    for name, value in ask.headers:
        check_header(name, value)
