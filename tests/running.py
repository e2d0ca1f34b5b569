"""A gateway on a real socket, in a thread of its own, for tests that call it as a client would."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import uvicorn
import uvloop

from gateway import events
from gateway.app import Runtime, build_app, protocol
from gateway.config import parse
from gateway.observe.observability import Logging


class Surface:
    """By which of its two ways a gateway serves its hot routes, if nothing else is said (``server.lane``)."""

    lane = True


class RunningGateway:
    """``url`` is the root, ``base_url`` ends in ``/v1``; ``events`` is everything that was emitted."""

    def __init__(self, runtime: Runtime, events_seen: list[events.Event]) -> None:
        self.runtime, self.events = runtime, events_seen
        self.url = ""
        self.loop: asyncio.AbstractEventLoop | None = None

    @property
    def base_url(self) -> str:
        return self.url + "/v1"

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def page(self, accept: str = "text/plain") -> str:
        """The page of metrics, as a scrape would get it."""
        return self.runtime.observability.render(accept)[0].decode()

    def call(self, function: Callable[[], Any]) -> Any:
        """Runs a function in the gateway's loop and returns what it gives."""
        assert self.loop is not None

        async def inside() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(inside(), self.loop).result(30)


@contextmanager
def running_gateway(
    config: str,
    env: dict[str, str] | None = None,
    path: str | None = None,
    logging: Logging | None = None,
    listen: Callable[[events.Event], None] | None = None,
    lane: bool | None = None,
) -> Iterator[RunningGateway]:
    """A gateway with this configuration (YAML), stopped at the end.

    ``path``: the file to reload from. ``logging``: lines are written, to ``logging.out``. ``listen`` hears every event
    once it is among ``events``. ``lane``: in place of the configuration's; None for ``Surface.lane``.
    """
    seen: list[events.Event] = []

    def observe(event: events.Event) -> None:
        seen.append(event)
        if listen:
            listen(event)

    given = {"lane": "on" if (Surface.lane if lane is None else lane) else "off"}
    read = parse(config, env or {}, path or "test")
    asked = msgspec.structs.replace(read, server=msgspec.structs.replace(read.server, **given))
    runtime = Runtime(asked, observe, env or {}, path, given, logging=logging)
    gateway = RunningGateway(runtime, seen)
    app = build_app(runtime)
    settings = uvicorn.Config(
        app,
        port=0,
        http=protocol(runtime.config, app),
        ws="none",
        lifespan="on",
        log_config=None,
        server_header=False,
    )
    ready = threading.Event()

    class Server(uvicorn.Server):
        """Starts and stops by events, where uvicorn's own looks every tenth of a second."""

        async def main_loop(self) -> None:
            self.stopped = asyncio.Event()
            await self.on_tick(0)
            gateway.loop = asyncio.get_running_loop()
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            gateway.url = f"http://{host}:{port}"
            ready.set()
            await self.stopped.wait()

        async def shutdown(self, sockets: Any = None) -> None:
            for each in self.servers:
                each.close()
            for connection in list(self.server_state.connections):
                connection.shutdown()
            if self.server_state.tasks:
                await asyncio.wait(list(self.server_state.tasks), timeout=10)
            await self.lifespan.shutdown()

    server = Server(settings)

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.serve())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    if not ready.wait(30):
        raise RuntimeError("the gateway did not start")
    try:
        yield gateway
    finally:
        gateway.call(runtime.cut)
        gateway.call(server.stopped.set)
        thread.join(30)
